"""ImageRequest: the one vocabulary that people and models speak.

A request says what picture is wanted. Which wire form carries it, and under which names, is the
engines' business (`civitai_skill.engines`).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema import finishing, pictures
from civitai_skill.schema.parts import Asked, ControlNetOrText, LoraOrText, StyleImageOrText
from civitai_skill.schema.types import (
    STRENGTHS,
    CheckpointText,
    FieldWords,
    Flag,
    Follows,
    Format,
    Limited,
    Mask,
    ModelText,
    Picture,
    Positive,
    Ratio,
    Side,
    Strength,
    Text,
    Whole,
    lower,
)

Quality = Literal["draft", "standard", "high"]

# Some forms name no limit of their own; the longest that any engine names is 50,000 characters.
Long = Annotated[Text, Field(max_length=100_000)]

_SCALE = ", ".join(f"{name} ({value})" for name, value in STRENGTHS.items())
_SCALE += ", or 0 (keeps it) to 1 (ignores it)"


def _check_prompt(value: str) -> str:
    if not value.strip():
        raise ValueError("empty; say what should be in the picture")
    return value


class ImageRequest(Asked):
    """What picture is wanted.

    Only `prompt` is required. Everything left out is decided by the engine's family for the chosen
    `quality`. Unknown fields are refused with the name that was probably meant. Sizes are pixels.

    Raises RequestInvalid for values no engine could take; what one engine cannot take is refused
    when the workflow is built.
    """

    #: Under which names it says the quality and the width of the saved file.
    local: ClassVar[tuple[str, str]] = ("file_quality", "file_width")

    prompt: Annotated[
        Long,
        AfterValidator(_check_prompt),
        FieldWords(
            "What should be in the picture. How to word it differs by engine.",
            "PROMPT",
            tool="What to draw, or for an edit what to change and what to keep. Engines want it "
            "worded differently; civitai_choose_engine tells how.",
        ),
    ]
    engine: Annotated[
        Text,
        FieldWords("Engine family; flux2 (klein 4b) when left out.", "NAME", tool="", planned=True),
    ] = "flux2"
    variant: Annotated[
        Text | None,
        FieldWords(
            "A family's own variant, such as klein-9b, dev, turbo, v4.5, 2.0-pro.",
            "NAME",
            tool="Only one that civitai_choose_engine or the user named. Left out: the quality "
            "decides.",
            planned=True,
        ),
    ] = None
    route: Annotated[
        Text | None,
        FieldWords(
            "Backend where a family has several (sdcpp, comfy, fal). Leave it out.",
            "NAME",
            planned=True,
            embedded=True,
        ),
    ] = None
    quality: Annotated[
        Quality,
        BeforeValidator(lower),
        FieldWords(
            "draft, standard (when left out) or high: which variant and settings the family "
            "takes. Fields given beside it win.",
            "Q",
            tool="draft to try things out, standard (the default), high for the final picture. "
            "The price rises with it.",
            planned=True,
            embedded=True,
        ),
    ] = "standard"
    negative_prompt: Annotated[
        Long | None, FieldWords("What should not be in the picture.", "TEXT", tool="")
    ] = None
    width: Annotated[
        Side | None,
        FieldWords(
            "Pixels.",
            "PX",
            tool="Pixels, with height, only when exact pixels are asked for; not with "
            "aspect_ratio.",
        ),
    ] = None
    height: Annotated[Side | None, FieldWords("Pixels.", "PX", tool="Pixels, with width.")] = None
    aspect_ratio: Annotated[
        Ratio | None,
        FieldWords(
            "Such as 16:9, instead of width and height.",
            "W:H",
            tool="",
            planned=True,
            embedded=True,
        ),
    ] = None
    quantity: Annotated[
        Positive,
        FieldWords(
            "How many pictures; 1 when left out.",
            "N",
            tool="Pictures, each paid for. Default 1; engines take up to 4 or 12.",
            embedded=False,
        ),
    ] = 1
    seed: Annotated[
        Whole | None,
        FieldWords(
            "For the same picture again. Left out: one is chosen and reported.",
            "N",
            tool="Only to repeat a picture: the seed reported with it, all else unchanged.",
            embedded=False,
        ),
    ] = None
    steps: Annotated[
        Positive | None,
        FieldWords("Denoising steps.", "N", tool="Leave out: the quality sets it."),
    ] = None
    guidance: Annotated[
        Limited | None,
        FieldWords(
            "How closely the prompt is followed (CFG scale).",
            "X",
            tool="CFG scale. Leave out: the quality sets it.",
        ),
    ] = None
    sampler: Annotated[Text | None, FieldWords("Sampler, in the route's own spelling.", "NAME")] = (
        None
    )
    scheduler: Annotated[
        Text | None, FieldWords("Noise schedule, in the route's own spelling.", "NAME")
    ] = None
    model: Annotated[
        CheckpointText | None,
        FieldWords(
            "A checkpoint, where the engine takes one: its AIR, its page's address, a file hash, "
            "or name:TEXT.",
            "MODEL",
            help="a checkpoint: AIR, page address, file hash or name:TEXT",
            tool="",
        ),
    ] = None
    loras: Annotated[
        list[LoraOrText],
        FieldWords(
            "LoRAs: a list of {air, strength}, or of texts such as AIR=0.8; page addresses, file "
            "hashes and name:TEXT stand for their AIR.",
            "MODEL[=X]",
            help="a LoRA, named like --model, and its strength (1)",
            tool="LoRAs made for this engine, by AIR or page address.",
        ),
    ] = []
    embeddings: Annotated[
        list[ModelText],
        FieldWords(
            "Embeddings (textual inversions), named like a model.",
            "MODEL",
            help="an embedding, named like --model",
        ),
    ] = []
    vae: Annotated[
        ModelText | None,
        FieldWords("A VAE in place of the model's own, named like a model.", "MODEL"),
    ] = None
    trigger: Annotated[
        Flag,
        FieldWords("Add the trigger words of its LoRAs that the prompt lacks.", planned=True),
    ] = False
    control_nets: Annotated[
        list[ControlNetOrText],
        FieldWords(
            "Pictures to hold to: each KIND=SOURCE (canny=edges.png), or an object with "
            "preprocessor, image, mask, weight, start_step and end_step.",
            "KIND=SRC",
            help="a picture to hold to, such as openpose=pose.png",
        ),
    ] = []
    images: Annotated[
        list[Annotated[Picture, BeforeValidator(pictures.to_text)]],
        BeforeValidator(pictures.to_list),
        FieldWords(
            "Source pictures: https URL, data URL or local file. They make it an edit.",
            "SRC",
            tool="Source pictures to edit: local paths (as returned here) or https URLs.",
            planned=True,
        ),
    ] = []
    strength: Annotated[
        Strength | None,
        FieldWords(
            f"With one source picture: a variant of it; {_SCALE}.",
            "X",
            tool=f"Only to restyle one source: {_SCALE}. Left out: an edit by instruction.",
            planned=True,
        ),
    ] = None
    mask: Annotated[
        Mask | None,
        BeforeValidator(pictures.to_text),
        FieldWords(
            "With a source picture: one of its size; what is transparent in it is drawn anew.",
            "SRC",
            tool="Of the source's size; what is transparent in it is drawn anew.",
        ),
    ] = None
    style_images: Annotated[
        list[StyleImageOrText],
        BeforeValidator(pictures.to_list),
        FieldWords(
            "Pictures whose style is taken: each a source, or an object with image and strength.",
            "SRC",
            help="a picture whose style is taken",
        ),
    ] = []
    background: Annotated[
        Annotated[Literal["auto", "transparent", "opaque"], BeforeValidator(lower)] | None,
        FieldWords("auto, transparent or opaque, where the engine draws it.", "B"),
    ] = None
    grounding: Annotated[Flag | None, FieldWords("Look facts up on the web before drawing.")] = None
    output_format: Annotated[
        Format | None,
        FieldWords("jpeg, png or webP.", "F", "--format", tool="Only when the user names one."),
    ] = None
    enhance_prompt: finishing.EnhancePrompt = None
    inpaint: finishing.Inpaint = None
    hires: finishing.Hires = None
    hires_strength: finishing.HiresStrength = None
    upscale: finishing.Passes = None
    upscale_model: finishing.UpscaleModel = None
    remove_background: finishing.RemoveBackground = None
    svg: finishing.Svg = None
    svg_settings: finishing.SvgSettings = {}
    caption: finishing.Caption = None
    auto_tags: finishing.AutoTags = None
    rate: finishing.Rate = None
    exact: finishing.ExactSize = None
    free: finishing.Free = None
    crop: finishing.Crop = None
    file_quality: finishing.FileQuality = None
    file_width: finishing.FileWidth = None
    strip_metadata: finishing.StripMetadata = None
    on_service: finishing.OnService = None
    options: Annotated[
        dict[str, Any],
        BeforeValidator(pictures.inside),
        FieldWords(
            "The engine's own remaining fields, such as resolution or clipSkip.",
            "K=V",
            tool="What follows: upscale (1 to 3 passes, each doubles), remove_background (true: a "
            "transparent PNG), exact (pixels such as 256x256, instead of any size), svg (vtracer), "
            "hires, enhance_prompt, caption, inpaint (a mask). Rarely: the engine's own fields "
            "(resolution, clipSkip, ...), or route, sampler, scheduler, embeddings, vae, trigger "
            "(true: add the LoRAs' trigger words).",
            planned=True,
        ),
    ] = {}
    retired: Annotated[
        Flag,
        FieldWords("Take a variant that its maker has withdrawn all the same.", planned=True),
    ] = False

    @model_validator(mode="after")
    def _what_goes_together(self) -> ImageRequest:
        if self.aspect_ratio is not None and (self.width or self.height):
            accepted = "aspect_ratio alone, or width and height alone"
            why = "names a shape, and so do width and height"
            raise RequestInvalid(Problem("aspect_ratio", self.aspect_ratio, accepted, None, why))
        if self.strength is not None and not self.images:
            why = "says how far to leave a source picture, and there is none"
            raise RequestInvalid(Problem("strength", self.strength, "images with it", None, why))
        if self.mask is not None and not self.images:
            why = "says what to draw anew in a source picture, and there is none"
            raise RequestInvalid(Problem("mask", self.mask, "images with it", None, why))
        if not self.model_fields_set.isdisjoint(FOLLOWING):
            problems = [*finishing.check(self), *finishing.check_drawing(self)]
            if problems:
                raise RequestInvalid(*problems)
        return self


#: The fields that ask for more than a drawing; a request without them needs one step.
FOLLOWING = frozenset(
    name
    for name, field in ImageRequest.model_fields.items()
    if any(isinstance(mark, Follows) for mark in field.metadata)
)
