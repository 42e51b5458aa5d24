"""What surrounds the step of a purchase: who pays, how it is filed, under which key.

Limits are those of the published document (schema WorkflowTemplate): 10 tags of 200 characters, 128
characters of key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema.types import is_unicode

CURRENCIES = ("blue", "green", "yellow")
PRIORITIES = ("high", "normal", "low")

# The document allows 128, but the service stores `<user id>-<key>` (civitai-api facts, section 4).
MAX_KEY = 100
KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Terms:
    """What surrounds a request.

    `currencies` limits the accounts that may pay; left out, the service's own order holds.
    `external_id` is the idempotency key, `priority` the place in the service's queue.
    """

    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] | None = None
    external_id: str | None = None
    allow_mature_content: bool | None = None
    currencies: Sequence[str] | None = None
    priority: str | None = None

    def around(self) -> dict[str, Any]:
        """The fields of the workflow template beside its steps and its key. Raises RequestInvalid
        where the service would not take them."""
        problems: list[Problem] = []
        if self.tags:
            problems += _tag_problems(self.tags)
        if self.metadata is not None:
            problems += _metadata_problems(self.metadata)
        key = self.external_id
        if key is not None and not (
            isinstance(key, str) and KEY.fullmatch(key) and len(key) <= MAX_KEY
        ):
            accepted = f"1 to {MAX_KEY} letters, digits, - and _"
            problems.append(Problem("external_id", key, accepted))
        for name, given, known in (
            ("currencies", self.currencies, CURRENCIES),
            ("priority", self.priority, PRIORITIES),
        ):
            values = [given] if isinstance(given, str) else given or ()
            accepted = "one of " + ", ".join(known)
            problems += [Problem(name, v, accepted) for v in values if v not in known]
        if problems:
            raise RequestInvalid(*problems)
        found: dict[str, Any] = {}
        if self.tags:
            found["tags"] = list(self.tags)
        if self.metadata:
            found["metadata"] = dict(self.metadata)
        if self.currencies:
            found["currencies"] = list(self.currencies)
        if self.allow_mature_content is not None:
            found["allowMatureContent"] = self.allow_mature_content
        return found


def _tag_problems(tags: Any) -> Iterator[Problem]:
    if isinstance(tags, str):
        yield Problem("tags", tags, "a list of texts", [tags])
        return
    if len(tags) > 10:
        yield Problem("tags", f"{len(tags)} tags", "at most 10")
    if len(set(tags)) < len(tags):
        yield Problem("tags", list(tags), "each tag once", list(dict.fromkeys(tags)))
    for tag in tags:
        if not isinstance(tag, str) or not 1 <= len(tag) <= 200 or not is_unicode(tag):
            yield Problem("tags", tag, "texts of 1 to 200 characters")


def _metadata_problems(given: Any) -> Iterator[Problem]:
    accepted = "names and values that are plain JSON"
    if not isinstance(given, Mapping):
        yield Problem("metadata", given, accepted)
        return
    try:
        json.dumps(dict(given), allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        yield Problem("metadata", None, accepted, None, str(error)[:200])
