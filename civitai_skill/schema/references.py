"""The ways to name a checkpoint, LoRA, embedding or VAE: an AIR, the address of its page, a file's
hash, `name:TEXT`. Nothing is looked up here.

Pages are those of civitai.com, its other hosts, and two archives that keep its numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from civitai_skill.schema.air import Air, is_air

#: What is accepted, for people.
ACCEPTED = (
    "an AIR (urn:air:sdxl:lora:civitai:123456@789012), the address of its page, "
    "civitai:ID@VERSION, a file hash, or name:TEXT"
)

#: The site under all its names.
HOSTS = frozenset({"civitai.com", "civitai.red", "civitai.green"})
_ARCHIVES = frozenset({"civitaiarchive.com", "civarchive.com"})
#: Hexadecimal digits of AutoV1 and CRC32, AutoV2, AutoV3, SHA256 and BLAKE3.
_HASH_LENGTHS = (8, 10, 12, 64)
#: The hash of no bytes at all, which careless programs write for a file that they did not find.
NOTHING = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"
_LONGEST = 500
_ID = r"(?P<{}>[1-9][0-9]{{0,11}})"
_PATHS = (
    re.compile(rf"/(?:api/v1/)?models/{_ID.format('model')}(?:/[^/]*)?/?"),
    re.compile(rf"/(?:api/v1/)?model-versions/(?:mini/)?{_ID.format('version')}/?"),
    re.compile(rf"/api/download/models/{_ID.format('version')}/?"),
    re.compile(r"/(?:sha256|api/v1/model-versions/by-hash)/(?P<hash>[0-9a-fA-F]{8,64})/?"),
)
#: A1111's way of saying a strength, behind the number of a version.
_WEIGHT = re.compile(r"(?P<version>[0-9]+):(?P<strength>-?[0-9]*\.?[0-9]+)")
_NUMBER = re.compile(r"[1-9][0-9]{0,11}")


@dataclass(frozen=True)
class Reference:
    """What a text names: an AIR, or the numbers of a model or of one of its versions on Civitai, or
    a file by its hash, or a name to search for. An AIR of Civitai's has the numbers too."""

    text: str
    air: Air | None = None
    model: int | None = None
    version: int | None = None
    hash: str | None = None
    name: str | None = None

    @property
    def is_whole(self) -> bool:
        """Can it be sent as it is: an AIR that says of what ecosystem and type it is?"""
        return self.air is not None and None not in (self.air.ecosystem, self.air.type)


class BareName(ValueError):
    """A text that is a bare name or number: nothing is looked up by it."""


def parse_reference(text: str) -> Reference:
    """Read a reference. Raises ValueError, with words for people, where it is none; BareName where
    it may mean something all the same."""
    said = text.strip()
    if len(said) > _LONGEST or not said.isprintable():
        raise ValueError(f"not one line of at most {_LONGEST} characters")
    if said[:5].lower() == "name:":
        name = said[5:].strip()
        if not name:
            raise ValueError("name: is followed by no name")
        return Reference(said, name=name)
    host = said.partition("/")[0].lower().removeprefix("www.")
    if "://" in said or host in HOSTS | _ARCHIVES:
        return _parse_page(said)
    if len(said) in _HASH_LENGTHS and re.fullmatch(r"[0-9a-fA-F]+", said):
        return Reference(said, hash=said.upper())
    if not is_air(said):
        raise BareName("no model is looked up by a bare name or number")
    air = Air.parse(said)
    weight = _WEIGHT.fullmatch(air.version or "")
    if weight is not None and air.source.lower() == "civitai":
        whole = said.removesuffix(f":{weight['strength']}")
        raise ValueError(f"its strength is no part of an AIR: this is {whole}, at {weight[2]}")
    model, version = (
        int(part) if air.source.lower() == "civitai" and _NUMBER.fullmatch(part or "") else None
        for part in (air.id, air.version or "")
    )
    return Reference(said, air, model, version)


def _parse_page(said: str) -> Reference:
    address = said if "://" in said else f"https://{said}"
    try:
        parts = urlsplit(address)
        plain = parts.port is None and parts.username is None and "\\" not in address
    except ValueError:
        plain = False
    if not plain or parts.scheme not in ("http", "https"):
        raise ValueError("not the plain https address of a page")
    host = (parts.hostname or "").removeprefix("www.")
    if host not in HOSTS | _ARCHIVES:
        raise ValueError("not an address on civitai.com")
    path = unquote(parts.path)
    found = next((match.groupdict() for p in _PATHS if (match := p.fullmatch(path))), None)
    if found is None:
        what = "a picture" if path.startswith(("/images/", "/posts/")) else "no model"
        raise ValueError(f"the address of {what}; one of a model is https://civitai.com/models/ID")
    numbers = {name: int(found[name]) for name in ("model", "version") if found.get(name)}
    chosen = parse_qs(parts.query).get("modelVersionId", [""])[-1]
    if "model" in numbers and _NUMBER.fullmatch(chosen):
        numbers["version"] = int(chosen)
    hash = found.get("hash")
    return Reference(said, None, numbers.get("model"), numbers.get("version"), hash)


#: The name of a page's parameter: what follows is its value and no strength.
_PARAMETER = re.compile(r"[?&][\w.-]*$")


def split_strength(text: str) -> tuple[str, str | None]:
    """`REFERENCE=STRENGTH` in its two parts; None where no strength is said."""
    head, equals, strength = text.rpartition("=")
    if not equals or _PARAMETER.search(head):
        return text, None
    return head, strength


def is_looked_up(text: str) -> bool:
    """Does a text lead to an AIR that the site must be asked for?"""
    try:
        return not parse_reference(text).is_whole
    except ValueError:
        return False


def is_reference(text: str) -> bool:
    """Does a text name one model, or mean to? What is only a word or two does not."""
    try:
        found = parse_reference(text)
    except ValueError:
        return "://" in text or text.lower().startswith("name:")
    named = (found.model, found.version, found.hash, found.name)
    return found.is_whole or any(part is not None for part in named)
