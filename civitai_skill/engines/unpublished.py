"""Forms whose limits nobody published: their siblings' are likely, and the service decides.

Names, optionality and enums of such a form are the document's. Its ranges and lengths are guidance
(`x-likely` in the document): they are shown and warned of, and nothing is refused for them.
"""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic.fields import FieldInfo

from civitai_skill.engines.forms import Likely, Wire


class Unpublished(Wire):
    """A form with no published limits: every limit that a base gives it becomes a likely one."""

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
    return kept if low is None and high is None else [*kept, Likely(low, high)]  # type: ignore[arg-type]


def _eased(annotation: Any) -> Any:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Annotated[_eased(inner[0]), *_marks(inner[1:])]
    if origin in (Union, UnionType):
        return Union[tuple(map(_eased, inner))]  # noqa: UP007 (of a list that is known at run time)
    return annotation
