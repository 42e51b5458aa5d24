"""Blobs: signed addresses, redirects, contents, uploads.

A signed address works without a key until it expires; both it and the blob's id redirect to
`/v2/consumer/blobs/content/<token>`, relative, where the bytes are (civitai-api facts, section 6).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any

import httpx

from civitai_skill.sandbox import stamps
from civitai_skill.sandbox.answers import Answered, problem, reply, validation
from civitai_skill.sandbox.sources import KINDS, Size, measure

Record = dict[str, Any]

ROOT = "/v2/consumer/blobs"

#: What a token lets its bearer do; one that was made for something else is none.
FETCH, BLOCKED, UPLOAD = "fetch", "blocked", "upload"

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# From tame to mature, in the document's order; `na` as the highest to be shown leaves nothing out.
_LEVELS = ("pg", "pg13", "r", "x", "xxx", "na")

# How long a content token lives after the redirect, in seconds.
_TOKEN_LIFE = 300.0


def new_id(suffix: str) -> str:
    """26 characters of Crockford's base 32 and a suffix."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(26)) + f".{suffix}"


class Signer:
    """Signs and checks addresses. `secret` is the memory's, so that several servers agree."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def address(self, base: str, id: str, expires: float) -> str:
        """The signed address of a blob."""
        until = stamps.ticks(expires)
        return f"{base}{ROOT}/{id}?sig={self._mark(id, until)}&exp={until}"

    def is_signed(self, id: str, mark: str, until: str) -> bool:
        """Is the signature ours?"""
        return hmac.compare_digest(self._mark(id, until).encode(), mark.encode())

    def token(self, purpose: str, **facts: Any) -> str:
        """An opaque token that carries facts."""
        body = base64.urlsafe_b64encode(json.dumps(facts).encode()).decode().rstrip("=")
        return f"{body}.{self._mark(purpose, body)}"

    def facts(self, purpose: str, token: str) -> Mapping[str, Any] | None:
        """What a token carries; None when it is not one of ours for this purpose."""
        body, _, mark = token.partition(".")
        if not hmac.compare_digest(self._mark(purpose, body).encode(), mark.encode()):
            return None
        facts: Mapping[str, Any] = json.loads(
            base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        )
        return facts

    def _mark(self, *parts: str) -> str:
        digest = hmac.new(self._secret, "\n".join(parts).encode(), hashlib.sha256).digest()
        return "CfDJ8" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def redirect(
    signer: Signer, record: Record, now: float, query: httpx.QueryParams, status: int
) -> httpx.Response:
    """To the content, by a relative address."""
    facts: dict[str, Any] = {"id": record["id"], "until": now + _TOKEN_LIFE}
    if query.get("filename"):
        facts["name"] = query["filename"].replace("\\", "/").rpartition("/")[2]
    if (query.get("download") or "").lower() == "true":
        facts["download"] = True
    return reply(status, headers={"Location": f"{ROOT}/content/{signer.token(FETCH, **facts)}"})


def content(record: Record, data: bytes, facts: Mapping[str, Any]) -> httpx.Response:
    """The bytes."""
    headers = {"Content-Type": record["kind"], "Cache-Control": "private, max-age=300"}
    if record["level"]:
        headers["x-nsfw-level"] = record["level"]
    name = "".join(c for c in str(facts.get("name", "")) if c.isascii() and c.isprintable())
    if name or facts.get("download"):
        way = "attachment" if facts.get("download") else "inline"
        quoted = (name or record["id"]).replace('"', "")
        headers["Content-Disposition"] = f'{way}; filename="{quoted}"'
    return httpx.Response(200, headers=headers, content=data)


def check_level(record: Record, wanted: str | None) -> None:
    """Refuse a blob above the highest level that the caller will see."""
    if wanted is None:
        return
    if wanted not in _LEVELS:
        raise Answered(validation({"nsfwLevel": [f"The value '{wanted}' is not valid."]}))
    level = record["level"]
    if level not in _LEVELS or _LEVELS.index(level) > _LEVELS.index(wanted):
        raise Answered(problem(403))


def uploaded(user: int, request: httpx.Request, now: float, largest: int) -> tuple[Record, bytes]:
    """The blob that an upload makes, or Answered: 400, 413, 415, 422."""
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in KINDS:
        raise Answered(problem(415, f"Content-Type must be one of {', '.join(KINDS)}."))
    data = request.read()
    if not data:
        raise Answered(problem(400, "The body is empty."))
    if len(data) > largest:
        raise Answered(problem(413, f"The body is larger than {largest} bytes."))
    found = measure(data)
    if found is None or found[0] != kind:
        raise Answered(problem(422, f"The body is not a picture of type {kind}."))
    return upload_record(new_id(KINDS[kind]), user, kind, found[1], now), data


def upload_record(id: str, user: int, kind: str, size: Size, now: float) -> Record:
    """What is remembered about an upload."""
    return {
        "id": id,
        "user": user,
        "kind": kind,
        "level": "pg",
        "width": size[0],
        "height": size[1],
        "created": now,
    }
