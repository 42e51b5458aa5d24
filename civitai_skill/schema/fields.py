"""The fields of a request, light: for the command line, tables and typed keywords.

Rendered by scripts/render.py from ImageRequest and FinishRequest, where a field is added.
"""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypedDict


class RequestField(NamedTuple):
    """A field: its kind (text, choice, whole, number, flag, loras, texts, options), its words."""

    name: str
    kind: str
    flag: str
    metavar: str
    help: str
    choices: tuple[str, ...] = ()
    #: Does it decide how a form is made? No form takes it as it is.
    planned: bool = False
    #: Does it stand in the picture's metadata?
    embedded: bool = False


FIELDS = (
    RequestField("prompt", "text", "--prompt", "PROMPT", "what should be in the picture", embedded=True),
    RequestField("engine", "text", "--engine", "NAME", "engine family; flux2 (klein 4b) when left out", planned=True),
    RequestField("variant", "text", "--variant", "NAME", "a family's own variant, such as klein-9b, dev, turbo, v4.5, 2.0-pro", planned=True),
    RequestField("route", "text", "--route", "NAME", "backend where a family has several (sdcpp, comfy, fal)", planned=True, embedded=True),
    RequestField("quality", "choice", "--quality", "Q", "draft, standard (when left out) or high: which variant and settings the family takes", choices=('draft', 'standard', 'high'), planned=True, embedded=True),
    RequestField("negative_prompt", "text", "--negative-prompt", "TEXT", "what should not be in the picture", embedded=True),
    RequestField("width", "whole", "--width", "PX", "pixels", embedded=True),
    RequestField("height", "whole", "--height", "PX", "pixels", embedded=True),
    RequestField("aspect_ratio", "text", "--aspect-ratio", "W:H", "such as 16:9, instead of width and height", planned=True, embedded=True),
    RequestField("quantity", "whole", "--quantity", "N", "how many pictures; 1 when left out"),
    RequestField("seed", "whole", "--seed", "N", "for the same picture again"),
    RequestField("steps", "whole", "--steps", "N", "denoising steps", embedded=True),
    RequestField("guidance", "number", "--guidance", "X", "how closely the prompt is followed (CFG scale)", embedded=True),
    RequestField("sampler", "text", "--sampler", "NAME", "sampler, in the route's own spelling", embedded=True),
    RequestField("scheduler", "text", "--scheduler", "NAME", "noise schedule, in the route's own spelling", embedded=True),
    RequestField("model", "text", "--model", "MODEL", "a checkpoint: AIR, page address, file hash or name:TEXT", embedded=True),
    RequestField("loras", "loras", "--lora", "MODEL[=X]", "a LoRA, named like --model, and its strength (1)", embedded=True),
    RequestField("embeddings", "texts", "--embedding", "MODEL", "an embedding, named like --model", embedded=True),
    RequestField("vae", "text", "--vae", "MODEL", "a VAE in place of the model's own, named like a model", embedded=True),
    RequestField("trigger", "flag", "--trigger", "", "add the trigger words of its LoRAs that the prompt lacks", planned=True),
    RequestField("control_nets", "texts", "--control-net", "KIND=SRC", "a picture to hold to, such as openpose=pose.png"),
    RequestField("images", "texts", "--image", "SRC", "source pictures: https URL, data URL or local file", planned=True),
    RequestField("strength", "number", "--strength", "X", "with one source picture: a variant of it; touch (0.35), clear (0.6), strong (0.8), or 0 (keeps it) to 1 (ignores it)", choices=('touch', 'clear', 'strong'), planned=True),
    RequestField("mask", "text", "--mask", "SRC", "with a source picture: one of its size; what is transparent in it is drawn anew"),
    RequestField("style_images", "texts", "--style-image", "SRC", "a picture whose style is taken"),
    RequestField("background", "choice", "--background", "B", "auto, transparent or opaque, where the engine draws it", choices=('auto', 'transparent', 'opaque'), embedded=True),
    RequestField("grounding", "flag", "--grounding", "", "look facts up on the web before drawing", embedded=True),
    RequestField("output_format", "choice", "--format", "F", "jpeg, png or webP", choices=('jpeg', 'png', 'webP'), embedded=True),
    RequestField("enhance_prompt", "flag", "--enhance-prompt", "", "have the prompt reworded for the engine before it draws; the new words are shown", planned=True),
    RequestField("inpaint", "text", "--inpaint", "SRC", "a mask of the source's size: what is transparent in it is repaired", planned=True),
    RequestField("hires", "number", "--hires", "X", "draw it a second time from the first, so many times as wide and high (1 to 4)", planned=True),
    RequestField("hires_strength", "number", "--hires-strength", "X", "how far the second drawing leaves the first, 0 to 1; 0.4 when left out", planned=True),
    RequestField("upscale", "whole", "--upscale", "N", "upscale it on the service: 1 to 3 passes, each doubles width and height", planned=True),
    RequestField("upscale_model", "text", "--upscale-model", "AIR", "AIR of the upscaler's model; 4x-Remacri when left out", planned=True),
    RequestField("remove_background", "flag", "--remove-background", "", "make everything but the subject transparent", planned=True),
    RequestField("svg", "choice", "--svg", "S", "draw it as SVG: vtracer, starvector or omnisvg", choices=('vtracer', 'starvector', 'omnisvg'), planned=True),
    RequestField("svg_settings", "options", "--svg-setting", "K=V", "settings of the SVG's maker, such as filterSpeckle or colorPrecision", planned=True),
    RequestField("caption", "flag", "--caption", "", "describe the picture in words", planned=True),
    RequestField("auto_tags", "flag", "--auto-tags", "", "tag the picture, each tag with a score", planned=True),
    RequestField("rate", "flag", "--rate", "", "say how mature the service rates it (pg, pg13, r, x, xxx)", planned=True),
    RequestField("exact", "text", "--exact", "WxH", "exactly these pixels, such as 5000x200, enlarged and cropped as needed", planned=True),
    RequestField("free", "flag", "--free", "", "reach exact pixels without a paid step: enlarge here, however much", planned=True),
    RequestField("crop", "text", "--crop", "PART", "cut a part out: 800x600 from the middle, 800x600+LEFT+TOP, or a ratio such as 16:9", planned=True),
    RequestField("file_quality", "whole", "--file-quality", "N", "of the saved JPEG or WebP, 1 to 100", planned=True),
    RequestField("file_width", "whole", "--file-width", "PX", "pixels of the saved file's width; its height follows", planned=True),
    RequestField("strip_metadata", "flag", "--strip-metadata", "", "save it without what its file tells about it", planned=True),
    RequestField("on_service", "flag", "--on-service", "", "convert format, quality and width on the service, for 1 Buzz", planned=True),
    RequestField("options", "options", "--option", "K=V", "the engine's own remaining fields, such as resolution or clipSkip", planned=True),
    RequestField("retired", "flag", "--retired", "", "take a variant that its maker has withdrawn all the same", planned=True),
)

#: Of a request to finish pictures that are there.
FINISH_FIELDS = (
    RequestField("images", "texts", "--image", "SRC", "pictures to finish: https URL, data URL or local file"),
    RequestField("upscale", "whole", "--upscale", "N", "upscale it on the service: 1 to 3 passes, each doubles width and height", planned=True),
    RequestField("upscale_model", "text", "--upscale-model", "AIR", "AIR of the upscaler's model; 4x-Remacri when left out", planned=True),
    RequestField("remove_background", "flag", "--remove-background", "", "make everything but the subject transparent", planned=True),
    RequestField("svg", "choice", "--svg", "S", "draw it as SVG: vtracer, starvector or omnisvg", choices=('vtracer', 'starvector', 'omnisvg'), planned=True),
    RequestField("svg_settings", "options", "--svg-setting", "K=V", "settings of the SVG's maker, such as filterSpeckle or colorPrecision", planned=True),
    RequestField("caption", "flag", "--caption", "", "describe the picture in words", planned=True),
    RequestField("auto_tags", "flag", "--auto-tags", "", "tag the picture, each tag with a score", planned=True),
    RequestField("rate", "flag", "--rate", "", "say how mature the service rates it (pg, pg13, r, x, xxx)", planned=True),
    RequestField("exact", "text", "--exact", "WxH", "exactly these pixels, such as 5000x200, enlarged and cropped as needed", planned=True),
    RequestField("free", "flag", "--free", "", "reach exact pixels without a paid step: enlarge here, however much", planned=True),
    RequestField("crop", "text", "--crop", "PART", "cut a part out: 800x600 from the middle, 800x600+LEFT+TOP, or a ratio such as 16:9", planned=True),
    RequestField("output_format", "choice", "--format", "F", "jpeg, png or webP", choices=('jpeg', 'png', 'webP')),
    RequestField("quality", "whole", "--quality", "N", "of the saved JPEG or WebP, 1 to 100", planned=True),
    RequestField("width", "whole", "--width", "PX", "pixels of the saved file's width; its height follows", planned=True),
    RequestField("strip_metadata", "flag", "--strip-metadata", "", "save it without what its file tells about it", planned=True),
    RequestField("on_service", "flag", "--on-service", "", "convert format, quality and width on the service, for 1 Buzz", planned=True),
)


class RequestFields(TypedDict, total=False):
    """The fields of an ImageRequest, as keywords beside a prompt."""

    engine: str
    variant: str | None
    route: str | None
    quality: Literal['draft', 'standard', 'high']
    negative_prompt: str | None
    width: int | None
    height: int | None
    aspect_ratio: str | None
    quantity: int
    seed: int | None
    steps: int | None
    guidance: float | None
    sampler: str | None
    scheduler: str | None
    model: str | None
    loras: Sequence[Any]
    embeddings: Any
    vae: str | None
    trigger: bool
    control_nets: Any
    images: Any
    strength: Literal['touch', 'clear', 'strong'] | float | None
    mask: str | None
    style_images: Any
    background: str | None
    grounding: bool | None
    output_format: str | None
    enhance_prompt: bool | None
    inpaint: str | None
    hires: float | None
    hires_strength: float | None
    upscale: int | None
    upscale_model: str | None
    remove_background: bool | None
    svg: str | None
    svg_settings: Mapping[str, Any]
    caption: bool | None
    auto_tags: bool | None
    rate: bool | None
    exact: str | None
    free: bool | None
    crop: str | None
    file_quality: int | None
    file_width: int | None
    strip_metadata: bool | None
    on_service: bool | None
    options: Mapping[str, Any]
    retired: bool


class FinishFields(TypedDict, total=False):
    """The fields of a FinishRequest, as keywords beside pictures."""

    upscale: int | None
    upscale_model: str | None
    remove_background: bool | None
    svg: str | None
    svg_settings: Mapping[str, Any]
    caption: bool | None
    auto_tags: bool | None
    rate: bool | None
    exact: str | None
    free: bool | None
    crop: str | None
    output_format: str | None
    quality: int | None
    width: int | None
    strip_metadata: bool | None
    on_service: bool | None
