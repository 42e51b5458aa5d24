"""What a cassette keeps of a conversation: nothing that belongs to an account."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

#: Where recorded requests say they went, whatever address it was.
SERVICE = "https://service.invalid"
_ELSEWHERE = "https://blobs.invalid"
_HOST = re.compile(r"https?://[^/\"'\s?]+")

#: A whole picture of 8 x 8 pixels; it stands in for every picture that travels either way.
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAFUlEQVR42mM8ESXHgA0wMeAAg1MCAP8yAVCTfTV8AAAA"
    "AElFTkSuQmCC"
)

#: Response headers that are kept; everything else may name an account, a machine or a session.
_KEPT = frozenset({"content-type", "retry-after", "location"})
#: Fields whose values are nobody's business.
_PRIVATE = (
    r"(user_?id|user_?name|user|email|account_?id|owner|ip|balance|trace_?id|token|api_?key|secret"
    r"|password|authorization|cookie)"
)
_SCRUBS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b\d+-(\d{17})\b"), r"1-\1"),  # <account>-<time>: the id of a workflow
    (re.compile(r"(?<![\w-])\d+-(cassette-)"), r"1-\1"),  # <account>-<key>: an externalId
    (re.compile(r"\b(cassette-[a-z0-9-]+?)-run[0-9a-f]{8}\b"), r"\1"),  # one run of the recorder
    (re.compile(r"(/blobs/content/)[^\"'?\s]+"), r"\1scrubbed"),
    (
        re.compile(r"([?&](?:sig|exp|token|signature|x-amz-[a-z-]+)=)[^&\"'\s]+", re.I),
        r"\1scrubbed",
    ),
    (re.compile(r"\b[\w.+-]+@[\w-]+(\.[\w-]+)*\.[a-z]{2,}\b", re.I), "somebody@example.com"),
    (re.compile(r"\bbearer\s+[^\"'\s]+", re.I), "(no key)"),
    (re.compile(r"\beyJ[\w-]{8,}(\.[\w-]+)*"), "(no token)"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"), "192.0.2.1"),
)
#: What must not stand in a cassette, beside what is scrubbed.
_SUSPECT = (
    re.compile(rf'"{_PRIVATE}":(?!\s+("scrubbed"|null|false|0|""|\[\]|{{}}))', re.I),
    re.compile(r"^\s*(authorization|cookie|set-cookie|x-[\w-]+|server):", re.I | re.M),
    re.compile(r"[\w+=]{32,}"),  # a long secret
)


def vcr_config(base_url: str = SERVICE) -> dict[str, Any]:
    """VCR's settings; `base_url` is where the recorded requests really go."""

    def scrub_request(request: Any) -> Any:
        request.uri = _scrub(request.uri, base_url)
        request.body = _scrub_body(request.body, base_url)
        kind = request.headers.get("content-type")
        request.headers = {"content-type": kind} if kind else {}
        return request

    def scrub_response(response: dict[str, Any]) -> dict[str, Any]:
        headers = {n.lower(): v for n, v in response["headers"].items() if n.lower() in _KEPT}
        headers = {name: [_scrub(v, base_url) for v in values] for name, values in headers.items()}
        body = _scrub_body(response["body"]["string"], base_url)
        if body == PICTURE:
            headers["content-type"] = ["image/png"]
        return {**response, "headers": headers, "body": {"string": body}}

    return {
        "before_record_request": scrub_request,
        "before_record_response": scrub_response,
        "decode_compressed_response": True,
        "match_on": ["method", "uri", "body"],
    }


def suspicions(text: str) -> Iterator[str]:
    """What must not stand in a cassette and does."""
    for line in base64.encodebytes(PICTURE).decode().splitlines():
        text = text.replace(line, "")
    for line in text.splitlines():
        if _scrub(line) != line:
            yield f"it would be scrubbed: {line[:80]!r}"
    for pattern in _SUSPECT:
        if found := pattern.search(text):
            yield f"it may be private: {found[0][:60]!r}"


def _scrub(text: str, base_url: str = SERVICE) -> str:
    """A text without hosts, signatures, keys and accounts."""
    own = (SERVICE, "/".join(base_url.split("/")[:3]))
    text = _HOST.sub(lambda m: SERVICE if m[0] in own else _ELSEWHERE, text)
    for pattern, instead in _SCRUBS:
        text = pattern.sub(instead, text)
    return text


def _scrub_body(body: bytes | str | None, base_url: str) -> bytes:
    """JSON and text without secrets; anything else is a picture, and replaced."""
    try:
        text = body if isinstance(body, str) else (body or b"").decode()
    except UnicodeDecodeError:
        return PICTURE
    with suppress(ValueError):
        text = json.dumps(_hide_private(json.loads(text)))
    return _scrub(text, base_url).encode()


def _hide_private(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: "scrubbed" if re.fullmatch(_PRIVATE, name, re.I) and inner
            else _hide_private(inner)
            for name, inner in value.items()
        }  # fmt: skip
    return [_hide_private(inner) for inner in value] if isinstance(value, list) else value
