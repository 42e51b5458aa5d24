"""What the site says of a model, read leniently: only what is used is kept."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from civitai_skill.api.parse import clean_reason, read, read_list, read_number
from civitai_skill.resources.takers import Taker, field_of, takers_of
from civitai_skill.schema.air import Air

Kind = Literal["checkpoint", "lora", "embedding", "vae", "other"]

#: What each field of a request holds.
HELD: Mapping[str, Kind] = {
    "model": "checkpoint", "loras": "lora", "embeddings": "embedding", "vae": "vae",
}  # fmt: skip
#: The site's types of each kind.
TYPES: Mapping[Kind, tuple[str, ...]] = {
    "checkpoint": ("Checkpoint",),
    "lora": ("LORA", "LoCon", "DoRA"),
    "embedding": ("TextualInversion",),
    "vae": ("VAE",),
}
_KIND_OF: Mapping[str, Kind] = {name: kind for kind, names in TYPES.items() for name in names}

#: Characters that are kept of a description, and entries of a list.
_MOST_WORDS, _MOST_ENTRIES = 400, 40


@dataclass(frozen=True)
class Licence:
    """What the author allows; None where the site does not say."""

    credit_required: bool | None = None
    #: What may be sold: Image, RentCivit, Rent, Sell; empty: nothing.
    commercial_use: tuple[str, ...] | None = None
    derivatives: bool | None = None
    different_licence: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        said = {n: v for n, v in vars(self).items() if v is not None}
        return {n: list(v) if isinstance(v, tuple) else v for n, v in said.items()}


@dataclass(frozen=True)
class Version:
    """A version as a model's own page lists it; `covered` (can it be generated with?) and
    `triggers` are None where it does not say."""

    id: int
    name: str
    base_model: str
    covered: bool | None = None
    triggers: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class About:
    """What the site tells of a model as a whole."""

    mature: bool | None = None
    creator: str = ""
    about: str = ""
    tags: tuple[str, ...] = ()
    downloads: int | None = None
    likes: int | None = None
    licence: Licence = Licence()


@dataclass(frozen=True)
class Model(About):
    """A model and its versions, newest first, as the site lists them; `type` is the site's word.
    `gone` says why it is no longer there."""

    id: int
    name: str
    type: str
    kind: Kind
    versions: tuple[Version, ...] = ()
    covered: bool | None = None
    gone: str = ""


@dataclass(frozen=True)
class Resource(About):
    """One version of a model.

    `refusal` says why it can't be generated with, "" where it can; `unsure` says that the site did
    not tell. `early_access` is the day until which it is sold; `fee` what its author asks for each
    picture, as the site says it. `hashes` are those of its files.
    """

    air: str
    kind: Kind
    name: str
    version_name: str = ""
    base_model: str = ""
    model_id: int | None = None
    version_id: int | None = None
    triggers: tuple[str, ...] = ()
    refusal: str = ""
    unsure: bool = False
    early_access: str = ""
    extra_charge: bool | None = None
    fee: Any = None
    hashes: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def takers(self) -> tuple[Taker, ...]:
        """The engines that take it, best first."""
        return takers_of(self.air)

    @property
    def label(self) -> str:
        """Its name and version, for people."""
        return " ".join(filter(None, (self.name, self.version_name))) or self.air

    @property
    def page(self) -> str:
        """The address of its page."""
        if self.model_id is None:
            return ""
        chosen = f"?modelVersionId={self.version_id}" if self.version_id else ""
        return f"https://civitai.com/models/{self.model_id}{chosen}"

    def about_model(self, model: Model) -> Resource:
        """With what only its model's page tells."""
        told = {part.name: getattr(model, part.name) for part in fields(About)}
        told = {name: value for name, value in told.items() if value not in (None, "", (), _SILENT)}
        missing = tuple(name for name in self.missing if name not in told)
        return replace(self, **told, refusal=self.refusal or model.gone, missing=missing)

    def as_dict(self) -> dict[str, Any]:
        """JSON, without what is not known."""
        found = {
            "air": self.air, "kind": self.kind, "name": self.name, "version": self.version_name,
            "base_model": self.base_model, "engines": [taker.as_dict() for taker in self.takers],
            "trigger_words": list(self.triggers),
            "can_generate": None if self.unsure else not self.refusal, "refused": self.refusal,
            "about": self.about, "creator": self.creator, "tags": list(self.tags),
            "downloads": self.downloads, "likes": self.likes, "mature": self.mature,
            "licence": self.licence.as_dict(), "early_access_until": self.early_access,
            "extra_charge": self.extra_charge, "fee": self.fee, "hashes": dict(self.hashes),
            "page": self.page, "not_said": list(self.missing),
        }  # fmt: skip
        return {n: v for n, v in found.items() if v not in (None, "", [], {})}


_SILENT = Licence()


def kind_of_air(air: Air) -> Kind:
    """The kind that an AIR's type says."""
    field = field_of(air.type or "")
    return "other" if field is None else HELD[field]


# -- the site's answers ----------------------------------------------------------------------------
def read_model(item: Mapping[str, Any]) -> Model | None:
    """A model of a list, or one alone; None where it has no number."""
    id = read_number(item, "id")
    if id is None:
        return None
    stats, mode = read(item, "stats", dict), read(item, "mode", str)
    type = read(item, "type", str)
    return Model(
        id,
        _line(item, "name"),
        type,
        _KIND_OF.get(type, "other"),
        tuple(v for one in read_list(item, "modelVersions", dict) if (v := _read_version(one))),
        _flag(item, "supportsGeneration"),
        f"the site has taken it down ({clean_reason(mode)})" if mode else "",
        mature=_flag(item, "nsfw"),
        creator=_line(read(item, "creator", dict), "username"),
        about=plain_words(read(item, "description", str)),
        tags=_lines(read_list(item, "tags", str)),
        downloads=read_number(stats, "downloadCount"),
        likes=read_number(stats, "thumbsUpCount"),
        licence=_read_licence(item),
    )


def _read_version(one: Mapping[str, Any]) -> Version | None:
    id = read_number(one, "id")
    if id is None:
        return None
    words = one.get("trainedWords")
    triggers = _lines(words) if isinstance(words, list) else None
    covered = _flag(one, "supportsGeneration")
    return Version(id, _line(one, "name"), _line(one, "baseModel"), covered, triggers)


def read_resource(full: Mapping[str, Any], mini: Mapping[str, Any]) -> Resource | None:
    """A version from its two records; None where neither has its AIR."""
    try:
        air = Air.parse(read(full, "air", str) or read(mini, "air", str))
    except ValueError:
        return None
    model, stats, can = (
        read(full, "model", dict),
        read(full, "stats", dict),
        _flag(mini, "canGenerate"),
    )
    until = read(mini, "earlyAccessEndsAt", str) or read(full, "earlyAccessEndsAt", str)
    until = until[:10]
    refusal = f"in early access until {until}" if until else "not enabled for generation"
    words, mature = full.get("trainedWords"), _flag(model, "nsfw")
    base_model = _line(full, "baseModel") or _line(mini, "baseModel")
    told = {
        "can_generate": can, "trigger_words": words, "mature": mature,
        "base_model": base_model or None, "creator": None, "about": None, "licence": None,
    }  # fmt: skip
    hashes = next((h for f in read_list(full, "files", dict) if (h := read(f, "hashes", dict))), {})
    return Resource(
        str(air),
        _KIND_OF.get(read(model, "type", str)) or kind_of_air(air),
        _line(model, "name") or _line(mini, "modelName"),
        _line(full, "name") or _line(mini, "versionName"),
        base_model,
        read_number(full, "modelId") or _number(air.id),
        read_number(full, "id") or _number(air.version),
        _lines(words if isinstance(words, list) else ()),
        refusal if can is False else "",
        can is None,
        until,
        _flag(mini, "additionalResourceCharge"),
        mini.get("fees"),
        {str(k)[:20]: v[:80] for k, v in hashes.items() if isinstance(v, str)},
        tuple(name for name, value in told.items() if value is None),
        mature=mature,
        downloads=read_number(stats, "downloadCount"),
        likes=read_number(stats, "thumbsUpCount"),
    )


def _read_licence(item: Mapping[str, Any]) -> Licence:
    sold = item.get("allowCommercialUse")
    if isinstance(sold, str):  # "{Image,RentCivit}", a list as PostgreSQL writes it
        sold = [word for word in sold.strip("{}").split(",") if word]
    no_credit = _flag(item, "allowNoCredit")
    return Licence(
        None if no_credit is None else not no_credit,
        tuple(use for use in _lines(sold) if use != "None") if isinstance(sold, list) else None,
        _flag(item, "allowDerivatives"),
        _flag(item, "allowDifferentLicense"),
    )


# -- single values ---------------------------------------------------------------------------------
def _flag(where: Mapping[str, Any], key: str) -> bool | None:
    value = where.get(key)
    return value if isinstance(value, bool) else None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 13 else None


def _line(where: Mapping[str, Any], key: str) -> str:
    return clean_reason(read(where, key, str)).strip(" ,")


def _lines(values: Any) -> tuple[str, ...]:
    """The texts of a list, each on one line and once."""
    found = (clean_reason(v).strip(" ,") for v in values if isinstance(v, str))
    return tuple(dict.fromkeys(text for text in found if text))[:_MOST_ENTRIES]


_TAG = re.compile(r"<[^<>]{0,2000}>")


def plain_words(page: str) -> str:
    """The beginning of a description without its markup, on one line."""
    text = " ".join(html.unescape(_TAG.sub(" ", page[:20_000])).split())
    text = "".join(c for c in text if c.isprintable())
    return text if len(text) <= _MOST_WORDS else f"{text[:_MOST_WORDS].rstrip()}..."
