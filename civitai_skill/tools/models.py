"""The tools for models: what they take, do, and say of one; see registry.py."""

from __future__ import annotations

from operator import methodcaller
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from civitai_skill.engines.index import records
from civitai_skill.resources.records import Resource
from civitai_skill.schema.types import Bounds, Text, Whole, lower
from civitai_skill.tools import words
from civitai_skill.tools.answers import Result
from civitai_skill.tools.arguments import Arguments
from civitai_skill.tools.fixed import ToolSettings
from civitai_skill.tools.steps import Steps

#: The engines that take models of Civitai's.
_TAKING = tuple(record["name"] for record in records() if record["ecosystems"])

_MATURE = "true: mature ones too, only when the user asks."


class SearchModels(Arguments):
    query: Text = Field(default="", description="Words of the name. Left out: the most popular.")
    type: Annotated[Literal["checkpoint", "lora", "embedding", "vae"], BeforeValidator(lower)] | (
        None
    ) = Field(default=None, description="Left out: all four.")
    engine: Annotated[Text, words.one_of(_TAKING)] | None = Field(
        default=None, description="Only what this engine takes."
    )
    sort: Annotated[
        Literal["relevance", "downloads", "rating", "newest"], BeforeValidator(lower)
    ] = Field(default="relevance", description="Default relevance.")
    mature: bool = Field(default=False, description=_MATURE)
    take: Annotated[Whole, Bounds(1, 20)] = Field(
        default=5, description="Models, 1 to 20. Default 5."
    )


class DescribeModel(Arguments):
    model: Text = Field(
        description="AIR, page address, civitai:ID@VERSION, file hash, or name:TEXT."
    )
    mature: bool = Field(default=False, description=_MATURE)


#: What one needs to choose among several models; the rest is told of one alone.
_TOLD = (
    "air", "kind", "name", "version", "base_model", "trigger_words", "about", "downloads", "mature",
    "early_access_until", "extra_charge", "fee", "not_said",
)  # fmt: skip
_ABOUT = 150


def search_models(fixed: ToolSettings, given: SearchModels) -> Steps:
    """Models that the engines of these tools take."""
    if given.engine is not None:
        fixed.check_engine(given.engine)
    found = yield methodcaller("search_models", given.query, **given.model_dump(exclude={"query"}))
    models = [one for one in found.models if any(t.engine in fixed.engines for t in one.takers)]
    data: dict[str, Any] = {"models": [model_data(one) for one in models]}
    if models:
        data["then"] = "pass the air as model, or in loras, of a picture"
    else:
        data["message"] = "Nothing fits. Use fewer words, or leave type and engine out."
    return Result(data, found)


def describe_model(fixed: ToolSettings, given: DescribeModel) -> Steps:
    """All about one model."""
    found = yield methodcaller("describe_model", given.model, mature=given.mature)
    return Result(found.as_dict(), found)


def model_data(one: Resource) -> dict[str, Any]:
    """A model in short."""
    told = one.as_dict()
    data = {name: told[name] for name in _TOLD if name in told and told[name] is not False}
    data["engines"] = [str(taker) for taker in one.takers]
    if len(data.get("about", "")) > _ABOUT:
        data["about"] = data["about"][:_ABOUT] + "..."
    uses = one.licence.commercial_use
    if uses is not None:
        data["commercial_use"] = list(uses) or "no"
    return data
