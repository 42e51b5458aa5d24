"""Verdicts: does a body fit the published document? And if not, what the service would say.

The wire forms are the engines' and the steps' own classes, found by the values that select them. A
reference (`refs.py`) may stand for the value of any property.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from civitai_skill.engines.forms import WireObject
from civitai_skill.sandbox.steps import refs, shapes
from civitai_skill.sandbox.steps.refs import is_reference
from civitai_skill.sandbox.steps.shapes import TextToImage, forms
from civitai_skill.sandbox.wire import Abort, problem, refuse, walk
from civitai_skill.steps.catalog import STEPS
from civitai_skill.steps.form import StepForm
from civitai_skill.steps.image_to_svg import TO_SVG, ToSvg

#: The steps beside imageGen that are emulated.
EMULATED: Mapping[str, type[StepForm]] = {**STEPS, TextToImage.kind: TextToImage}

Findings = dict[str, list[str]]

#: Properties that hold one object of their own schema.
_OBJECTS = frozenset({"tips", "output", "input"})


@dataclass(frozen=True)
class _Valid:
    """JSON that fits."""

    given: Mapping[str, Any]

    def literal(self, name: str, default: Any = None) -> Any:
        """A property's value; the default where it is absent, null or a reference."""
        value = self.given.get(name)
        return default if value is None or is_reference(value) else value


@dataclass(frozen=True)
class ValidStep(_Valid):
    """A step that fits, its `$type`, and what reads its input (None: it is a bare reference)."""

    kind: str
    model: type[BaseModel] | None


@dataclass(frozen=True)
class ValidTemplate(_Valid):
    steps: tuple[ValidStep, ...]

    def prompts(self) -> str:
        """Every prompt, for faults that look for words."""
        return "\n".join(str(step.given["input"].get("prompt", "")) for step in self.steps)

    def names(self) -> set[str]:
        """What each step may be called: by its place, and by a name of its own."""
        places = (f"${i}" for i in range(len(self.steps)))
        return {*places, *(str(name) for s in self.steps if (name := s.literal("name")))}


# -- the verdict ---------------------------------------------------------------------------------
def template(body: Any, tomorrow: bool = False) -> ValidTemplate:
    """A workflow template; `tomorrow` as the switch of that name. Raises Abort with a 400."""
    found = misfits(shapes.Template, body, "")
    steps: list[ValidStep] = []
    known = {refs.ARGUMENTS}
    if not found and isinstance(body["steps"], list):
        for i, given in enumerate(body["steps"]):
            steps.append(_step(given, f"steps[{i}]", known, found, tomorrow))
            known |= {f"${i}", str(steps[-1].literal("name", f"${i}"))}
    if found:
        raise Abort(problem(400, errors=found))
    return ValidTemplate(body, tuple(steps))


def recipe(
    kind: str, given: Any, flags: Mapping[str, bool], tomorrow: bool = False
) -> ValidTemplate:
    """A step that is called alone, as a template with these flags; raises Abort with a 400."""
    found: Findings = {}
    step = _step({"$type": kind, "input": given}, "", set(), found, tomorrow)
    if found:
        places = {place.removeprefix("input").lstrip(".") or "$": v for place, v in found.items()}
        raise Abort(problem(400, errors=places))
    return ValidTemplate({"steps": [step.given], **flags}, (step,))


def _step(given: Any, where: str, known: set[str], found: Findings, tomorrow: bool) -> ValidStep:
    kind = given.get("$type") if isinstance(given, dict) else None
    if isinstance(kind, str) and kind in shapes.OTHER_STEPS:
        emulated = ", ".join(("imageGen", *EMULATED))
        raise refuse(f"The sandbox does not emulate the step type {kind}; it has {emulated}.")
    if not isinstance(kind, str) or (kind != "imageGen" and kind not in EMULATED):
        found[where or "$"] = [_unrecognized("$type", given)]
        return ValidStep({}, "", None)
    found |= misfits(shapes.Step, given, where)
    value, where = given.get("input"), f"{where}.input"
    model: type[BaseModel] | None = None
    if isinstance(value, dict) and "$ref" not in value:
        if kind in EMULATED and kind != ToSvg.kind:
            model = EMULATED[kind]
        else:
            among = tuple(TO_SVG.values()) if kind == ToSvg.kind else forms(tomorrow)
            model = _select(value, where, found, among)
    if model is not None:
        found |= misfits(model, value, where)
    found |= {place: [message] for place, message in refs.check(value, known, where)}
    return ValidStep(given, kind, model)


def _select(
    value: Mapping[str, Any], where: str, found: Findings, among: Sequence[type[WireObject]]
) -> type[BaseModel] | None:
    """The form that an input selects: what it says of each tag leaves fewer."""
    for tag in dict.fromkeys(tag for form in among for tag in form.tags()):
        among = [
            form
            for form in among
            if tag not in form.tags()
            or (
                value[tag] == form.tags()[tag]
                if tag in value
                else tag in getattr(form, "implied", ())
            )
        ]
        if not among:
            found[where] = [_unrecognized(tag, value)]
            return None
    return among[0]


def _unrecognized(tag: str, value: Any) -> str:
    if not isinstance(value, dict) or tag not in value:
        return f"The JSON payload must specify the type discriminator '{tag}'."
    shown = value[tag] if isinstance(value[tag], str) else json.dumps(value[tag])
    if tag in ("$type", "engine"):
        return f"Read unrecognized type discriminator id '{shown}' for '{tag}'."
    return f"No derived type found for {tag} '{shown}'."


# -- pydantic's findings, in the service's form --------------------------------------------------
def misfits(model: type[BaseModel], value: Any, where: str) -> Findings:
    """What does not fit, by path; empty when all is well."""
    try:
        model.model_validate(value)
    except ValidationError as error:
        found: Findings = {}
        for detail in error.errors(include_url=False):
            loc = _without_tags(detail["loc"], value)
            # A reference stands for a value, never for a property that does not exist.
            outside = loc[: -1 if detail["type"] == "extra_forbidden" else None]
            if not _is_excused(outside, value):
                place = where + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in loc)
                found.setdefault(place.removeprefix(".") or "$", []).append(_message(detail))
        return found
    return {}


def _without_tags(loc: Sequence[int | str], value: Any) -> list[int | str]:
    """Where it stands in the JSON: behind an object, pydantic names its branch of a union too."""
    left: list[int | str] = []
    for i, part in enumerate(loc):
        node = _at(value, left)
        opens = i > 0 and (isinstance(loc[i - 1], int) or loc[i - 1] == "output")
        opens = opens and isinstance(node, dict) and i < len(loc) - 1
        if not opens or part not in (node.get("type"), node.get("format")):
            left.append(part)
    return left


def _at(value: Any, loc: Sequence[int | str]) -> Any:
    """What stands there; None where nothing does."""
    with suppress(KeyError, IndexError, TypeError):
        return reduce(getitem, loc, value)
    return None


def _is_excused(loc: Sequence[int | str], value: Any) -> bool:
    """Does a reference stand where the value was not accepted?"""
    for i, part in enumerate(loc):
        node = _at(value, loc[: i + 1])
        of_object = i == 0 or isinstance(loc[i - 1], int) or loc[i - 1] in _OBJECTS
        if isinstance(part, str) and of_object and isinstance(node, dict):
            is_whole = is_reference(node) and isinstance(node.get("path", ""), str)
            if is_whole or ("$ref" in node and part in _OBJECTS):
                return True
    return False


#: What the service says, by pydantic's kind of finding.
_SAID = {
    "missing": "JSON deserialization was missing required properties including: '{name}'.",
    "extra_forbidden": "The JSON property '{name}' could not be mapped to any member of this type.",
    "greater_than_equal": "The field {name} must be {ge} or more.",
    "less_than_equal": "The field {name} must be {le} or less.",
    "too_long": "The field {name} must have a maximum length of '{max_length}'.",
    "string_too_long": "The field {name} must have a maximum length of '{max_length}'.",
    "too_short": "The field {name} must have a minimum length of '{min_length}'.",
    "string_too_short": "The field {name} must have a minimum length of '{min_length}'.",
}


def _message(detail: ErrorDetails) -> str:
    name = str(detail["loc"][-1]) if detail["loc"] else "body"
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _unrecognized(context["discriminator"].strip("'"), detail["input"])
    if kind in _SAID:
        return _SAID[kind].format(name=name, **context)
    given = detail["input"]
    text = given if isinstance(given, str) else json.dumps(given, default=str)
    shown = text if len(text) <= 80 else text[:77] + "..."
    return f"The value '{shown}' is not valid for {name}."


def airs(value: Any) -> list[str]:
    """Every text in an input that names its ecosystem: AIRs of models and LoRAs."""
    return [n for n in walk(value) if isinstance(n, str) and n.startswith("urn:air:")]
