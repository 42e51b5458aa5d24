"""Source pictures: checked before anything is sent, and made fit to travel.

A source is an https URL, a data URL or a local file. Local files and data URLs are opened here:
type and size are checked, what is neither JPEG nor PNG becomes PNG (a WebP source makes the service
fail without a reason), the EXIF orientation is applied, and what else the file tells about people
and places is left behind.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, unquote_to_bytes, urlsplit
from urllib.request import url2pathname

from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.images.decode import Unreadable, decode, encode, orient, strip_metadata
from civitai_skill.schema.pictures import MAX_BYTES

T = TypeVar("T")

#: Bounds the memory that one picture may take when it is opened.
MAX_PIXELS = 100_000_000
#: Up to here a source travels inside the body; above, it is uploaded first.
INLINE_BYTES = 512 * 1024

_FROM_AFAR = "an https URL or a data URL (data:image/png;base64,...)"
_ACCEPTED = f"{_FROM_AFAR.replace(' or', ',')} or the path of a picture (jpeg, png, webp, ...)"
_TOO_LARGE = f"larger than {MAX_BYTES // 2**20} MiB"
_MIMES = {"JPEG": "image/jpeg", "PNG": "image/png"}
#: What is read, in Pillow's names.
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"]


@dataclass(frozen=True)
class Source:
    """An opened source picture: the bytes that will travel, their type and size (pixels)."""

    data: bytes
    mime: str
    size: tuple[int, int]

    def data_url(self) -> str:
        return f"data:{self.mime};base64,{base64.b64encode(self.data).decode('ascii')}"


@dataclass(frozen=True)
class SourcePolicy:
    """Which sources may be named: by their developer all, by a model only what the developer lets.

    `local` lets in files of this machine, `private` URLs of this machine and its network. `service`
    is the base URL in use, whose own host is always let in: its blobs are sources too.
    """

    local: bool = True
    private: bool = True
    service: str = ""

    def check(self, text: str, field: str = "images") -> None:
        """Raises RequestInvalid for a source that may not be named."""
        scheme = scheme_of(text)
        if not text.strip():
            raise self.refusal(field, text, "is empty")
        if not scheme and (bare := _BARE_BASE64.match(text)):
            why = f"is bare base64; write data:{_MAGIC[bare[1]]};base64, before it"
            raise self.refusal(field, text, why)
        if scheme in ("https", "http"):
            if not self.private and not self.is_own(text) and is_private(text):
                why = "an address of this machine or a private network is not allowed here"
                raise self.refusal(field, text, why)
        elif scheme != "data" and not self.local:
            raise self.refusal(field, text, "files of this machine are not allowed here")

    def refusal(self, field: str, given: str, why: str, advice: str = "") -> RequestInvalid:
        """The error for a source, with what is accepted here."""
        accepted = _ACCEPTED if self.local else _FROM_AFAR
        return RequestInvalid(Problem(field, given, accepted, None, why), advice=advice)

    def is_own(self, text: str) -> bool:
        """Is it on the service's own host?"""
        return bool(self.service) and _split_origin(text) == _split_origin(self.service) is not None


def _split_origin(url: str) -> tuple[str, str, int | None] | None:
    try:
        parts = urlsplit(url)
        return parts.scheme.lower(), parts.hostname or "", parts.port
    except ValueError:
        return None


#: Names that only mean something inside a network (RFC 6761, RFC 6762, RFC 8375 and habit).
_INSIDE = ("localhost", "local", "internal", "lan", "home", "corp", "intranet", "arpa",
           "svc", "cluster", "default", "kube-system", "localdomain", "test")  # fmt: skip


_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?", re.ASCII)
#: IPv6 networks whose last 32 bits are an IPv4 address (RFC 6052, RFC 4291).
_CARRYING = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96"))


def _is_global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if any(address in network for network in _CARRYING):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        address = address if inner is None else inner
    return address.is_global and not address.is_multicast


def is_private(url: str) -> bool:
    """Does a URL name this machine or a private network? What can't be read counts as one."""
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return True
    # Readers differ about all else that may stand here: %31, a backslash, a full-width dot, a user.
    if not all(33 <= ord(c) < 127 for c in url) or not _AUTHORITY.fullmatch(parts.netloc):
        return True
    with suppress(ValueError):
        return not _is_global(ipaddress.ip_address(host))
    last = host.rpartition(".")[2]
    # 127.1, 0x7f000001 and 2130706433 are addresses too, to whatever resolves them.
    numeric = last.isdigit() or last.startswith("0x")
    return "." not in host or numeric or last in _INSIDE


EVERY_SOURCE = SourcePolicy()


_SCHEME = re.compile(r"\s*(https?(?=://)|data|file):", re.IGNORECASE)
_MAGIC = {"iVBORw0KGgo": "image/png", "/9j/": "image/jpeg", "UklGR": "image/webp",
          "R0lGOD": "image/gif"}  # fmt: skip
_BARE_BASE64 = re.compile(rf"\s*({'|'.join(_MAGIC)})[A-Za-z0-9+/_\s-]{{40}}")


def scheme_of(text: str) -> str:
    """How a source is named: https, http, data or file; empty for a path."""
    found = _SCHEME.match(text)
    return "" if found is None else found[1].lower()


def open_source(
    text: str, field: str = "images", policy: SourcePolicy = EVERY_SOURCE
) -> Source | str:
    """Open one source; a URL comes back as it is. Raises RequestInvalid."""
    return _open(text, field, policy, _open_bytes)


def read_source(
    text: str, field: str = "images", policy: SourcePolicy = EVERY_SOURCE
) -> bytes | str:
    """The bytes of one source as they are (64 MiB at most), not decoded; a URL comes back as it is.

    Raises RequestInvalid.
    """
    return _open(text, field, policy, lambda data: data)


def _open(text: str, field: str, policy: SourcePolicy, use: Callable[[bytes], T]) -> T | str:
    scheme = scheme_of(text)
    text = text.strip() if scheme else text
    policy.check(text, field)
    try:
        if scheme in ("https", "http"):
            return _check_url(text, policy)
        return use(_read_data_url(text) if scheme == "data" else _read_file(text))
    except Unreadable as error:
        given = "a data URL" if scheme == "data" else text
        raise policy.refusal(field, given, str(error), error.advice) from None


#: Pages of the site, which show pictures and are none.
_PAGE = re.compile(r"https?://(?:www\.)?civitai\.(?:com|red|green)(?::\d+)?/(?!_next/)", re.I)


def _check_url(text: str, policy: SourcePolicy) -> str:
    place = _split_origin(text)
    if place is None or not place[1] or not all(33 <= ord(c) < 127 for c in text):
        raise Unreadable("this URL names no host, or holds characters that no URL has")
    if place[0] == "http" and not policy.is_own(text):
        raise Unreadable("an unencrypted http URL is not accepted")
    if _PAGE.match(text) or urlsplit(text).path.lower().endswith((".html", ".htm")):
        advice = "Give the picture's own address: in a browser, copy the address of the picture."
        raise Unreadable("is a web page and not a picture", advice=advice)
    return text


def local_path(text: str) -> Path:
    """The file that a path or a file URL names. Raises ValueError, or RuntimeError for a home that
    there is not."""
    if scheme_of(text) != "file":
        return Path(text).expanduser()
    parts = urlsplit(text)
    if parts.netloc.lower() not in ("", "localhost"):
        raise ValueError("a file of another machine")
    return Path(url2pathname(parts.path))


def _read_file(text: str) -> bytes:
    try:
        path = local_path(text)
        if not path.is_file():
            scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text)
            missing = "no such file" if scheme is None else f"{scheme[0]} is not read"
            raise Unreadable("a folder" if path.is_dir() else missing)
        if path.stat().st_size > MAX_BYTES:
            raise Unreadable(_TOO_LARGE)
        return path.read_bytes()
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "not a usable path"
        raise Unreadable(f"can't be read ({reason})") from None


def _read_data_url(text: str) -> bytes:
    head, comma, body = text.partition(",")
    kind, *parameters = (part.strip() for part in head[len("data:") :].lower().split(";"))
    if not comma or not (kind.startswith("image/") or kind in ("", "application/octet-stream")):
        raise Unreadable("not a data URL of a picture")
    if len(body) > 3 * MAX_BYTES:
        raise Unreadable(_TOO_LARGE)
    if "base64" not in parameters:
        return unquote_to_bytes(body)
    # As people and programs write it: wrapped, percent-encoded, unpadded, with - and _ for + and /.
    digits = "".join(unquote(body).split()).rstrip("=").translate({45: "+", 95: "/"})
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except ValueError:
        raise Unreadable("its base64 is broken") from None


def _open_bytes(data: bytes) -> Source:
    if len(data) > MAX_BYTES:
        raise Unreadable(_TOO_LARGE)
    with decode(data, FORMATS, MAX_PIXELS) as picture:
        kind, upright = picture.format, orient(picture)
        is_fit = upright is picture and kind in _MIMES
        bare = strip_metadata(data, kind) if is_fit else None
        if bare is None:
            kind = "JPEG" if kind == "JPEG" else "PNG"
            bare = encode(upright, kind)
        size = upright.size
    if len(bare) > MAX_BYTES:
        raise Unreadable(_TOO_LARGE)
    return Source(bare, _MIMES[kind], size)
