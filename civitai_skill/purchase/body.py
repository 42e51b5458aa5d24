"""The body of a submit: one imageGen step, and what surrounds it.

`build_workflow` gives exactly the JSON that is sent. Limits of the surroundings are those of the
published document (schema WorkflowTemplate): 10 tags of 200 characters, 128 characters of key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from civitai_skill.engines.planning.plan import Plan
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema.request import ImageRequest
from civitai_skill.schema.types import is_unicode

CURRENCIES = ("blue", "green", "yellow")
PRIORITIES = ("high", "normal", "low")

# The document allows 128, but the service stores `<user id>-<key>` (civitai-api facts, section 4).
MAX_KEY = 100
KEY = re.compile(r"[A-Za-z0-9_-]+")


def build_workflow(
    request: ImageRequest | Mapping[str, Any],
    *,
    tags: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
    external_id: str | None = None,
    allow_mature_content: bool | None = None,
    currencies: Sequence[str] | None = None,
    priority: str | None = None,
) -> dict[str, Any]:
    """Give exactly the JSON that is sent for a request, or for its fields.

    A local source picture is read and put in as a data URL; when it is sent, one above 512 KiB is
    uploaded first and its address stands there instead. Where the engine takes a seed and none
    is given, one is chosen, so two calls differ. `currencies` limits the accounts that may pay;
    left out, the service's own order holds. Raises RequestInvalid.
    """
    from civitai_skill.purchase.prepare import inline_sources, plan_request

    return build_body(
        inline_sources(*plan_request(ImageRequest.of(request))),
        tags=tags,
        metadata=metadata,
        external_id=external_id,
        allow_mature_content=allow_mature_content,
        currencies=currencies,
        priority=priority,
    )


def build_body(
    decided: Plan,
    *,
    tags: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
    external_id: str | None = None,
    allow_mature_content: bool | None = None,
    currencies: Sequence[str] | None = None,
    priority: str | None = None,
) -> dict[str, Any]:
    """The body for a decided request. Raises RequestInvalid."""
    problems = [
        *_check_tags(tags),
        *_check_metadata(metadata),
        *_make_key(external_id),
        *_check_choices("currencies", currencies, CURRENCIES),
        *_check_choices("priority", None if priority is None else [priority], PRIORITIES),
    ]
    if problems:
        raise RequestInvalid(*problems)
    step: dict[str, Any] = {"$type": "imageGen", "input": decided.form.sent()}
    if priority is not None:
        step["priority"] = priority
    body: dict[str, Any] = {"steps": [step]}
    if tags:
        body["tags"] = list(tags)
    if metadata:
        body["metadata"] = dict(metadata)
    if currencies:
        body["currencies"] = list(currencies)
    if allow_mature_content is not None:
        body["allowMatureContent"] = allow_mature_content
    if external_id is not None:
        body["externalId"] = external_id
    return body


def _check_tags(tags: Sequence[str]) -> list[Problem]:
    if isinstance(tags, str):
        return [Problem("tags", tags, "a list of texts", [tags])]
    problems = []
    if len(tags) > 10:
        problems.append(Problem("tags", f"{len(tags)} tags", "at most 10"))
    if len(set(tags)) < len(tags):
        problems.append(Problem("tags", list(tags), "each tag once", list(dict.fromkeys(tags))))
    for tag in tags:
        if not isinstance(tag, str) or not 1 <= len(tag) <= 200 or not is_unicode(tag):
            problems.append(Problem("tags", tag, "texts of 1 to 200 characters"))
    return problems


def _check_metadata(given: Any) -> list[Problem]:
    accepted = "names and values that are plain JSON"
    if given is None:
        return []
    if not isinstance(given, Mapping):
        return [Problem("metadata", given, accepted)]
    try:
        json.dumps(dict(given), allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        return [Problem("metadata", None, accepted, None, str(error)[:200])]
    return []


def check_key(key: Any) -> None:
    """Refuse an idempotency key that the service would not take. Raises RequestInvalid."""
    problems = _make_key(key)
    if problems:
        raise RequestInvalid(*problems)


def _make_key(key: Any) -> list[Problem]:
    if key is None or (isinstance(key, str) and KEY.fullmatch(key) and len(key) <= MAX_KEY):
        return []
    return [Problem("external_id", key, f"1 to {MAX_KEY} letters, digits, - and _")]


def _check_choices(name: str, given: Sequence[str] | None, known: tuple[str, ...]) -> list[Problem]:
    if isinstance(given, str):
        given = [given]
    return [
        Problem(name, value, "one of " + ", ".join(known))
        for value in given or ()
        if value not in known
    ]
