"""Source pictures as Python holds them, turned into what a request carries: paths and data URLs."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping
from typing import Any

# The service's blob store caps at 64 MB (site source, consumer-blob-upload).
MAX_BYTES = 64 * 1024 * 1024


def to_text(value: Any) -> Any:
    """A path, bytes, a file object or a PIL image as text; anything else as it is.

    Raises ValueError for one that can't be read.
    """
    if isinstance(value, str):
        return value
    try:
        if isinstance(value, os.PathLike):
            return os.fsdecode(value)
        if callable(getattr(value, "read", None)):
            value = _read(value)
        elif callable(getattr(value, "save", None)) and hasattr(value, "getexif"):
            value = _encode(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return f"data:application/octet-stream;base64,{base64.b64encode(value).decode()}"
    except (OSError, TypeError) as error:
        raise ValueError(f"can't be read ({error})") from None
    return value


def to_list(value: Any) -> Any:
    """One picture as a list of one."""
    if isinstance(value, list | tuple):
        return value
    text = to_text(value)
    return [text] if isinstance(text, str) else value


def inside(value: Any, depth: int = 4) -> Any:
    """JSON with every picture inside it as text; forms hold none deeper. Raises ValueError."""
    if depth and isinstance(value, Mapping):
        return {name: inside(part, depth - 1) for name, part in value.items()}
    if depth and isinstance(value, list | tuple):
        return [inside(part, depth - 1) for part in value]
    return to_text(value)


def _read(file: Any) -> bytes:
    """What a file object holds; where it stands at its end, from its start."""
    data = _read_on(file)
    if not data and file.seekable():
        file.seek(0)
        data = _read_on(file)
    return data


def _read_on(file: Any) -> bytes:
    data = bytearray()
    while len(data) <= MAX_BYTES and (part := file.read(MAX_BYTES + 1 - len(data))):
        if isinstance(part, str):
            raise ValueError("a file that was opened for text; open it with mode 'rb'")
        data += part
    return bytes(data)


def _encode(image: Any) -> bytes:
    """A PIL image as PNG, with the EXIF that may turn it."""
    out = io.BytesIO()
    try:
        image.save(out, "PNG", exif=image.getexif())
    except OSError:  # PNG knows no such colours
        out = io.BytesIO()
        image.convert("RGBA" if image.has_transparency_data else "RGB").save(out, "PNG")
    return out.getvalue()
