"""Source pictures: checked before anything is sent, and made fit to travel.

A source is an https URL, a data URL or a local file. Local files and data URLs are opened here:
type and size are checked, WebP becomes PNG (a WebP source makes the service fail without a
reason), the EXIF orientation is applied, and what else the file tells about people and places is
left behind.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.images.decode import Unreadable, decode, encode, kind_of, orient, strip_metadata

# The service's blob store caps at 64 MB (site source, consumer-blob-upload).
MAX_BYTES = 64 * 1024 * 1024
#: Bounds the memory that one picture may take when it is opened.
MAX_PIXELS = 100_000_000
#: Up to here a source travels inside the body; above, it is uploaded first.
INLINE_BYTES = 512 * 1024

ACCEPTED = "an https URL, a data URL (data:image/png;base64,...) or the path of a jpeg, png or webp"
_FROM_AFAR = "an https URL or a data URL (data:image/png;base64,...) of a jpeg, png or webp"
_MIMES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}


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
        with self.restating_accepted():
            self._check(text, field)

    def _check(self, text: str, field: str) -> None:
        lowered = text[:8].lower()
        if lowered.startswith("data:"):
            return
        if lowered.startswith(("https://", "http://")):
            if not self.private and not self.is_own(text) and _is_private(text):
                why = "an address of this machine or a private network is not allowed here"
                raise self._refusal(field, text, why)
        elif not self.local:
            raise self._refusal(field, text, "files of this machine are not allowed here")

    def _refusal(self, field: str, text: str, why: str) -> RequestInvalid:
        return _refusal(field, text, why, ACCEPTED if self.local else _FROM_AFAR)

    @contextmanager
    def restating_accepted(self) -> Iterator[None]:
        """What is refused inside is told with what is accepted here."""
        try:
            yield
        except RequestInvalid as error:
            if self.local:
                raise
            told = (replace(one, accepted=_FROM_AFAR) for one in error.problems)
            raise RequestInvalid(*told, advice=error.advice) from None

    def is_own(self, text: str) -> bool:
        """Is it on the service's own host?"""
        return bool(self.service) and _split_origin(text) == _split_origin(self.service) is not None


def _split_origin(url: str) -> tuple[str, str, int | None] | None:
    try:
        parts = urlsplit(url)
        return parts.scheme.lower(), parts.hostname or "", parts.port
    except ValueError:
        return None


def _is_address(text: str) -> bool:
    """Is it a URL that names a host, and nothing that a reader would stumble over?"""
    place = _split_origin(text)
    return place is not None and bool(place[1]) and all(33 <= ord(c) < 127 for c in text)


#: Names that only mean something inside a network (RFC 6761, RFC 6762, RFC 8375 and habit).
_INSIDE = ("localhost", "local", "internal", "lan", "home", "corp", "intranet", "arpa",
           "svc", "cluster", "localdomain", "test")  # fmt: skip


_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?", re.ASCII)
#: IPv6 networks whose last 32 bits are an IPv4 address (RFC 6052, RFC 4291).
_CARRYING = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96"))


def _is_global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    inner: ipaddress.IPv4Address | None = None
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if any(address in network for network in _CARRYING):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if inner is not None:
        return _is_global(inner)
    return address.is_global and not address.is_multicast


def _is_private(url: str) -> bool:
    """Does a URL name this machine or a private network? What can't be read counts as one."""
    place = _split_origin(url)
    # Readers differ about all else that may stand here: %31, a backslash, a full-width dot, a user.
    plain = all(33 <= ord(c) < 127 for c in url)
    if place is None or not plain or not _AUTHORITY.fullmatch(urlsplit(url).netloc):
        return True
    host = place[1].rstrip(".")
    try:
        return not _is_global(ipaddress.ip_address(host))
    except ValueError:
        pass
    last = host.rpartition(".")[2]
    # 127.1, 0x7f000001 and 2130706433 are addresses too, to whatever resolves them.
    numeric = last.isdigit() or last.startswith("0x")
    return "." not in host or numeric or last in _INSIDE


EVERY_SOURCE = SourcePolicy()


def open_source(
    text: str, field: str = "images", policy: SourcePolicy = EVERY_SOURCE
) -> Source | str:
    """Open one source; a URL comes back as it is. Raises RequestInvalid."""
    with policy.restating_accepted():
        policy.check(text, field)
        return _locate(text, field, policy)


def _locate(text: str, field: str, policy: SourcePolicy) -> Source | str:
    lowered = text[:8].lower()
    if lowered.startswith(("https://", "http://")) and not _is_address(text):
        raise _refusal(field, text, "this URL names no host, or holds characters that no URL has")
    if lowered.startswith("https://"):
        return text
    if lowered.startswith("http://"):
        if policy.is_own(text):
            return text
        raise _refusal(field, text, "an unencrypted http URL is not accepted")
    if lowered.startswith("data:"):
        return _open_bytes(_read_data_url(text, field), field, "a data URL")
    return _open_bytes(_read_file(text, field), field, text)


def _read_file(text: str, field: str) -> bytes:
    try:
        path = Path(text).expanduser()
        if not path.is_file():
            what = "a folder" if path.is_dir() else "no such file"
            raise _refusal(field, text, what)
        if path.stat().st_size > MAX_BYTES:
            raise _too_large_error(field, text)
        return path.read_bytes()
    except RequestInvalid:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "not a usable path"
        raise _refusal(field, text, f"can't be read ({reason})") from None


def _read_data_url(text: str, field: str) -> bytes:
    head, comma, body = text.partition(",")
    if not comma or not head.lower().startswith("data:image/"):
        raise _refusal(field, text, "not a data URL of a picture")
    if len(body) > MAX_BYTES * 3 // 2:
        raise _too_large_error(field, text)
    try:
        if head.lower().endswith(";base64"):
            return base64.b64decode(body, validate=True)
        return unquote_to_bytes(body)
    except (binascii.Error, ValueError):
        raise _refusal(field, text, "its base64 is broken") from None


def _open_bytes(data: bytes, field: str, shown_as: str) -> Source:
    if len(data) > MAX_BYTES:
        raise _too_large_error(field, shown_as)
    try:
        with decode(data, list(_MIMES), MAX_PIXELS) as picture:
            kind, upright = kind_of(picture), orient(picture)
            bare = strip_metadata(data, kind) if upright is picture else None
            if bare is None:
                kind = "JPEG" if kind == "JPEG" else "PNG"
                bare = encode(upright, kind)
            size = upright.size
    except Unreadable as error:
        why = str(error)
        if why == "not a picture":
            why = "not a jpeg, png or webp picture"
        raise _refusal(field, shown_as, why) from None
    if len(bare) > MAX_BYTES:
        raise _too_large_error(field, shown_as)
    return Source(bare, _MIMES[kind], size)


def _too_large_error(field: str, shown_as: str) -> RequestInvalid:
    return _refusal(field, shown_as, f"larger than {MAX_BYTES // 2**20} MiB")


def _refusal(field: str, given: str, why: str, accepted: str = ACCEPTED) -> RequestInvalid:
    return RequestInvalid(Problem(field, given, accepted, None, why))
