"""How cassettes are written: readable, and with nothing in them that belongs to an account.

The recorder (record_cassettes.py) and the tests share this: what is scrubbed, how requests are
matched, and how an interaction looks in the file.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "cassettes"

#: Where recorded requests say they went, whatever address it was.
SERVICE = "https://service.invalid"
_ELSEWHERE = "https://blobs.invalid"

#: A whole picture of 8 x 8 pixels; it stands in for every picture that travels either way.
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAFUlEQVR42mM8ESXHgA0wMeAAg1MCAP8yAVCTfTV8AAAA"
    "AElFTkSuQmCC"
)
_PICTURE_SAID = "(an 8 x 8 PNG)"

#: Behind a key: what sets one run of the recorder apart from the others.
RUN = "-run{}"

#: Response headers that are kept; everything else may name an account, a machine or a session.
_KEPT = frozenset({"content-type", "retry-after", "location"})
_MOST_BYTES = 200_000

# -- scrubbing -------------------------------------------------------------------------------------
_SCRUBS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b\d+-(\d{17})\b"), r"1-\1"),  # <account>-<time>: the id of a workflow
    (re.compile(r"(?<![\w-])\d+-(cassette-)"), r"1-\1"),  # <account>-<key>: an externalId
    (re.compile(r"\b(cassette-[a-z0-9-]+?)-run[0-9a-f]{8}\b"), r"\1"),
    (re.compile(r"(/blobs/content/)[^\"?\s]+"), r"\1scrubbed"),
    (
        re.compile(r"([?&](?:sig|exp|token|signature|x-amz-[a-z-]+)=)[^&\"\s]+", re.IGNORECASE),
        r"\1scrubbed",
    ),
    (re.compile(r"\b[\w.+-]+@[\w-]+\.[a-z]{2,}\b", re.IGNORECASE), "somebody@example.com"),
    (re.compile(r"\bbearer\s+[^\"\s]+", re.IGNORECASE), "(no key)"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "(no token)"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"), "192.0.2.1"),
)
#: Fields whose values are nobody's business.
_PRIVATE = re.compile(
    r"^(user_?id|user_?name|user|email|account_?id|owner|ip|balance|trace_?id|token|api_?key|"
    r"secret|password|authorization|cookie)$",
    re.IGNORECASE,
)
_HOST = re.compile(r"https?://[^/\"\s?]+")


def scrubbed(text: str, base_url: str) -> str:
    """A text without hosts, signatures, keys and accounts."""
    host = urlhost(base_url)
    text = _HOST.sub(lambda m: SERVICE if m[0] in (host, SERVICE) else _ELSEWHERE, text)
    for pattern, instead in _SCRUBS:
        text = pattern.sub(instead, text)
    return text


def urlhost(url: str) -> str:
    """The scheme and host of a URL."""
    found = _HOST.match(url)
    return found[0] if found else url


def _private_out(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: "scrubbed" if _PRIVATE.match(name) and inner else _private_out(inner)
            for name, inner in value.items()
        }
    return [_private_out(inner) for inner in value] if isinstance(value, list) else value


def _clean(body: Any, base_url: str) -> Any:
    """A body: JSON scrubbed, a picture replaced, anything else scrubbed as text."""
    if not body:
        return body
    data = body.encode() if isinstance(body, str) else bytes(body)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return PICTURE
    try:
        value = json.loads(text)
    except ValueError:
        return scrubbed(text, base_url).encode()
    return scrubbed(json.dumps(_private_out(value), ensure_ascii=False), base_url).encode()


def vcr_config(base_url: str = SERVICE) -> dict[str, Any]:
    """VCR's settings; `base_url` is where the recorded requests really go."""

    def request_out(request: Any) -> Any:
        request.uri = scrubbed(request.uri, base_url)
        request.body = _clean(request.body, base_url)
        kind = request.headers.get("content-type")
        request.headers = {"content-type": kind} if kind else {}
        return request

    def response_out(response: dict[str, Any]) -> dict[str, Any]:
        headers = {n.lower(): v for n, v in response["headers"].items() if n.lower() in _KEPT}
        said = {n: [scrubbed(one, base_url) for one in v] for n, v in headers.items()}
        body = _clean(response["body"]["string"], base_url)
        if body == PICTURE:
            said["content-type"] = ["image/png"]
        return {**response, "headers": said, "body": {"string": body}}

    return {
        "before_record_request": request_out,
        "before_record_response": response_out,
        "decode_compressed_response": True,
        "match_on": ["method", "uri", "body"],
    }


# -- the file --------------------------------------------------------------------------------------
class Readable:
    """A serializer whose files can be reviewed: JSON bodies as YAML, pictures by name.

    `about` is written at the top of the file: with what it was made, and what came of it.
    """

    def __init__(self, about: Callable[[], dict[str, Any]] = dict) -> None:
        self._about = about

    def serialize(self, cassette: dict[str, Any]) -> str:
        """Write VCR's dict as YAML."""
        interactions = [
            {
                "request": _shown(one["request"], one["request"]["body"]),
                "response": _shown(one["response"], one["response"]["body"]["string"]),
            }
            for one in cassette["interactions"]
        ]
        whole = {**self._about(), "version": cassette["version"], "interactions": interactions}
        return str(yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=96))

    @staticmethod
    def deserialize(text: str) -> dict[str, Any]:
        """Read it back."""
        whole: dict[str, Any] = yaml.safe_load(text)
        for one in whole["interactions"]:
            one["request"]["body"] = _read(one["request"].pop("body"))
            one["response"]["body"] = {"string": _read(one["response"].pop("body"))}
        return whole


def _shown(part: dict[str, Any], body: Any) -> dict[str, Any]:
    part = {name: value for name, value in part.items() if name != "body"}
    part["headers"] = {name: list(values) for name, values in part["headers"].items()}
    data = body.encode() if isinstance(body, str) else body
    if not data:
        return {**part, "body": None}
    if data == PICTURE:
        return {**part, "body": {"picture": _PICTURE_SAID}}
    try:
        return {**part, "body": {"json": json.loads(data)}}
    except ValueError:
        return {**part, "body": {"text": data.decode()}}


def _read(body: dict[str, Any] | None) -> bytes:
    if body is None:
        return b""
    if "picture" in body:
        return PICTURE
    if "json" in body:
        return json.dumps(body["json"], ensure_ascii=False).encode()
    return str(body["text"]).encode()


# -- the guard -------------------------------------------------------------------------------------
_SUSPECT: dict[str, re.Pattern[str]] = {
    "a bearer key": re.compile(r"bearer\s", re.IGNORECASE),
    "a signature": re.compile(r"[?&](sig|signature|token)=(?!scrubbed)", re.IGNORECASE),
    "an e-mail address": re.compile(r"[\w.+-]+@(?!example\.com)[\w-]+\.[a-z]{2,}", re.IGNORECASE),
    "a token": re.compile(r"\beyJ[\w-]{8,}"),
    "a long secret": re.compile(r"[\w+=]{32,}"),
    "an account id": re.compile(r"\b(?!1-)\d+-\d{17}\b"),
    "an account": re.compile(r"^\s*(user|account)_?(id|name)?: (?!scrubbed)", re.I | re.M),
    "an address of a machine": re.compile(r"https?://(?!service\.invalid|blobs\.invalid|example)"),
    "a header that names a session": re.compile(
        r"^\s*(authorization|cookie|set-cookie|x-[\w-]+|server):", re.IGNORECASE | re.MULTILINE
    ),
}


def suspicions(text: str) -> Iterator[str]:
    """What must not stand in a cassette and does."""
    for what, pattern in _SUSPECT.items():
        found = pattern.search(text)
        if found is not None:
            yield f"{what}: {found[0][:60]!r}"
    if len(text.encode()) > _MOST_BYTES:
        yield f"more than {_MOST_BYTES} bytes"
