"""Values that strangers wrote: bounded, and never more than they are."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from civitai_skill.schema.references import NOTHING

#: Characters of a text that is read, and of one name in it.
LONGEST, LONGEST_NAME = 2_000_000, 300
#: How deep JSON may be nested, and how many parts one may have altogether.
_DEEPEST, _MOST_PARTS = 40, 200_000

_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(?:\.[0-9]{0,30})?(?:[eE][+-]?[0-9]{1,3})?")
_SIZE = re.compile(r"\(?([0-9]{1,5}) ?[xX\u00d7,] ?([0-9]{1,5})\)?")
_WEIGHT_FILE = re.compile(r"\.(?:safetensors|ckpt|pt|pth|bin|gguf|sft)$", re.IGNORECASE)
_DECODER = json.JSONDecoder()


def text_of(value: Any) -> str:
    """A text, without blanks around it; anything else as empty. Half characters are replaced."""
    return value.encode("utf-8", "replace").decode().strip() if isinstance(value, str) else ""


def number_of(value: Any) -> float | int | None:
    """A number, also one that is written as text; None for all else."""
    if isinstance(value, str):
        found = _NUMBER.fullmatch(value.strip()[:60])
        if found is None:
            return None
        value = float(found[0]) if set(found[0]) & set(".eE") else int(found[0])
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return value if abs(value) < 2**70 else None
    if not math.isfinite(value):
        return None
    value = round(value, 4)
    return int(value) if value.is_integer() else value


def whole_of(value: Any) -> int | None:
    """A whole number, or None."""
    number = number_of(value)
    return number if isinstance(number, int) else None


def positive_of(value: Any) -> int | None:
    """A whole number of 1 or more, or None."""
    number = whole_of(value)
    return number if number is not None and number >= 1 else None


def weight_of(value: Any) -> float:
    """How strongly a LoRA acts; 1 where nothing says it."""
    number = number_of(value)
    return 1 if number is None else number


def partial_of(value: Any) -> float | None:
    """A denoising strength that leaves something of what was there; None for all else."""
    number = number_of(value)
    return number if number is not None and 0 < number < 1 else None


def layer_of(value: Any) -> int | None:
    """The clip skip that a layer, counted from the end, means: -2 is 2."""
    layer = whole_of(value)
    return -layer if layer is not None and layer < 0 else None


def size_of(value: Any) -> tuple[int | None, int | None]:
    """Width and height of `512x768` or `(512, 768)`, in pixels."""
    found = _SIZE.fullmatch(text_of(value))
    return (None, None) if found is None else (positive_of(found[1]), positive_of(found[2]))


def name_of(value: Any) -> str | None:
    """A model's name: without folders and without its file's ending; None for what means none."""
    name = re.split(r"[\\/]", text_of(value)[:1000])[-1]
    name = _WEIGHT_FILE.sub("", name).strip()[:LONGEST_NAME]
    return None if name.lower() in _NO_NAME else name


_NO_NAME = frozenset({"", "none", "null", "automatic", "undefined", "default (model)", "baked"})


def hash_of(value: Any) -> str | None:
    """A hash as it stands, or None. SwarmUI writes 0x before it."""
    text = text_of(value)
    text = text[2:] if text[:2] == "0x" else text
    usable = 0 < len(text) <= 64 and text.isascii() and text.isalnum()
    return text if usable and not NOTHING.startswith(text.upper()) else None


def can_be_looked_up(hash: str | None) -> bool:
    """Is it one of the site's kinds of hash: hexadecimal, 8 digits or more?"""
    return hash is not None and len(hash) >= 8 and re.fullmatch(r"[0-9A-Fa-f]+", hash) is not None


def decode_at(text: str, at: int) -> tuple[Any, int]:
    """The JSON that begins at a place, and where it ends. Raises ValueError."""
    try:
        value, end = _DECODER.raw_decode(text, at)
    except RecursionError:
        raise ValueError("nested too deep") from None
    _check_parts(value)
    return value, end


def decode(text: str) -> Any:
    """JSON, with NaN where ComfyUI wrote it. Raises ValueError."""
    text = text.strip().rstrip("\0")
    value, end = decode_at(text, 0)
    if text[end:].strip():
        raise ValueError("text behind it")
    return value


def object_of(value: Any) -> Mapping[str, Any] | None:
    """An object of JSON, also one that is written as text; None for all else."""
    if isinstance(value, str):
        try:
            value = decode(value)
        except ValueError:
            return None
    return value if isinstance(value, Mapping) else None


def _check_parts(value: Any) -> None:
    """Raises ValueError for what is nested too deep or has too many parts."""
    layer, parts = [value], 0
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for each in layer:
            if isinstance(each, dict):
                inner.extend(each.values())
            elif isinstance(each, list):
                inner.extend(each)
        parts += len(inner)
        if not inner:
            return
        if parts > _MOST_PARTS:
            break
        layer = inner
    raise ValueError("nested too deep, or too large")
