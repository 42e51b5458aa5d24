"""What a request is made of: objects inside it, and the base that refuses what it does not know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema import pictures
from civitai_skill.schema.problems import to_problems
from civitai_skill.schema.references import ACCEPTED, split_strength
from civitai_skill.schema.types import (
    Guide,
    Limited,
    LoraStrength,
    Mask,
    ModelText,
    Share,
    Style,
    Text,
)

#: More than any request has. A refusal of each of a million parts would take minutes to word.
_MOST_NAMES, _MOST_PARTS = 100, 1000


class StrictModel(BaseModel):
    """Refusals are RequestInvalid from the start, so that one kind of error leaves every door."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def __init__(self, /, **values: Any) -> None:
        if len(values) > _MOST_NAMES:
            given = f"{len(values)} names"
            raise RequestInvalid(Problem("request", given, f"at most {_MOST_NAMES}"))
        for name, value in values.items():
            if isinstance(value, list | tuple | Mapping) and len(value) > _MOST_PARTS:
                raise RequestInvalid(Problem(name, f"{len(value)} parts", f"at most {_MOST_PARTS}"))
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise RequestInvalid(*to_problems(error, type(self))) from None


class Asked(StrictModel):
    """The base of requests, whose first field may be given alone."""

    @classmethod
    def of(cls, asked: Any, /, **fields: Any) -> Self:
        """A request from a request, fields, or what its first field is, with more fields.

        Raises RequestInvalid.
        """
        if isinstance(asked, cls):
            return cls(**asked.said() | fields) if fields else asked
        if isinstance(asked, Mapping):
            return cls(**{str(name): value for name, value in asked.items()} | fields)
        return cls(**{next(iter(cls.model_fields)): asked} | fields)

    def said(self) -> dict[str, Any]:
        """The fields that were said, as they are."""
        return {name: getattr(self, name) for name in self.model_fields_set}

    def given(self, name: str) -> bool:
        """Was the field said, and not as null?"""
        return name in self.model_fields_set and getattr(self, name) is not None


class Lora(StrictModel):
    """A LoRA, and how strongly it acts (0 to 4; most are made for 0.6 to 1); AIR=STRENGTH as text.

    `air` may also be what leads to an AIR: its page's address, a file hash, name:TEXT.
    """

    air: ModelText = Field(description=f"The LoRA: {ACCEPTED}.")
    strength: LoraStrength = Field(
        default=1.0, description="0 to 4; most LoRAs are made for 0.6 to 1."
    )


class StyleImage(StrictModel):
    """A picture whose style is taken, and how strongly (a picture alone stands for strength 1)."""

    image: Annotated[Style, BeforeValidator(pictures.to_text)] = Field(
        description="https URL, data URL or local file."
    )
    strength: Limited = Field(default=1.0, description="How strongly its style is taken.")


class ControlNet(StrictModel):
    """What holds the picture to a pose, edges or depth; KIND=SOURCE as text says the first two.

    `preprocessor` says what `image` is (canny, openpose, depthAnythingV2, inpaint and so on; the
    engine lists its own); a `mask` belongs to inpaint. Steps are shares of all steps.
    """

    preprocessor: Text
    image: Guide | None = None
    mask: Mask | None = None
    weight: Limited = 1.0
    start_step: Share = Field(0.0, validation_alias=AliasChoices("start_step", "startStep"))
    end_step: Share = Field(1.0, validation_alias=AliasChoices("end_step", "endStep"))


def _read_control(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    kind, _, source = value.partition("=")
    return {"preprocessor": kind} | ({"image": source} if source else {})


def _read_lora(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    air, strength = split_strength(value)
    if strength is None:
        return {"air": air}
    try:
        return {"air": air, "strength": float(strength)}
    except ValueError:
        return {"air": air, "strength": strength}  # refused by its own name


def _read_style(value: Any) -> Any:
    text = pictures.to_text(value)
    return {"image": text} if isinstance(text, str) else value


LoraOrText = Annotated[Lora, BeforeValidator(_read_lora)]
ControlNetOrText = Annotated[ControlNet, BeforeValidator(_read_control)]
StyleImageOrText = Annotated[StyleImage, BeforeValidator(_read_style)]
