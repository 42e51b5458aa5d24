"""Verdicts: does a body fit the published document? And if not, what the service would say.

The wire forms are the engines' own classes, found by the values that select them. A reference
(`refs.py`) may stand for the value of any property.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from civitai_skill.engines import catalog
from civitai_skill.engines.family import Family
from civitai_skill.engines.forms import Wire
from civitai_skill.sandbox.steps import shapes
from civitai_skill.sandbox.steps.refs import is_reference
from civitai_skill.sandbox.wire import Abort, refusal, validation, walk

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
    """A step that fits: its JSON, its `$type`, and the class that reads its input (None: a bare
    reference)."""

    kind: str
    model: type[BaseModel] | None


@dataclass(frozen=True)
class ValidTemplate(_Valid):
    """A template that fits."""

    steps: tuple[ValidStep, ...]


# -- the verdict ---------------------------------------------------------------------------------
def template(body: Any) -> ValidTemplate:
    """A workflow template; raises Abort with a 400 when it does not fit."""
    found = misfits(shapes.Template, body, "")
    steps: list[ValidStep] = []
    if not found and isinstance(body["steps"], list):
        for i, given in enumerate(body["steps"]):
            steps.append(_step(given, f"steps[{i}]", found))
    if found:
        raise Abort(validation(found))
    return ValidTemplate(body, tuple(steps))


def _step(given: Any, where: str, found: Findings) -> ValidStep:
    kind = given.get("$type") if isinstance(given, dict) else None
    if isinstance(kind, str) and kind in shapes.OTHER_STEPS:
        emulated = ", ".join(("imageGen", *shapes.FINISHING))
        raise Abort(
            refusal(f"The sandbox does not emulate the step type {kind}; it has {emulated}.")
        )
    if kind != "imageGen" and not (isinstance(kind, str) and kind in shapes.FINISHING):
        found[where or "$"] = [_unrecognized("$type", kind, isinstance(given, dict))]
        return ValidStep({}, "", None)
    found |= misfits(shapes.Step, given, where)
    value = given.get("input")
    if not isinstance(value, dict) or "$ref" in value:
        return ValidStep(given, kind, None)
    where += ".input"
    if kind == "imageGen":
        model: type[BaseModel] | None = _form(value, where, found)
    else:
        model = shapes.FINISHING[kind]
    if model is not None:
        found |= of_input(model, value, where)
    return ValidStep(given, kind, model)


def of_input(model: type[BaseModel], value: Mapping[str, Any], where: str) -> Findings:
    """What does not fit in a step's input, down to the objects inside."""
    found = misfits(model, value, where)
    if model is not shapes.Convert:
        return found
    transforms = value.get("transforms")
    for i, item in enumerate(transforms if isinstance(transforms, list) else ()):
        found |= _chosen(shapes.TRANSFORMS, "type", item, f"{where}.transforms[{i}]")
    output = value.get("output")
    if isinstance(output, dict) and "$ref" not in output:
        found |= _chosen(shapes.OUTPUTS, "format", output, f"{where}.output")
    return found


def _chosen(classes: Mapping[str, type[BaseModel]], tag: str, value: Any, where: str) -> Findings:
    kind = value.get(tag) if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in classes:
        return {where: [_unrecognized(tag, kind, isinstance(value, dict))]}
    return misfits(classes[kind], value, where)


# -- which wire form -----------------------------------------------------------------------------
@cache
def forms() -> tuple[type[Wire], ...]:
    """Every wire form of every engine."""
    return tuple(dict.fromkeys(form for family in catalog.families() for form in family.forms()))


@cache
def home_of(form: type[Wire]) -> Family:
    """The family that a wire form belongs to."""
    return next(family for family in catalog.families() if form in family.forms())


@cache
def ecosystems() -> frozenset[str]:
    """Every AIR ecosystem that some family loads, in plain spelling."""
    return frozenset(name for family in catalog.families() for name in family.ecosystems)


def form_of(value: Mapping[str, Any]) -> type[Wire] | None:
    """The wire form that an imageGen input selects, or None."""
    return next((f for f in forms() if all(_selects(value, f, tag) for tag in f.tags())), None)


def _selects(value: Mapping[str, Any], form: type[Wire], tag: str) -> bool:
    return bool(value[tag] == form.tags()[tag]) if tag in value else tag in form.implied


def _form(value: Mapping[str, Any], where: str, found: Findings) -> type[Wire] | None:
    form = form_of(value)
    if form is not None:
        return form
    left = list(forms())
    for tag in dict.fromkeys(tag for form in forms() for tag in form.tags()):
        having = [f for f in left if tag in f.tags()]
        left = [f for f in left if tag not in f.tags() or _selects(value, f, tag)]
        if left or not having:
            continue
        given = value.get(tag)
        found[where] = [_unrecognized(tag, given, tag in value)]
        return None
    found[where] = ["No derived type found for this combination of discriminators."]
    return None


def _unrecognized(tag: str, given: Any, there: bool) -> str:
    if not there:
        return f"The JSON payload must specify the type discriminator '{tag}'."
    shown = given if isinstance(given, str) else json.dumps(given)
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
            # A reference stands for a value, never for a property that does not exist.
            outside = detail["loc"][: -1 if detail["type"] == "extra_forbidden" else None]
            if not _is_excused(outside, value):
                found.setdefault(_path(where, detail["loc"]), []).append(_message(detail))
        return found
    return {}


def _is_excused(loc: Sequence[int | str], value: Any) -> bool:
    """Does a reference stand where the value was not accepted?"""
    node = value
    for i, part in enumerate(loc):
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return False
        of_object = i == 0 or isinstance(loc[i - 1], int) or loc[i - 1] in _OBJECTS
        if not isinstance(part, str) or not of_object or not isinstance(node, dict):
            continue
        if "$ref" in node and (part in _OBJECTS or _is_whole(node)):
            return True
    return False


def _is_whole(node: dict[str, Any]) -> bool:
    return is_reference(node) and isinstance(node.get("path", ""), str)


def _path(where: str, loc: Sequence[int | str]) -> str:
    return _joined(where, loc).removeprefix(".") or "$"


def _joined(where: str, loc: Sequence[int | str]) -> str:
    return where + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in loc)


def _message(detail: ErrorDetails) -> str:
    name = str(detail["loc"][-1]) if detail["loc"] else "body"
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        return f"JSON deserialization was missing required properties including: '{name}'."
    if kind == "extra_forbidden":
        return f"The JSON property '{name}' could not be mapped to any member of this type."
    if kind == "greater_than_equal":
        return f"The field {name} must be {context['ge']} or more."
    if kind == "less_than_equal":
        return f"The field {name} must be {context['le']} or less."
    if kind in ("too_long", "string_too_long"):
        return f"The field {name} must have a maximum length of '{context['max_length']}'."
    if kind in ("too_short", "string_too_short"):
        return f"The field {name} must have a minimum length of '{context['min_length']}'."
    return f"The value '{_shown(detail['input'])}' is not valid for {name}."


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


# -- AIRs ---------------------------------------------------------------------------------------
def airs(value: Any) -> list[str]:
    """Every text in an input that names its ecosystem: AIRs of models and LoRAs."""
    return [n for n in walk(value) if isinstance(n, str) and n.startswith("urn:air:")]
