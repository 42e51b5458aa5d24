"""Source pictures: data URLs, the sandbox's own blobs, and https addresses (never fetched)."""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from PIL import Image

Size = tuple[int, int]

#: Finds the record of a blob by its id.
Lookup = Callable[[str], dict[str, Any] | None]

#: Pixels a side that the sandbox draws at most.
LONGEST_SIDE = 8192

_BLOB = re.compile(r"/v2/consumer/blobs/(?!content/|upload)([^/?#]+)")
_DATA = re.compile(r"data:([\w/+.-]*)(?:;[\w=-]+)*;base64,", re.I)

#: Content types that may be uploaded, and the suffix of their blobs (civitai-api facts, section 6).
KINDS = {"image/jpeg": "jpeg", "image/png": "png", "image/webp": "webp"}


def blob_id(text: str) -> str | None:
    """The id of the blob that an address names, if it is one of ours."""
    match = _BLOB.search(text)
    return None if match is None else match[1]


def data_of(text: str) -> bytes | None:
    match = _DATA.match(text)
    with suppress(binascii.Error):
        return None if match is None else base64.b64decode(text[match.end() :])
    return None


def measure(data: bytes) -> tuple[str, Size] | None:
    """Content type and pixels of a picture, read from its head; None when it is none of ours."""
    # Pillow raises what it likes on broken files; all of it means "no picture".
    with suppress(Exception), Image.open(io.BytesIO(data)) as picture:
        kind = f"image/{str(picture.format).lower()}"
        return (kind, picture.size) if kind in KINDS else None
    return None


def size_of(text: str, blob: Lookup) -> Size | None:
    """The pixels of a source picture, where they can be known without fetching it."""
    if (id := blob_id(text)) is not None:
        record = blob(id)
        return None if record is None else (record["width"], record["height"])
    found = measure(data_of(text) or b"")
    return None if found is None else found[1]


def limit(size: Size) -> Size:
    """A size of the same ratio that the sandbox draws."""
    factor = min(1.0, LONGEST_SIDE / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def is_kind(text: str, kind: str) -> bool:
    """Is it of this kind (webp, svg), by its type or its name?"""
    if text.startswith("data:"):
        return text.lower().startswith(f"data:image/{kind}")
    return text.partition("?")[0].lower().endswith(f".{kind}")
