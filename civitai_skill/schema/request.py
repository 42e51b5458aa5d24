"""ImageRequest: the one vocabulary that people and models speak.

A request says what picture is wanted. Which wire form carries it, and under which names, is the
engines' business (`civitai_skill.engines`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema.air import EXAMPLE
from civitai_skill.schema.types import (
    AirText,
    Flag,
    Limited,
    Mask,
    ModelText,
    Picture,
    Style,
    Text,
    Whole,
)

Quality = Literal["draft", "standard", "high"]

# Some forms name no limit of their own; the longest that any engine names is 50,000 characters.
LONGEST = 100_000

_RATIO = r"^\d{1,5}(\.\d{1,5})?:\d{1,5}(\.\d{1,5})?$|^auto$"


def _check_prompt(value: str) -> str:
    if not value.strip():
        raise ValueError("empty; say what should be in the picture")
    return value


def _check_ratio(value: str) -> str:
    if value != "auto" and not all(float(part) for part in value.split(":")):
        raise ValueError("a side of the ratio is nothing; write it as 16:9")
    return value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _normalize_format(value: Any) -> Any:
    """Formats are matched without regard to case, and jpg is jpeg."""
    if not isinstance(value, str):
        return value
    return {"jpg": "jpeg", "jpeg": "jpeg", "png": "png", "webp": "webP"}.get(value.lower(), value)


#: More than any request has. A refusal of each of a million parts would take minutes to word.
_MOST_NAMES, _MOST_PARTS = 100, 1000


def _check_bounds(values: Mapping[str, Any]) -> None:
    if len(values) > _MOST_NAMES:
        given = f"{len(values)} names"
        raise RequestInvalid(Problem("request", given, f"at most {_MOST_NAMES}"))
    for name, value in values.items():
        if isinstance(value, list | tuple | Mapping) and len(value) > _MOST_PARTS:
            raise RequestInvalid(Problem(name, f"{len(value)} parts", f"at most {_MOST_PARTS}"))


class StrictModel(BaseModel):
    """Refusals are RequestInvalid from the start, so that one kind of error leaves every door."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def __init__(self, /, **values: Any) -> None:
        _check_bounds(values)
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise RequestInvalid(*to_problems(error, type(self))) from None


class Lora(StrictModel):
    """A LoRA by its AIR, and how strongly it acts (0 to 4; most are made for 0.6 to 1)."""

    air: AirText = Field(description=f"AIR of the LoRA, such as {EXAMPLE}.")
    strength: Annotated[Limited, Field(ge=0, le=4)] = Field(
        default=1.0, description="0 to 4; most LoRAs are made for 0.6 to 1."
    )


class StyleImage(StrictModel):
    """A picture whose style is taken, and how strongly (a picture alone stands for strength 1)."""

    image: Style = Field(description="https URL, data URL or local file.")
    strength: Limited = Field(default=1.0, description="How strongly its style is taken.")


def _read_style(value: Any) -> Any:
    return {"image": value} if isinstance(value, str) else value


class ImageRequest(StrictModel):
    """What picture is wanted.

    Only `prompt` is required. Everything left out is decided by the engine's family for the chosen
    `quality`. Unknown fields are refused with the name that was probably meant. Sizes are pixels.

    Raises RequestInvalid for values no engine could take; what one engine cannot take is refused
    when the workflow is built.
    """

    prompt: Annotated[Text, Field(max_length=LONGEST), AfterValidator(_check_prompt)] = Field(
        description="What should be in the picture. How to word it differs by engine."
    )
    engine: Text = Field(
        default="flux2", description="Engine family; flux2 (klein 4b) when left out."
    )
    variant: Text | None = Field(
        default=None,
        description="A family's own variant, such as klein-9b, dev, turbo, v4.5, 2.0-pro.",
    )
    route: Text | None = Field(
        default=None,
        description="Backend where a family has several (sdcpp, comfy, fal). Leave it out.",
    )
    quality: Annotated[Quality, BeforeValidator(_lower)] = Field(
        default="standard",
        description="draft, standard or high: which variant and settings the family takes. "
        "Fields given beside it win.",
    )
    negative_prompt: Annotated[Text, Field(max_length=LONGEST)] | None = Field(
        default=None, description="What should not be in the picture."
    )
    width: Annotated[Whole, Field(ge=1)] | None = Field(default=None, description="Pixels.")
    height: Annotated[Whole, Field(ge=1)] | None = Field(default=None, description="Pixels.")
    aspect_ratio: Annotated[Text, Field(pattern=_RATIO), AfterValidator(_check_ratio)] | None = (
        Field(default=None, description="Such as 16:9, instead of width and height.")
    )
    quantity: Annotated[Whole, Field(ge=1)] = Field(default=1, description="How many pictures.")
    seed: Whole | None = Field(
        default=None,
        description="For the same picture again. Left out: one is chosen and reported.",
    )
    steps: Annotated[Whole, Field(ge=1)] | None = Field(
        default=None, description="Denoising steps."
    )
    guidance: Limited | None = Field(
        default=None, description="How closely the prompt is followed (CFG scale)."
    )
    sampler: Text | None = Field(default=None, description="Sampler, in the route's own spelling.")
    scheduler: Text | None = Field(
        default=None, description="Noise schedule, in the route's own spelling."
    )
    model: ModelText | None = Field(
        default=None, description="AIR of a checkpoint, where the engine takes one."
    )
    loras: list[Lora] = Field(default=[], description="LoRAs: a list of {air, strength}.")
    images: list[Picture] = Field(
        default=[],
        description="Source pictures: https URL, data URL or local file. They make it an edit.",
    )
    strength: Annotated[Limited, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="With one source picture: a variant of it; 0 keeps the source, 1 ignores it.",
    )
    mask: Mask | None = Field(
        default=None,
        description="With a source picture: one of its size; what is transparent is drawn anew.",
    )
    style_images: list[Annotated[StyleImage, BeforeValidator(_read_style)]] = Field(
        default=[], description="Pictures whose style is taken: each as a source, or with strength."
    )
    background: (
        Annotated[Literal["auto", "transparent", "opaque"], BeforeValidator(_lower)] | None
    ) = Field(default=None, description="auto, transparent or opaque.")
    grounding: Flag | None = Field(
        default=None, description="Look facts up on the web before drawing."
    )
    output_format: (
        Annotated[Literal["jpeg", "png", "webP"], BeforeValidator(_normalize_format)] | None
    ) = Field(default=None, description="jpeg, png or webP.")
    options: dict[str, Any] = Field(
        default={}, description="The engine's own remaining fields, such as resolution or clipSkip."
    )
    retired: Flag = Field(
        default=False, description="Take a variant that its maker has withdrawn all the same."
    )

    @model_validator(mode="after")
    def _one_way_to_say_a_size(self) -> ImageRequest:
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
        return self

    @classmethod
    def of(cls, asked: ImageRequest | str | Mapping[str, Any], /, **fields: Any) -> ImageRequest:
        """A request from a request, a prompt or fields, with more fields; RequestInvalid."""
        if isinstance(asked, ImageRequest):
            return cls(**asked.said() | fields) if fields else asked
        if isinstance(asked, Mapping):
            return cls(**{str(name): value for name, value in asked.items()} | fields)
        return cls(**{"prompt": asked, **fields})

    def said(self) -> dict[str, Any]:
        """The fields that were said, as they are."""
        return {name: getattr(self, name) for name in self.model_fields_set}

    def given(self, name: str) -> bool:
        """Was the field said, and not as null?"""
        return name in self.model_fields_set and getattr(self, name) is not None


# Words that people and other tools use, and what they are called here.
_SYNONYMS = {
    "negativeprompt": "negative_prompt",
    "negative": "negative_prompt",
    "cfg": "guidance",
    "cfgscale": "guidance",
    "guidancescale": "guidance",
    "n": "quantity",
    "num": "quantity",
    "numimages": "quantity",
    "count": "quantity",
    "batchsize": "quantity",
    "numinferencesteps": "steps",
    "samplemethod": "sampler",
    "schedule": "scheduler",
    "image": "images",
    "imageurl": "images",
    "source": "images",
    "maskimage": "mask",
    "inpaintmask": "mask",
    "styleimage": "style_images",
    "stylereferences": "style_images",
    "imagestylereferences": "style_images",
    "websearch": "grounding",
    "enablewebsearch": "grounding",
    "lora": "loras",
    "checkpoint": "model",
    "format": "output_format",
    "ratio": "aspect_ratio",
    "size": "width and height, or aspect_ratio",
    "resolution": "options.resolution where an engine has it, else width and height",
    "denoise": "strength",
    "denoisestrength": "strength",
    "denoising": "strength",
    "weight": "strength",
    "air": "model, or loras for a LoRA",
    "version": "variant",
    "provider": "route",
    "clipskip": "options.clipSkip",
}


def nearest_name(name: str, known: list[str]) -> str | None:
    """The name that was probably meant, or None. Case and separators do not count."""
    bare = name.lower().replace("_", "").replace("-", "").replace(" ", "")
    for candidate in known:
        if candidate.lower().replace("_", "").replace("-", "") == bare:
            return candidate
    if bare in _SYNONYMS and (_SYNONYMS[bare] in known or {" ", "."} & set(_SYNONYMS[bare])):
        return _SYNONYMS[bare]
    close = difflib.get_close_matches(name.lower(), [k.lower() for k in known], 1, 0.6)
    return next((k for k in known if close and k.lower() == close[0]), None)


def to_problems(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """pydantic's findings in our words: one Problem for each field."""
    found: dict[str, Problem] = {}
    for detail in error.errors(include_url=False):
        inner = detail.get("ctx", {}).get("error")
        if isinstance(inner, RequestInvalid):
            for problem in inner.problems:
                where = ".".join([*(str(p) for p in detail["loc"]), problem.field])
                named = replace(problem, field=where)
                found.setdefault(named.field, named)
            continue
        problem = _problem(detail, model)
        found.setdefault(problem.field, problem)
    return list(found.values())


def _problem(detail: ErrorDetails, model: type[BaseModel]) -> Problem:
    loc = [p for p in detail["loc"] if p not in ("function-before", "function-after")]
    name = ".".join(str(p) for p in loc) or "request"
    given = detail["input"]
    kind = detail["type"]
    if kind == "extra_forbidden":
        known = list(model.model_fields)
        accepted = "one of " + ", ".join(known)
        near = nearest_name(str(loc[-1]), known)
        return Problem(name, given, accepted, near, "there is no such field")
    if kind == "missing":
        return Problem(name, None, "a value", None, "is required")
    if kind == "value_error":
        why = str(detail["msg"]).removeprefix("Value error, ")
        return Problem(name, given if loc else None, "", None, why)
    if name == "aspect_ratio":
        return Problem(name, given, "two numbers with a colon, such as 16:9")
    return Problem(name, given, describe_expected(detail), nearest_bound(detail))


def describe_expected(detail: ErrorDetails) -> str:
    """What pydantic wanted, in a few words."""
    context = detail.get("ctx") or {}
    kind = detail["type"]
    if "expected" in context and kind in ("literal_error", "enum"):
        return "one of " + str(context["expected"]).replace("'", "").replace(" or ", ", ")
    words = {
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "float_type": "a number",
        "finite_number": "a finite number",
        "string_type": "text",
        "string_unicode": "text that is valid Unicode",
        "bool_type": "true or false",
        "list_type": "a list",
        "dict_type": "an object",
        "model_type": "an object",
        "missing": "a value",
    }
    if kind in words:
        return words[kind]
    if kind == "greater_than_equal":
        return f"{context['ge']:g} or more"
    if kind == "less_than_equal":
        return f"{context['le']:g} or less"
    if kind == "string_too_long":
        return f"at most {context['max_length']} characters"
    if kind == "string_too_short":
        return f"at least {context['min_length']} characters"
    if kind == "too_long":
        return f"at most {context['max_length']}"
    if kind == "too_short":
        return f"at least {context['min_length']}"
    return str(detail["msg"])


def nearest_bound(detail: ErrorDetails) -> Any:
    """The value at the bound that was crossed, where there is one."""
    context = detail.get("ctx") or {}
    for bound in ("ge", "le"):
        if bound in context:
            value = context[bound]
            return int(value) if float(value).is_integer() else value
    return None
