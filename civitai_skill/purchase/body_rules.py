"""Which workflow bodies of the service's own form a server takes: pictures and their finishing.

Everything else that the service can do (video, training, graphs of one's own) has prices and
dangers that nothing here knows, so it is refused; and so is an address that a caller may not name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.images.sources import SourcePolicy
from civitai_skill.schema.problems import nearest_name
from civitai_skill.steps.catalog import STEPS as CATALOG

#: Step types of the published document that are taken.
STEPS = ("imageGen", *CATALOG)

#: Fields of a template (schema WorkflowTemplate) that are taken, and why each may be. `ephemeral`
#: is refused wherever a body is bought (raw.py). A field that is not here may be one that is
#: spelled another way, which the service would read and nothing here has judged.
FIELDS = (
    "steps",  # judged one by one
    "externalId",  # the purchase's name
    "metadata", "tags", "nsfwLevel", "experimental",  # words about it
    "arguments",  # values for steps; addresses among them are looked at like all
    "tips",  # a share of the price, and part of the total that is asked for
    "currencies",  # who pays; the total is the same
    "allowMatureContent",  # what may come, and so who pays, once and at the start
    "upgradeMode",  # not "automatic", see below
    "downloadPriority",  # when its models are fetched
    "callbacks",  # hear what the caller may look up himself, at addresses that are looked at
)  # fmt: skip

#: Places that hold words, where an address is nothing but words too.
_WORDS = re.compile(r"metadata|tags|steps\.\d+\.(metadata|input\.(prompt|negativePrompt))")
#: What some reader would take for an address, and what a plain one looks like. Browsers and their
#: kin leave out line breaks and tabs, and forgive a missing slash (the URL standard of WHATWG).
_ADDRESS = re.compile(
    r"[^a-z/\\]*([a-z][a-z0-9+.-]*:\s*[/\\]|[/\\]{2}"
    r"|(https?|wss?|ftps?|file|filesystem|blob|view-source|jar)\s*:)",
    re.IGNORECASE,
)
_IGNORED = str.maketrans("", "", "\t\r\n")
_PLAIN = re.compile(r"https?://[^/\\\x00-\x20][^\x00-\x1f]*", re.IGNORECASE)


def check_body(body: Any, policy: SourcePolicy) -> dict[str, Any]:
    """The body, when each of its steps is one that is taken, and each address may be named.

    Raises RequestInvalid.
    """
    steps = body.get("steps") if isinstance(body, Mapping) else None
    if not isinstance(steps, list) or not steps:
        accepted = 'a workflow template: {"steps": [{"$type": "imageGen", "input": {...}}], ...}'
        raise RequestInvalid(Problem("body", body, accepted))
    if len(steps) > MOST_STEPS or len(body) > MOST_STEPS:
        given = f"{len(steps)} steps, {len(body)} fields"
        raise RequestInvalid(Problem("body", given, f"at most {MOST_STEPS} of each"))
    problems = [problem for i, step in enumerate(steps) for problem in _check_step(i, step)]
    problems += _unknown_fields(body)
    if body.get("upgradeMode") not in (None, "manual"):
        # What is mature would be paid for again, in yellow Buzz, with no price told before.
        why = "what is held back is released only when its owner asks for it"
        problems.append(
            Problem("upgradeMode", body["upgradeMode"], "manual, or left out", None, why)
        )
    if problems:
        raise RequestInvalid(*problems[:_MOST_PROBLEMS])
    for place, address in _find_addresses(body):
        if _PLAIN.fullmatch(address):
            policy.check(address, place)
        else:
            accepted = "an address that begins with https://"
            raise RequestInvalid(Problem(place, address, accepted, None, "is no plain address"))
    return dict(body)


_MOST_PROBLEMS = 5
#: Of steps, and of fields.
MOST_STEPS = 100


def _unknown_fields(body: Mapping[str, Any]) -> list[Problem]:
    known, why = list(FIELDS), "a template has no such field"
    names = [name for name in body if name not in (*FIELDS, "ephemeral")]
    return [
        Problem(
            str(name)[:100], None, "one of " + ", ".join(known), nearest_name(str(name), known), why
        )
        for name in names
    ]


def _check_step(i: int, step: Any) -> list[Problem]:
    if not isinstance(step, Mapping):
        return [Problem(f"steps.{i}", step, "an object with a $type and an input")]
    kind = step.get("$type")
    if isinstance(kind, str) and kind in STEPS:
        return []
    why = "only pictures and their finishing are made here"
    return [Problem(f"steps.{i}.$type", kind, "one of " + ", ".join(STEPS), None, why)]


def _find_addresses(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every address in the body, with its place, such as steps.0.input.images.1."""
    left: list[tuple[str, Any]] = [("", body)]
    while left:
        place, value = left.pop()
        if isinstance(value, str):
            if _ADDRESS.match(value.translate(_IGNORED)):
                yield place, value.strip()
            continue
        inside: Iterator[tuple[Any, Any]] = iter(())
        if isinstance(value, Mapping):
            inside = iter(value.items())
        elif isinstance(value, list):
            inside = iter(enumerate(value))
        for name, part in inside:
            there = f"{place}.{name}" if place else str(name)
            if not _WORDS.fullmatch(there):
                left.append((there, part))


def set_key(body: Mapping[str, Any], key: str | None) -> dict[str, Any]:
    """The body under the caller's idempotency key. Raises RequestInvalid for two that differ."""
    own = body.get("externalId")
    if key is not None and own is not None and own != key:
        accepted = "the same key as the Idempotency-Key, or none"
        raise RequestInvalid(Problem("externalId", own, accepted))
    return dict(body) if key is None else {**body, "externalId": key}


def is_template(body: Mapping[str, Any]) -> bool:
    """Is it a workflow of the service's own form, and not a request with a number of steps?"""
    return "steps" in body and ("prompt" not in body or isinstance(body["steps"], list))
