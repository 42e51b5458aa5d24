"""anima: CircleStone Labs Anima 2B, modern anime by tags or prose."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from civitai_skill.engines import forms
from civitai_skill.engines.families.shared import Open, catalogue, leaf
from civitai_skill.engines.family import Family, Fit, Variant, ways
from civitai_skill.engines.sizing import by_ratio


class Anima(Open, forms.Sized):
    ecosystem: Literal["anima"] = "anima"
    steps: forms.Steps150 = 30
    model: forms.ModelAir = Field(forms.ABSENT, alias="diffuserModel")

    buzz = forms.rate(8, steps=25)


class AnimaComfy(forms.Comfy, Anima):
    prompt_syntax: ClassVar[forms.Syntax] = "comfy"
    control_nets: list[forms.ControlNet] = []
    vae: forms.VaeAir = Field(forms.ABSENT, alias="vaeModel")


#: comfy first: the site draws with it, and it is the one that was measured.
_FORMS = (
    leaf(AnimaComfy, forms.Create),
    leaf(AnimaComfy, forms.ComfyVariantOf),
    leaf(forms.Sdcpp, Anima, forms.Create),
    leaf(forms.Sdcpp, Anima, forms.VariantOf),
)

_TURBO = "urn:air:anima:checkpoint:civitai:2458426@3108589"

FAMILY = Family(
    name="anima",
    title="Anima",
    maker="CircleStone Labs",
    suits="modern anime",
    variants=(
        Variant(
            "base",
            ways(*_FORMS, default={"steps": 30, "guidance": 4.5}, high={"steps": 40}),
            fits=(
                Fit("anime", 57, "knows tags, characters and @artists, and prose as well"),
                Fit("illustration", 51, "drawn styles by tag or prose"),
                Fit("restyle", 48, "a variant of the source in anime style", {"strength": 0.6}, 1),
                Fit("fastest", 51, "a small model; half a minute was measured"),
                Fit("lora", 51, "takes LoRAs made for Anima"),
                Fit("checkpoint", 45, "takes an Anima checkpoint as model"),
                Fit("exact_seed", 54, "real seeds; pin sampler and size as well"),
                Fit("mature", 54, "only Civitai's own moderation applies"),
            ),
            best_for="anime and illustration by tags or prose, named characters, Anima LoRAs",
            avoid_for="realism, text in pictures",
            seconds="10-25",
            measured=catalogue(create=(34, 97, 0.994)),
            aliases=("2b",),
            notes=("The model card draws at guidance 4 to 5 with sampler er_sde.",),
        ),
        Variant(
            "turbo",
            ways(
                *_FORMS,
                default={"model": _TURBO, "steps": 10, "guidance": 1},
                draft={"steps": 8},
                high={"steps": 12},
            ),
            fits=(
                Fit("draft", 48, "8 steps"),
                Fit("cheapest", 51, "8 steps for about 3 Buzz"),
                Fit("anime", 48, "anime in 10 steps"),
            ),
            best_for="anime drafts",
            avoid_for="negative prompts: they do nothing at guidance 1",
        ),
    ),
    quality={"draft": "turbo", "standard": "base", "high": "base"},
    own_checkpoint="base",
    best_for=("anime by tags or prose", "named characters and artists", "Anima LoRAs"),
    avoid_for=("realism", "text in pictures", "commercial use"),
    prompt=(
        "Lower-case tags with spaces in this order: quality, meta, year, safety, 1girl, character, "
        "series, @artist, the rest; begin with masterpiece, best quality, score_7, safe. An artist "
        "needs the @; describe how a named character looks. Prose needs two sentences or more, "
        "weights must be large: (word:2). Negative: worst quality, low quality, score_1, score_2, "
        "score_3."
    ),
    sizes=by_ratio("1:1 1024x1024, 4:3 1152x896, 3:2 1216x832, 16:9 1344x768, 21:9 1536x640"),
    multiple=16,
    ecosystems=frozenset({"anima"}),
    mature="civitai",
    licence="non-commercial weights",
    notes=(
        "About 1 megapixel; the model card names 512 to 1536 a side.",
        "Samplers are spelt otherwise on comfy and sdcpp; euler with simple is safe on both.",
    ),
    conflicts=(
        "Guidance: the recipe page draws at 4 and warns of 7, the site sends 7, the card says 4 to "
        "5. Taken: 4.5.",
        "Variants: the recipe page has none, the document has. The document rules.",
    ),
    sources=(
        "recipe page anima (August 2026)",
        "published document, forms Anima* and ComfyAnima*",
        "Anima model card",
        "civitai/civitai generator source, August 2026",
    ),
)
