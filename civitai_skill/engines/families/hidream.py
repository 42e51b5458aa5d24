"""hidream: HiDream.ai's O1 (2K pictures and edits) and the older I1."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from civitai_skill.engines import forms
from civitai_skill.engines.families.shared import NO_PRICE, ComfyUnscheduled, Open, edits, leaf
from civitai_skill.engines.family import Family, Fit, Variant, Way
from civitai_skill.engines.sizing import by_ratio
from civitai_skill.schema.types import Whole

_O1 = "urn:air:hidream-o1:checkpoint:civitai:2618495"


# -- O1 -----------------------------------------------------------------------------------------
class O1(forms.ComfyBare, Open, forms.Sized):
    """What the four forms share: no sampler, no schedule, 2048 pixels a side by default."""

    ecosystem: Literal["hidream-o1"] = "hidream-o1"
    width: Annotated[Whole, Field(ge=64, le=2048)] = 2048
    height: Annotated[Whole, Field(ge=64, le=2048)] = 2048
    quantity: forms.Quantity4 = 1
    steps: forms.Steps150 = 40
    guidance: forms.Guidance30 = Field(5.0, alias="cfgScale")
    model: forms.ModelAir = Field(f"{_O1}@2939946", alias="checkpointModel")


_DEV: dict[str, Any] = {"steps": 28, "guidance": 1.0, "model": f"{_O1}@2939964"}

FullCreate = leaf(O1, forms.Create, named="HiDream-O1-Image")
FullEdit = leaf(O1, edits(0, 3), named="HiDream-O1-Image")
DevCreate = leaf(O1, forms.Create, named="HiDream-O1-Image-dev", **_DEV)
DevEdit = leaf(O1, edits(0, 3), named="HiDream-O1-Image-dev", **_DEV)


# -- I1 -----------------------------------------------------------------------------------------
class I1(ComfyUnscheduled):
    """Its checkpoint is chosen by variant and precision; there is no model to name."""

    ecosystem: Literal["hidream"] = "hidream"
    checkpoint: Literal["fast", "dev", "full"] = Field(forms.ABSENT, alias="variant")
    precision: Literal["fp8", "fp16"] = forms.ABSENT


_AT_1K = by_ratio("1:1 1024x1024, 4:3 1152x864, 3:2 1248x832, 16:9 1344x768, 21:9 1568x672")


def _i1(checkpoint: str, steps: int, guidance: float, best_for: str, *fits: Fit) -> Variant:
    default = {"steps": steps, "guidance": guidance, "sampler": "euler"}
    return Variant(
        f"i1-{checkpoint}",
        (Way(I1, fixed={"checkpoint": checkpoint}, default=default),),
        fits=fits,
        best_for=best_for,
        avoid_for="edits: only O1 has them",
        sizes_at={"draft": _AT_1K, "standard": _AT_1K, "high": _AT_1K},
        ecosystems=frozenset({"hidream"}),
    )


_O1_ONLY = frozenset({"hidreamo1"})

FAMILY = Family(
    name="hidream",
    title="HiDream",
    maker="HiDream.ai",
    suits="2K detail and edits",
    variants=(
        Variant(
            "o1",
            (Way(FullCreate, high={"steps": 50}), Way(FullEdit, high={"steps": 50})),
            fits=(
                Fit("edit", 45, "redraws a subject in 2K detail", pictures=1),
                Fit("keep_character", 45, "up to 3 references of a subject", pictures=1),
                Fit("several_references", 42, "up to 3 sources in 2K detail", pictures=2),
                Fit("text_in_picture", 42, "text in a 2K picture"),
                Fit("photo", 42, "2K detail, at a price that is not documented"),
                Fit("commercial_licence", 48, "MIT weights"),
                Fit("lora", 39, "takes LoRAs made for HiDream O1"),
                Fit("checkpoint", 39, "takes a HiDream O1 checkpoint as model"),
                Fit("exact_seed", 42, "real seeds"),
                Fit("mature", 42, "only Civitai's own moderation applies"),
            ),
            best_for="2K detail, text, edits that keep a subject (up to 3 sources)",
            avoid_for="small sizes, quick drafts",
            aliases=("o1-full", "o1-image"),
            ecosystems=_O1_ONLY,
            notes=("The maker runs 50 steps. Prefer it to o1-dev for edits.",),
        ),
        Variant(
            "o1-dev",
            (Way(DevCreate), Way(DevEdit)),
            fits=(
                Fit("draft", 36, "fewer steps than o1, at a price that is not documented"),
                Fit("edit", 39, "edits in fewer steps", pictures=1),
                Fit("commercial_licence", 42, "MIT weights"),
            ),
            best_for="2K pictures in fewer steps",
            avoid_for="negative prompts: they do nothing at guidance 1",
            aliases=("o1-image-dev",),
            ecosystems=_O1_ONLY,
        ),
        _i1(
            "full",
            50,
            5,
            "LoRAs made for HiDream I1",
            Fit("lora", 39, "takes LoRAs made for HiDream I1"),
        ),
        _i1("dev", 28, 1, "HiDream I1 in fewer steps"),
        _i1("fast", 16, 1, "a quick look with HiDream I1"),
    ),
    quality={"draft": "o1-dev", "standard": "o1", "high": "o1"},
    best_for=("2K detail", "edits that keep a subject", "an open licence"),
    avoid_for=("small sizes", "quick drafts", "a price that must be known before"),
    prompt=(
        "Long natural prose: subject, scene, light, medium, and the text to be read in quotes. For "
        "an edit say what the subject does now and what stays."
    ),
    sizes=by_ratio("1:1 2048x2048, 4:3 2048x1536, 3:2 2048x1376, 16:9 2048x1152, 21:9 2048x864"),
    multiple=32,
    ecosystems=frozenset({"hidream", "hidreamo1"}),
    mature="civitai",
    licence="MIT",
    notes=(
        NO_PRICE,
        "O1 has no sampler and no schedule to choose, I1 no schedule.",
        "I1's checkpoint follows from the variant and options.precision (fp8 or fp16).",
    ),
    conflicts=(
        "O1's sizes: the maker trained near 4 megapixels with sides over 2048, the document ends "
        "at 2048. Taken: 2048 on the longer side.",
        "O1's steps: 40 by the document, 50 by the maker. Taken: 40, and 50 for high.",
        "I1's limits are not published: those of the comfy checkpoints are taken for likely; its "
        "steps and guidance (16, 28 and 50; 1, 1 and 5) are the site's. O1's multiple of 32 is "
        "taken for both.",
    ),
    sources=(
        "published document, forms ComfyHiDreamO1*",
        "the service's published types, September 2026",
        "HiDream-O1 repository and model card",
        "civitai/civitai generator source, autumn 2026",
    ),
)
