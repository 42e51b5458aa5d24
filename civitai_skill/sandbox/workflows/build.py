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
from civitai_skill.engines.family import Retired
from civitai_skill.sandbox.context import ROOT, Context, new_id
from civitai_skill.sandbox.faults import Fate, Fault
from civitai_skill.sandbox.state import life
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

# What a step's record has as it was priced.
_SAME = ("type", "input", "price", "quantity", "key", "text", "digest")

_NO_PICTURE = "The provider could not make a picture from this prompt."
_NOT_DONE = "The worker could not do this step."
_NO_SOURCE = "A picture that this step needs was not delivered."

# What is said of a model that a prompt only marks as deprecated.
_GOING = Retired(date(2027, 1, 31), source="", instead="")


@dataclass
class Builder:
    """Gives a record its steps; `scope` is what references may name, `blobs` what they make."""

    context: Context
    template: ValidTemplate
    record: Record
    fault: Fault | None
    scope: Record = field(default_factory=dict)
    blobs: dict[str, Record] = field(default_factory=dict)

    def add_steps(self) -> None:
        """Add every step. Raises Abort where a prompt's marker says so, or names no step."""
        self.scope[refs.ARGUMENTS] = self.record["arguments"]
        names = self.template.names()
        for mark in _MARK.finditer(self.template.prompts()):
            if mark[3] and mark[3] not in names:
                raise refuse(f"{mark[0]} names no step; there are {', '.join(sorted(names))}.")
        for index, step in enumerate(self.template.steps):
            self._add(index, step)

    def _add(self, index: int, step: ValidStep) -> None:
        priced = price_step(step, self.scope, self._find_blob)
        name = step.literal("name", f"${index}")
        marks = self._read_marks(priced.prompt, {name, f"${index}"})
        references = [one for _, one in refs.inside(step.given["input"])]
        named, steps = {reference["$ref"] for reference in references}, self.record["steps"]
        needed = [one for i, one in enumerate(steps) if named & {one["name"], f"${i}"}]
        begin = max((one["at"][4] for one in needed), default=self.record["created"])
        one: Record = {
            **{name: getattr(priced, name) for name in _SAME},
            "name": name, "job": str(uuid.uuid4()), "metadata": step.given.get("metadata") or {},
            "priority": step.literal("priority", "low"), "retries": step.literal("retries"),
            "timeout": step.literal("timeout", "00:20:00"),
            "outputs": [new_id(recipe["format"]) for recipe in priced.recipes],
            "sizes": [[recipe["width"], recipe["height"]] for recipe in priced.recipes],
            "resource": next((text for text in airs(priced.input) if is_air(text)), None),
            "warnings": _warn(priced, is_deprecated=_DEPRECATED in marks),
            "cached": False, "fate": "succeeded", "reasons": [], "blocked": None, "missing": 0,
            "mature": False, "stuck": False, "at": life.schedule(begin, 0.0),
        }  # fmt: skip
        if any(other["fate"] != "succeeded" for other in needed):
            one["fate"] = "canceled"
        elif self._lacks_source(references, priced, begin):
            one |= {"fate": "failed", "reasons": [_NO_SOURCE]}
        else:
            self._decide(one, priced, marks)
            if not self._reuse(one):
                # A step that takes longer than its time-out expires.
                seconds = marks.get("slow") or self.context.seconds
                most = parse_span(one["timeout"])
                most = life.TIMEOUT if most is None else most
                one["at"] = life.schedule(begin, seconds, most, stuck=one["stuck"])
                if seconds > most:
                    one |= {"fate": "expired", "reasons": []}
        steps.append(one)
        new = () if one["cached"] else zip(one["outputs"], priced.recipes, strict=True)
        for i, (id, recipe) in enumerate(new):
            if not self.context.switches.embeds_metadata:
                recipe.pop("metadata", None)
            suffix = "svg+xml" if recipe["format"] == "svg" else recipe["format"]
            self.blobs[id] = {
                "id": id, "user": self.record["user"], "kind": f"image/{suffix}",
                "level": "x" if one["mature"] else "pg", "width": recipe["width"],
                "height": recipe["height"], "created": self.record["created"],
                "workflow": self.record["id"], "step": index, "index": i, "recipe": recipe,
            }  # fmt: skip
        self.scope[f"${index}"] = self.scope[name] = _as_scope(one)

    def _find_blob(self, id: str | None) -> Record | None:
        known = self.blobs.get(id or "")
        return known or self.context.memory.record("blobs WHERE id = ?", id)

    def _lacks_source(
        self, references: list[dict[str, Any]], priced: PricedStep, begin: float
    ) -> bool:
        """Does it need one of our own pictures that will not be there?"""
        for one in references:
            if one["$ref"] != refs.ARGUMENTS and one["path"].startswith("output"):
                led = [node for node in refs.trail(one, self.scope) if isinstance(node, dict)]
                if any(node.get("available") is False for node in led):
                    return True
        context, moment = self.context, max(begin, self.context.clock())
        ids = {sources.blob_id(text) for text in priced.pictures} - self.blobs.keys()
        known = (self._find_blob(id) for id in ids)
        return any(blob and not context.is_there(blob, moment) for blob in known)

    # -- fate ------------------------------------------------------------------------------------
    def _read_marks(self, prompt: str, names: set[str]) -> Marks:
        found = [m for m in _MARK.finditer(prompt) if not m[3]]
        found += [m for m in _MARK.finditer(self.template.prompts()) if m[3] in names]
        marks = {m[1]: float(m[2]) if m[2] else None for m in found}
        for mark in marks.keys() - set(_MARKS):
            known = ", ".join(_MARKS)
            raise refuse(f"[sandbox:{mark}] is no marker of the sandbox; it has {known}.")
        for mark, message in _REFUSING.items():
            is_tame = self.template.literal("allowMatureContent") is False
            if mark in marks and (mark == "refused" or is_tame):
                raise refuse(message)
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

    def _reuse(self, one: Record) -> bool:
        """Deterministic steps that delivered cost nothing the second time."""
        if one["digest"] is None or one["fate"] != "succeeded":
            return False
        memory, user, now = self.context.memory, self.record["user"], self.context.clock()
        alike = "SELECT workflow, step FROM reusable WHERE user = ? AND digest = ? ORDER BY rowid"
        for id, place in memory.execute(alike, (user, one["digest"])).fetchall():
            record = memory.workflow(user, id, deleted=True)
            step = record["steps"][place] if record else {}
            if record and life.step_status(record, step, now) == "succeeded":
                one |= {"outputs": step["outputs"], "sizes": step["sizes"]}
                one |= {"price": 0, "cached": True}
                return True
        return False

    def keep_outputs(self) -> None:
        """Write the blobs of every step, and where an identical step may find them."""
        memory, user = self.context.memory, self.record["user"]
        for id, blob in self.blobs.items():
            memory.keep("blobs", blob, id=id, user=user)
        for place, one in enumerate(self.record["steps"]):
            is_whole = not (one["missing"] or one["blocked"] or one["mature"] or one["cached"])
            if one["digest"] and one["fate"] == "succeeded" and is_whole:
                row = (user, one["digest"], self.record["id"], place)
                memory.execute("INSERT INTO reusable VALUES (?, ?, ?, ?)", row)


def _warn(priced: PricedStep, *, is_deprecated: bool) -> list[Record]:
    """What the service says of a model that goes: when, and what replaces it."""
    engine, variant = identify(priced.input)
    if engine is None or variant is None:
        return []
    found = family(engine).variant(variant)
    gone = (found and found.retired) or (_GOING if is_deprecated else None)
    if gone is None:
        return []
    text = f"The model {engine} {variant} is deprecated and will stop working."
    on = gone.on and f"{gone.on.isoformat()}T00:00:00Z"
    told = {"replacement": gone.instead, "retiresAt": on}
    given = {name: value for name, value in told.items() if value}
    return [{"code": "modelDeprecated", "message": text, **given}]


def _as_scope(one: Record) -> Record:
    """What later steps may refer to. Addresses lack a host: nothing is fetched from them."""
    pictures = [
        {"type": "image", "id": id, "available": life.delivers(one, i), "width": width,
         "height": height, "url": f"sandbox:{ROOT}/{id}"}
        for i, (id, (width, height)) in enumerate(zip(one["outputs"], one["sizes"], strict=True))
    ]  # fmt: skip
    output: Record = {"images": pictures, "errors": []}
    if one["text"] is not None:
        output = one["text"]
    elif one["key"] != "images":
        output = {one["key"]: pictures[0]} if pictures else {}
    return {name: one[name] for name in ("input", "name", "metadata")} | {"output": output}
