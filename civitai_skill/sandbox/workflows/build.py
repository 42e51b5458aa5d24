"""Building the steps of a workflow's record: what each asks for, when it begins, how it will end,
and which outputs identical steps share."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, get_args

from civitai_skill.engines.catalog import family, identify
from civitai_skill.sandbox.context import ROOT, Context, new_id
from civitai_skill.sandbox.faults import Fate, Fault
from civitai_skill.sandbox.state import life
from civitai_skill.sandbox.state.memory import Memory
from civitai_skill.sandbox.steps import refs, sources
from civitai_skill.sandbox.steps.check import ValidStep, ValidTemplate, airs
from civitai_skill.sandbox.steps.price import PricedStep, price_step
from civitai_skill.sandbox.wire import Record, parse_span, refuse
from civitai_skill.schema.air import is_air

Marks = Mapping[str, float | None]

_MARK = re.compile(r"\[sandbox:([a-z-]+)(?:=([0-9]+(?:\.[0-9]+)?))?(?:@([\w$-]+))?\]")

#: Markers of a prompt that are answered at once; the other markers are the fates. The messages are
#: the service's own, to be compared exactly (civitai-api facts, section 3).
_REFUSING = {
    "refused": "Prompt blocked as it may violate TOS",
    "needs-mature": "Prompt requires mature content but workflow does not allow it",
}
#: A model that the service warns of, although the catalog does not know it as going.
_DEPRECATED = "deprecated"
_MARKS = (*get_args(Fate), *_REFUSING, _DEPRECATED)

_NO_PICTURE = "The provider could not make a picture from this prompt."
_NOT_DONE = "The worker could not do this step."
_NO_SOURCE = "A picture that this step needs was not delivered."
_TIMEOUT = "00:20:00"

# When a model retires that a prompt only marks as deprecated.
_SOME_DAY = date(2027, 1, 31)
_KINDS = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif"}
_KINDS["svg"] = "image/svg+xml"


class _Missing(dict[str, Any]):
    """A picture that its step announces and does not deliver."""


@dataclass
class Builder:
    """Gives a record its steps, one after another.

    `scope` is what references may name; `fresh` are the blobs that the steps so far will make.
    """

    context: Context
    template: ValidTemplate
    record: Record
    fault: Fault | None
    scope: Record = field(default_factory=dict)
    fresh: dict[str, Record] = field(default_factory=dict)

    def add_steps(self) -> None:
        """Add every step. Raises Abort where a prompt's marker says so, or names no step."""
        self.scope[refs.ARGUMENTS] = self.record["arguments"]
        names = self.template.names()
        for mark in _MARK.finditer(self.template.prompts()):
            if mark[3] and mark[3] not in names:
                text = f"{mark[0]} names no step; there are {', '.join(sorted(names))}."
                raise refuse(text)
        for index, step in enumerate(self.template.steps):
            self._add(index, step)

    def _add(self, index: int, step: ValidStep) -> None:
        priced = price_step(step, self.scope, self._find_blob)
        name = step.literal("name", f"${index}")
        marks = self._read_marks(priced.prompt, {name, f"${index}"})
        references = [one for _, one in refs.inside(step.given["input"])]
        named = {reference["$ref"] for reference in references}
        needed = [
            one
            for i, one in enumerate(self.record["steps"])
            if one["name"] in named or f"${i}" in named
        ]
        begin = max((one["at"][4] for one in needed), default=self.record["created"])
        one = _blank(step, name, priced)
        for recipe in () if self.context.switches.embeds_metadata else one["recipes"]:
            recipe.pop("metadata", None)
        one["warnings"] = _warn(priced, is_deprecated=_DEPRECATED in marks)
        if any(other["fate"] != "succeeded" for other in needed):
            one |= {"fate": "canceled", "at": life.schedule(begin, 0.0)}
        elif self._lacks_source(references, priced, begin):
            one |= {"fate": "failed", "reasons": [_NO_SOURCE], "at": life.schedule(begin, 0.0)}
        else:
            self._decide(one, priced, marks)
            if not self._reuse(one, begin):
                # A step that takes longer than its time-out expires.
                seconds = marks.get("slow") or self.context.seconds
                most = parse_span(one["timeout"])
                most = life.TIMEOUT if most is None else most
                one["at"] = life.schedule(begin, seconds, most, stuck=one["stuck"])
                if seconds > most:
                    one |= {"fate": "expired", "reasons": []}
        self.record["steps"].append(one)
        level = "x" if one["mature"] else "pg"
        for id, recipe in zip(one["outputs"], priced.recipes, strict=True):
            size = {side: recipe[side] for side in ("width", "height")}
            self.fresh[id] = {**size, "recipe": recipe, "level": level}
        self.scope[f"${index}"] = self.scope[name] = _as_scope(one)

    def _find_blob(self, id: str | None) -> Record | None:
        known = self.fresh.get(id or "")
        return known or self.context.memory.record("blobs WHERE id = ?", id)

    def _lacks_source(
        self, references: list[dict[str, Any]], priced: PricedStep, begin: float
    ) -> bool:
        """Does it need one of our own pictures that will not be there?"""
        for reference in references:
            if any(isinstance(node, _Missing) for node in refs.trail(reference, self.scope)):
                return True
        context, moment = self.context, max(begin, self.context.clock())
        ids = {sources.blob_id(text) for text in priced.pictures} - self.fresh.keys()
        known = (self._find_blob(id) for id in ids)
        return any(blob and not context.is_there(blob, moment) for blob in known)

    # -- fate ------------------------------------------------------------------------------------
    def _read_marks(self, prompt: str, names: set[str]) -> Marks:
        found = [m for m in _MARK.finditer(prompt) if not m[3]]
        found += [m for m in _MARK.finditer(self.template.prompts()) if m[3] in names]
        marks = {m[1]: float(m[2]) if m[2] else None for m in found}
        for mark in (name for name in marks if name not in _MARKS):
            text = f"[sandbox:{mark}] is no marker of the sandbox; it has {', '.join(_MARKS)}."
            raise refuse(text)
        for mark in (name for name in _REFUSING if name in marks):
            if mark == "refused" or self.template.literal("allowMatureContent") is False:
                raise refuse(_REFUSING[mark])
        if self.fault is not None and self.fault.step in (None, *names):
            marks[self.fault.fate] = self.fault.seconds or None
        return marks

    def _decide(self, one: Record, priced: PricedStep, marks: Marks) -> None:
        """The fate of a step that is in time."""
        reason = None if self.fault is None else self.fault.reason
        if "stuck" in marks or (priced.hangs and self.context.switches.foreign_air_hangs):
            one |= {"stuck": True, "fate": "expired"}
        elif priced.trouble is not None or "failed-silent" in marks:
            one |= {"fate": "failed", "reasons": [priced.trouble] if priced.trouble else []}
        elif "failed" in marks:
            why = _NO_PICTURE if priced.key == "images" else _NOT_DONE
            one |= {"fate": "failed", "reasons": [reason or why]}
        elif "expired" in marks or "canceled" in marks:
            one["fate"] = "expired" if "expired" in marks else "canceled"
        one["blocked"] = (reason or "NSFWLevel") if "blocked" in marks else None
        one["missing"] = int("partial" in marks)
        known = (self._find_blob(sources.blob_id(text)) for text in priced.pictures)
        comes_of = bool(priced.recipes) and any(blob and blob["level"] == "x" for blob in known)
        one["mature"] = "mature" in marks or "needs-mature" in marks or comes_of

    def _reuse(self, one: Record, begin: float) -> bool:
        """Deterministic steps that delivered cost nothing the second time."""
        if one["digest"] is None or one["fate"] != "succeeded":
            return False
        memory, user, now = self.context.memory, self.record["user"], self.context.clock()
        alike = "SELECT workflow, step FROM reusable WHERE user = ? AND digest = ? ORDER BY rowid"
        for id, place in memory.execute(alike, (user, one["digest"])).fetchall():
            record = memory.workflow(user, id, deleted=True)
            if record is not None and life.delivered(record, record["steps"][place], now):
                step = record["steps"][place]
                one |= {"outputs": step["outputs"], "sizes": step["sizes"], "recipes": []}
                one |= {"price": 0, "cached": True, "at": life.schedule(begin, 0.0)}
                return True
        return False


def _warn(priced: PricedStep, *, is_deprecated: bool) -> list[Record]:
    """What the service says of a model that goes: when, and what replaces it."""
    engine, variant = identify(priced.echo)
    if engine is None or variant is None:
        return []
    found = family(engine).variant(variant)
    gone = None if found is None else found.retired
    if gone is None and not is_deprecated:
        return []
    text = f"The model {engine} {variant} is deprecated and will stop working."
    warning: Record = {"code": "modelDeprecated", "message": text}
    if gone is not None:
        warning["replacement"] = gone.instead
    on = _SOME_DAY if gone is None else gone.on
    if on is not None:
        warning["retiresAt"] = f"{on.isoformat()}T00:00:00Z"
    return [warning]


def _blank(step: ValidStep, name: str, priced: PricedStep) -> Record:
    same = ("type", "price", "quantity", "key", "text", "recipes", "digest")
    return {
        **{field: getattr(priced, field) for field in same},
        "name": name,
        "input": priced.echo,
        "priority": step.literal("priority", "low"),
        "timeout": step.literal("timeout", _TIMEOUT),
        "retries": step.literal("retries"),
        "metadata": step.given.get("metadata") or {},
        "job": str(uuid.uuid4()),
        "outputs": [new_id(recipe["format"]) for recipe in priced.recipes],
        "sizes": [[recipe["width"], recipe["height"]] for recipe in priced.recipes],
        "resource": next((text for text in airs(priced.echo) if is_air(text)), None),
        "cached": False, "fate": "succeeded", "reasons": [], "blocked": None, "missing": 0,
        "mature": False, "stuck": False,
    }  # fmt: skip


def _as_scope(one: Record) -> Record:
    """What later steps may refer to. Addresses lack a host: nothing is fetched from them."""
    pictures: list[Record] = []
    for i, (id, (width, height)) in enumerate(zip(one["outputs"], one["sizes"], strict=True)):
        available = life.delivers(one, i)
        picture = {"type": "image", "id": id, "available": available, "width": width,
                   "height": height, "url": f"sandbox:{ROOT}/{id}"}  # fmt: skip
        pictures.append(picture if available else _Missing(picture))
    output: Record = {"images": pictures, "errors": []}
    if one["text"] is not None:
        output = one["text"]
    elif one["key"] != "images":
        output = {one["key"]: pictures[0]} if pictures else {}
    return {name: one[name] for name in ("input", "name", "metadata")} | {"output": output}


def keep_outputs(memory: Memory, record: Record) -> None:
    """Write the blobs of every step, and where an identical step may find them."""
    user, workflow = record["user"], record["id"]
    for place, one in enumerate(record["steps"]):
        for i, recipe in enumerate(one.pop("recipes")):
            id = one["outputs"][i]
            blob = {
                "id": id, "user": user, "kind": _KINDS[recipe["format"]],
                "level": "x" if one["mature"] else "pg", "width": recipe["width"],
                "height": recipe["height"], "created": record["created"], "workflow": workflow,
                "step": place, "index": i, "recipe": recipe,
            }  # fmt: skip
            memory.keep("blobs", blob, id=id, user=user)
        is_whole = not (one["missing"] or one["blocked"] or one["mature"] or one["cached"])
        if one["digest"] and one["fate"] == "succeeded" and is_whole:
            row = (user, one["digest"], workflow, place)
            memory.execute("INSERT INTO reusable VALUES (?, ?, ?, ?)", row)
