"""All about one model, by whatever names it; what can't be used is told too, with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from civitai_skill.api.service import Flow
from civitai_skill.resources.records import Model, Resource, Version
from civitai_skill.resources.resolve import Place, find_model
from civitai_skill.resources.site import ModelSite
from civitai_skill.resources.takers import ecosystem_of, find_takers
from civitai_skill.schema.references import ACCEPTED, parse_reference


@dataclass(frozen=True)
class ModelDescription:
    """One version of a model, and the model's versions, newest first."""

    chosen: Resource
    model: Model | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON, without what is not known."""
        found = self.chosen.as_dict()
        if self.model is not None:
            found["versions"] = [_listed(self.model, one) for one in self.model.versions]
        return found


def _listed(model: Model, one: Version) -> dict[str, Any]:
    """A version in short; by its base model's name, for its AIR stands on its own page alone."""
    ecosystem = ecosystem_of(one.base_model) or ""
    takers = find_takers(ecosystem, model.kind)
    told = {
        "model": f"civitai:{model.id}@{one.id}",
        "name": one.name,
        "base_model": one.base_model,
        "engines": [str(taker) for taker in takers],
        "can_generate": one.covered,
    }
    return {n: v for n, v in told.items() if v not in (None, "", [])}


def describe(site: ModelSite, text: str, *, mature: bool = False) -> Flow[ModelDescription]:
    """What the site says of the model that a text names.

    Raises RequestInvalid where the text names none, or several; TransportFailed and ApiError.
    """
    place = Place("model", "model", text)
    try:
        reference = parse_reference(text)
    except ValueError as error:
        raise place.refused(str(error), ACCEPTED) from None
    if reference.air is not None and reference.model is None and reference.version is None:
        raise place.refused("only models of Civitai's are looked up", ACCEPTED)
    chosen = yield from find_model(site, place, reference, mature=mature)
    if chosen.model_id is None:
        return ModelDescription(chosen)
    model = yield from site.model(chosen.model_id)
    return ModelDescription(chosen if model is None else chosen.about_model(model), model)
