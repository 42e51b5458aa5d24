"""What several families share: the forms of checkpoints, settings that spoil, reasons."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from datetime import date
from functools import cache
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import Field, create_model
from pydantic.fields import FieldInfo

from civitai_skill.engines import forms
from civitai_skill.engines.family import Caution, Measured
from civitai_skill.engines.forms import Operation
from civitai_skill.schema.types import Picture


# -- forms that differ by little -----------------------------------------------------------------
def leaf(
    *bases: type[forms.Wire],
    ecosystem: str = "",
    named: str = "",
    buzz: Callable[[Any], float | None] | None = None,
    **defaults: Any,
) -> type[forms.Wire]:
    """A form that is its bases together, but for what selects it (`ecosystem`, and a model that is
    `named`), its documented price (`buzz`) and the defaults of fields; their types and limits stay.

    A field that must be said stays so, and its default is only what the document calls so. The form
    stands in the module that asks for it by its title too: there pickle looks for it.
    """
    home: dict[str, Any] = sys._getframe(1).f_globals
    made: dict[str, Any] = {}
    if ecosystem:
        made["ecosystem"] = (Literal[ecosystem], ecosystem)
    if named:
        made["model_name"] = (Literal[named], Field(named, alias="model"))
    for name, value in defaults.items():
        field = next(b.model_fields[name] for b in bases if name in b.model_fields)
        kind: Any = Annotated[field.annotation, *field.metadata]
        said = (
            {"json_schema_extra": {"default": value}} if field.is_required() else {"default": value}
        )
        made[name] = (kind, Field(alias=field.alias, **said))
    title = "".join([*(base.__name__ for base in bases), *re.findall(r"\w+", named.title())])
    while title in home:
        title += "_"
    form: type[forms.Wire] = create_model(
        title, __base__=bases, __module__=home["__name__"], **made
    )
    if buzz is not None:
        form.buzz = buzz  # type: ignore[method-assign, assignment]
    home[title] = form
    return form


@cache
def edits(least: int, most: int) -> type[forms.Edit]:
    """An edit of so many source pictures."""
    limits = Field(min_length=least or None, max_length=most)
    images: Any = (Annotated[list[Picture], limits], ... if least else [])
    return create_model(f"Edit{most}", __base__=forms.Edit, images=images)


# -- forms whose limits nobody published ----------------------------------------------------------
class Unpublished(forms.Wire):
    """A form whose limits nobody published: every one that a base gives it becomes a likely one.

    Names, optionality and enums of such a form are the document's. Its ranges and lengths are
    guidance (`x-likely` there): they are shown and warned of, and nothing is refused for them.
    """

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for field in cls.model_fields.values():
            field.annotation = _eased(field.annotation)
            field.metadata = _marks(field.metadata)
        cls.model_rebuild(force=True)


def _marks(metadata: Any) -> list[Any]:
    """The marks of an annotation, its limits as one likely one."""
    flat = [
        m for mark in metadata for m in (mark.metadata if isinstance(mark, FieldInfo) else [mark])
    ]
    low, high, kept = None, None, []
    for mark in flat:
        if isinstance(mark, Ge | MinLen):
            low = mark.ge if isinstance(mark, Ge) else mark.min_length
        elif isinstance(mark, Le | MaxLen):
            high = mark.le if isinstance(mark, Le) else mark.max_length
        else:
            kept.append(mark)
    return kept if low is None and high is None else [*kept, forms.Likely(low, high)]  # type: ignore[arg-type]


def _eased(annotation: Any) -> Any:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Annotated[_eased(inner[0]), *_marks(inner[1:])]
    if origin in (Union, UnionType):
        return Union[tuple(map(_eased, inner))]  # noqa: UP007 (of a list that is known at run time)
    return annotation


# -- the forms of Civitai's own checkpoints, by its two backends ----------------------------------
class Checkpoint(forms.Sized):
    """A checkpoint as `model`."""

    prompt: forms.LongText
    guidance: forms.Guidance30 = Field(7.0, alias="cfgScale")
    quantity: forms.Quantity12 = 1
    model: forms.ModelAir
    vae: forms.VaeAir | None = Field(None, alias="vaeModel")


class SdcppCheckpoint(forms.Sdcpp, Checkpoint):
    prompt_syntax: ClassVar[forms.Syntax] = "weights"
    steps: forms.Steps150 = 20
    embeddings: forms.EmbeddingAirs = []
    u_cache: Literal["off", "normal"] | None = None


class ComfyCheckpoint(forms.Comfy, Checkpoint):
    prompt_syntax: ClassVar[forms.Syntax] = "comfy"
    steps: forms.Steps150 = 30
    control_nets: list[forms.ControlNet] = []


class Open(forms.Wire):
    """What most forms of open models share."""

    prompt: forms.LongText
    negative_prompt: forms.LongText | None = None
    steps: forms.Steps150 = 20
    guidance: forms.Guidance30 = Field(4.0, alias="cfgScale")
    quantity: forms.Quantity12 = 1


class ComfyModel(forms.Comfy, Open, forms.Sized):
    """What the newer models on comfy share; another checkpoint of theirs is `diffusionModel`."""

    model: forms.ModelAir | None = Field(None, alias="diffusionModel")


class ComfyEdit(ComfyModel, forms.Edit):
    """Their edits, of one or two sources."""

    quantity: forms.Quantity4 = 1
    images: Annotated[list[Picture], Field(min_length=1, max_length=2)] = forms.ABSENT


class ComfyUnscheduled(Unpublished, forms.ComfySampled, Open, forms.Sized, forms.Create):
    """What the comfy forms of September 2026 without a schedule share (chroma, ponyV7, hidream)."""

    guidance: forms.Guidance30 = Field(3.5, alias="cfgScale")
    control_nets: list[forms.ControlNet] = []


# -- how long they take ---------------------------------------------------------------------------
Seen = tuple[float, float, float]


def catalogue(
    create: Seen | None = None, edit: Seen | None = None, *, alike: Seen | None = None
) -> Mapping[Operation, Measured]:
    """What the service's public catalogue said of forms on 2026-08-31, of the day before: p50, p95
    and success of each operation, or of both `alike`, where one form does them."""
    seen: dict[Operation, Seen | None] = {"create": create or alike, "edit": edit or alike}
    whose = (date(2026, 8, 31), "the service's catalogue")
    return {operation: Measured(*figures, *whose) for operation, figures in seen.items() if figures}


# -- settings that spoil --------------------------------------------------------------------------
def sdcpp_cautions(*variants: str) -> tuple[Caution, ...]:
    """What Civitai's own matrix says of the distilled families on sdcpp (engine guide, part 0)."""
    return (
        Caution("gives a black picture", "scheduler", ("ays",), variants),
        Caution("gives noise", "scheduler", ("gits",), variants),
        Caution("fails", "sampler", ("ddim_trailing", "tcd"), variants),
    )


#: Beside those, on flux1, qwen and z-image.
DISTORTING = Caution("distorts", "sampler", ("euler_a", "dpm++2s_a"))
#: On sd1 and sdxl.
ONLY_LCM = Caution("is for LCM checkpoints and LoRAs only", "sampler", ("lcm",))


# -- why they fit ---------------------------------------------------------------------------------
TWIN = (
    "sdcpp draws, by its documented price; a sampler or schedule that only comfy has goes by "
    "comfy, whose price and limits are not published."
)
NO_PRICE = "The price is not documented: ask for an estimate first."
NO_MASK = "takes no mask: say what changes and that everything else stays"
LOOK_UP = "looks nothing up: find the facts first and write them into the prompt"
