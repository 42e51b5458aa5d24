"""What a source is: a picture's file, a text, or a page of the site. Nothing else is fetched."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.images import sources
from civitai_skill.images.decode import Unreadable
from civitai_skill.images.sources import SourcePolicy, local_path, scheme_of
from civitai_skill.remix.reading import Reading
from civitai_skill.remix.texts import ACCEPTED, read_any, read_object, read_picture
from civitai_skill.schema import pictures
from civitai_skill.schema.references import HOSTS

_ACCEPTED = f"a picture's file, {ACCEPTED} as text, or the address of a picture's page on Civitai"
#: Characters of a path; whatever is longer, or has lines, is a text.
_LONGEST_PATH = 4096
_NO_PAGE = "no picture's page on Civitai; save the picture and give its file"
_FILE = re.compile(r".{1,4000}\.(?:png|jpe?g|webp|avif|txt|json)", re.IGNORECASE)
_FILES = frozenset({"image.civitai.com", "image-b2.civitai.com"})
_NUMBER = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True)
class Page:
    """A page of the site: of a picture, or of a post, whose pictures may be several."""

    id: int
    is_post: bool = False


def read_source(source: Any, policy: SourcePolicy) -> Reading | Page:
    """The reading of a file or a text, or the page to ask for. Raises RequestInvalid."""
    if isinstance(source, Mapping):  # a graph, as Python holds it
        found = read_object(source)
        if found is None:
            raise _refused("an object")
        return found
    try:
        text = pictures.to_text(source)
    except ValueError as error:
        raise _refused(None, str(error)) from None
    if not isinstance(text, str):
        raise _refused(type(text).__name__)
    if not text.strip():
        raise _refused(None, "is empty")
    scheme = scheme_of(text)
    if scheme in ("http", "https"):
        return find_page(text.strip())
    if scheme in ("data", "file") or _is_path(text, policy):
        return _read_file(text, policy, "a data URL" if scheme == "data" else text)
    reading = read_any(text)
    if reading is None:
        raise _refused(text[:200], "holds no generation data that is known here")
    return reading


def _refused(given: Any, why: str = "", advice: str = "") -> RequestInvalid:
    problem = Problem("source", given, _ACCEPTED, None, why)
    return RequestInvalid(problem, advice=advice)


def _is_path(text: str, policy: SourcePolicy) -> bool:
    if len(text) > _LONGEST_PATH or "\n" in text:
        return False
    try:
        if policy.local and local_path(text).exists():
            return True
    except (OSError, ValueError, RuntimeError):
        return False
    # A file that is not there is told as such, and not as a text without data.
    return _FILE.fullmatch(text) is not None


def _read_file(text: str, policy: SourcePolicy, name: str) -> Reading:
    data = sources.read_source(text, "source", policy)
    assert isinstance(data, bytes), "addresses are pages"
    try:
        if Path(text).suffix.lower() in (".txt", ".json"):
            reading = read_any(data.decode("utf-8-sig", "replace"))
        else:
            reading = read_picture(data)
    except Unreadable as error:
        raise _refused(name, str(error), error.advice) from None
    if reading is None:
        advice = (
            "Messengers, pages and editors strip it: take the original file, the picture's page, "
            "or the text that the page copies."
        )
        raise _refused(name, "holds no generation data", advice)
    return reading


def find_page(url: str) -> Page:
    """The page that an address names. Raises RequestInvalid for any other address."""
    plain = all(33 <= ord(c) < 127 for c in url) and "\\" not in url and "@" not in url
    try:
        parts = urlsplit(url if plain else "")
        plain = parts.port is None
    except ValueError:
        raise _refused(url, _NO_PAGE) from None
    host = (parts.hostname or "").removeprefix("www.") if plain else ""
    way = [part for part in parts.path.split("/") if part]
    if host in HOSTS and len(way) >= 2 and _NUMBER.fullmatch(way[1]):
        if way[0] in ("images", "posts"):
            return Page(int(way[1]), way[0] == "posts")
        if way[0] in ("models", "model-versions"):
            raise _refused(url, "is a model's page, and no picture's")
    if host in _FILES and way and _NUMBER.fullmatch(Path(way[-1]).stem):
        return Page(int(Path(way[-1]).stem))
    raise _refused(url, _NO_PAGE)
