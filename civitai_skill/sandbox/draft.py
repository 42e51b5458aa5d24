"""Drafting the steps of a workflow: what each asks for, when it begins, how it will end."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any, get_args

from civitai_skill.sandbox import asks, blobs, life, refs, render, reuse, sources, stamps
from civitai_skill.sandbox.answers import Answered, refusal
from civitai_skill.sandbox.asks import Ask
from civitai_skill.sandbox.bench import Bench
from civitai_skill.sandbox.check import Asked, StepAsked, airs
from civitai_skill.sandbox.faults import Fate, Fault
from civitai_skill.schema.air import is_air

Record = dict[str, Any]
Marks = Mapping[str, float | None]

_MARK = re.compile(r"\[sandbox:([a-z-]+)(?:=([0-9]+(?:\.[0-9]+)?))?\]")

#: Markers of a prompt that are answered at once; the other markers are the fates. The messages are
#: the service's own, to be compared exactly (civitai-api facts, section 3).
_REFUSING = {
    "refused": "Prompt blocked as it may violate TOS",
    "needs-mature": "Prompt requires mature content but workflow does not allow it",
}
_MARKS = (*get_args(Fate), *_REFUSING)

_NO_PICTURE = "The provider could not make a picture from this prompt."
_DEPENDENCY = "A step that this one refers to did not succeed."
_NO_SOURCE = "A picture that this step needs was not delivered."
_TIMEOUT = "00:20:00"


class _Missing(dict[str, Any]):
    """A picture that its step announces and does not deliver."""


class Draft:
    """A record that gets its steps, one after another.

    `scope` is what references may name; `fresh` are the blobs that the steps so far will make.
    """

    def __init__(self, bench: Bench, asked: Asked, record: Record, fault: Fault | None) -> None:
        self._bench = bench
        self._asked = asked
        self._record = record
        self._fault = fault
        self._scope: Record = {refs.ARGUMENTS: record["arguments"]}
        self._fresh: dict[str, Record] = {}

    def add_steps(self) -> None:
        """Add every step. Raises Answered where a prompt's marker says so."""
        for index, step in enumerate(self._asked.steps):
            self._add(index, step)

    def _add(self, index: int, step: StepAsked) -> None:
        ask = asks.work_out(step, self._scope, self._blob)
        marks = self._marks(ask.prompt)
        name = step.literal("name", f"${index}")
        needed = self._needed(step)
        begin = max((s["at"][4] for s in needed), default=self._record["created"])
        one = _bare(step, name, ask)
        if any(s["fate"] != "succeeded" for s in needed):
            one |= {"fate": "failed", "reasons": [_DEPENDENCY], "at": life.moments(begin, 0.0)}
        elif self._lacks_source(step, ask, begin):
            one |= {"fate": "failed", "reasons": [_NO_SOURCE], "at": life.moments(begin, 0.0)}
        else:
            self._decide(one, ask, marks)
            if not self._reuse(one, begin):
                self._time(one, marks, begin)
        self._record["steps"].append(one)
        for id, (width, height) in zip(one["outputs"], one["sizes"], strict=True):
            self._fresh[id] = {"width": width, "height": height}
        self._scope[f"${index}"] = self._scope[name] = _as_scope(one)

    def _blob(self, id: str) -> Record | None:
        return self._fresh.get(id) or self._bench.memory.blob(id)

    def _lacks_source(self, step: StepAsked, ask: Ask, begin: float) -> bool:
        """Does it need one of our own pictures that will not be there?"""
        for reference in refs.references(step.input):
            if any(isinstance(node, _Missing) for node in refs.trail(reference, self._scope)):
                return True
        bench, moment = self._bench, max(begin, self._bench.clock())
        known = [bench.memory.blob(sources.blob_id(text) or "") for text in ask.pictures]
        return any(blob and not bench.is_there(blob, moment) for blob in known)

    def _needed(self, step: StepAsked) -> list[Record]:
        """The steps that this one refers to."""
        named = {reference["$ref"] for reference in refs.references(step.input)}
        return [
            one
            for i, one in enumerate(self._record["steps"])
            if one["name"] in named or f"${i}" in named
        ]

    # -- fate ------------------------------------------------------------------------------------
    def _marks(self, prompt: str) -> Marks:
        marks = {m[1]: float(m[2]) if m[2] else None for m in _MARK.finditer(prompt)}
        unknown = [name for name in marks if name not in _MARKS]
        if unknown:
            known = ", ".join(_MARKS)
            text = f"[sandbox:{unknown[0]}] is no marker of the sandbox; it has {known}."
            raise Answered(refusal(text))
        if "refused" in marks:
            raise Answered(refusal(_REFUSING["refused"]))
        if "needs-mature" in marks and self._asked.literal("allowMatureContent") is False:
            raise Answered(refusal(_REFUSING["needs-mature"]))
        if self._fault is not None:
            marks[self._fault.fate] = self._fault.seconds or None
        return marks

    def _decide(self, one: Record, ask: Ask, marks: Marks) -> None:
        """The fate of a step that is in time."""
        reason = None if self._fault is None else self._fault.reason
        if "stuck" in marks or (ask.hangs and self._bench.switches.foreign_air_hangs):
            one |= {"stuck": True, "fate": "expired"}
        elif ask.trouble is not None or "failed-silent" in marks:
            one |= {"fate": "failed", "reasons": [ask.trouble] if ask.trouble else []}
        elif "failed" in marks:
            one |= {"fate": "failed", "reasons": [reason or _NO_PICTURE]}
        elif "expired" in marks or "canceled" in marks:
            one["fate"] = "expired" if "expired" in marks else "canceled"
        if "blocked" in marks:
            one["blocked"] = reason or "NSFWLevel"
        if "partial" in marks:
            one["missing"] = 1
        one["mature"] = "mature" in marks or "needs-mature" in marks

    def _reuse(self, one: Record, begin: float) -> bool:
        """Identical steps whose outcome holds no chance cost nothing the second time."""
        if one["digest"] is None or one["fate"] != "succeeded":
            return False
        bench, user = self._bench, self._record["user"]
        found = reuse.find(bench.memory, user, one["digest"], bench.clock())
        if found is not None:
            at = life.moments(begin, 0.0)
            one |= found | {"price": 0, "cached": True, "recipes": [], "at": at}
        return found is not None

    def _time(self, one: Record, marks: Marks, begin: float) -> None:
        """When the fate comes true; a step that takes longer than its time-out expires."""
        seconds, most = marks.get("slow") or self._bench.seconds, stamps.span(one["timeout"])
        most = life.TIMEOUT if most is None else most
        one["at"] = life.moments(begin, seconds, most, stuck=one["stuck"])
        if seconds > most:
            one |= {"fate": "expired", "reasons": []}


def _bare(step: StepAsked, name: str, ask: Ask) -> Record:
    return {
        "type": ask.type,
        "name": name,
        "input": ask.echo,
        "priority": step.literal("priority", "low"),
        "timeout": step.literal("timeout", _TIMEOUT),
        "retries": step.literal("retries"),
        "metadata": step.given.get("metadata") or {},
        "price": ask.price,
        "quantity": ask.quantity,
        "job": str(uuid.uuid4()),
        "text": ask.text,
        "recipes": ask.recipes,
        "outputs": [blobs.new_id(recipe["format"]) for recipe in ask.recipes],
        "sizes": [[recipe["width"], recipe["height"]] for recipe in ask.recipes],
        "digest": ask.digest,
        "resource": next((text for text in airs(ask.echo) if is_air(text)), None),
        "cached": False,
        "fate": "succeeded",
        "reasons": [],
        "blocked": None,
        "missing": 0,
        "mature": False,
        "stuck": False,
    }


def _as_scope(one: Record) -> Record:
    """What later steps may refer to. Addresses lack a host: nothing is fetched from them."""
    pictures = [
        (dict if render.comes(one, i) else _Missing)(
            type="image",
            id=id,
            available=render.comes(one, i),
            url=f"sandbox:{blobs.ROOT}/{id}",
            width=size[0],
            height=size[1],
        )
        for i, (id, size) in enumerate(zip(one["outputs"], one["sizes"], strict=True))
    ]
    output: Record = {"images": pictures, "errors": []}
    if one["text"] is not None:
        output = one["text"]
    elif one["type"] != "imageGen":
        key = "image" if one["type"] == "imageBackgroundRemoval" else "blob"
        output = {key: pictures[0]} if pictures else {}
    known = {name: one[name] for name in ("input", "name", "metadata")}
    return known | {"output": output}
