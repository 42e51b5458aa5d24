"""The models that generation data names, as the site knows them: by AIR or version, then by hash.

A name alone is never looked up: file names mean nothing to the site. What is not found is asked
for; where the site does not answer, an AIR that the data gives is taken as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from civitai_skill.api.service import Flow
from civitai_skill.errors import ApiError, TransportFailed
from civitai_skill.remix.reading import Named, Reading
from civitai_skill.remix.values import can_be_looked_up
from civitai_skill.resources.records import Resource
from civitai_skill.resources.site import ModelSite
from civitai_skill.resources.takers import Taker, field_of, find_takers
from civitai_skill.schema.air import Air

#: SDXL's own VAE, which its checkpoints have in them.
_OWN_VAE = "235745af8d"
#: Hashes of eight digits (AutoV1) are those of several files.
_TELLING = 10


@dataclass(frozen=True)
class Resolved:
    """A model that the data names: `kind` is checkpoint, lora, embedding or vae.

    `air` is None where it was not found, and `why` says so; `how` says what it was found by.
    """

    kind: str
    named: Named
    air: str | None = None
    name: str | None = None
    how: str = ""
    why: str = ""
    takers: tuple[Taker, ...] = ()

    @property
    def label(self) -> str:
        """What it is called, as far as anybody says."""
        version = f"version {self.named.version_id}" if self.named.version_id else None
        return self.name or self.named.name or version or f"of hash {self.named.hash}"

    def as_dict(self) -> dict[str, Any]:
        """One of the resources of a remix."""
        return {
            "kind": self.kind,
            "name": self.label,
            "air": self.air,
            "weight": self.named.weight,
            "from": self.how,
        }

    def as_unresolved(self) -> dict[str, Any]:
        """One that is asked for."""
        name = self.named.name or (self.label if self.named.hash is None else None)
        return {"kind": self.kind, "name": name, "hash": self.named.hash}


def resolve(site: ModelSite | None, reading: Reading) -> Flow[list[Resolved]]:
    """Every model that a reading names; without a site only what it gives an AIR of."""
    found: list[Resolved] = []
    for kind, named in _wanted(reading):
        if named.air is None and (named.version_id or 0) in reading.airs:
            named = replace(named, air=reading.airs[named.version_id or 0])
        found.append((yield from _resolve(site, kind, named)))
    return found


def _wanted(reading: Reading) -> Iterator[tuple[str, Named]]:
    if reading.model:
        yield "checkpoint", reading.model
    yield from (("lora", lora) for lora in reading.loras)
    yield from (("embedding", embedding) for embedding in reading.embeddings)
    if reading.vae and (reading.vae.hash or "").lower() != _OWN_VAE:
        yield "vae", reading.vae


def _resolve(site: ModelSite | None, kind: str, named: Named) -> Flow[Resolved]:
    version, hash = named.version_id, named.hash
    if version is None and named.air is not None:
        return Resolved(kind, named, named.air, how="AIR", takers=takers_of(named.air))
    if version is None and not (can_be_looked_up(hash) and len(hash or "") >= _TELLING):
        why = (
            "it is known by a file's name alone" if hash is None else "no file is known by its hash"
        )
        return Resolved(kind, named, why=why)
    silent, found = site is None, None
    if site is not None:
        try:
            look_up = site.by_hash(hash or "") if version is None else site.by_version(version)
            found = yield from look_up
        except (TransportFailed, ApiError):
            silent = True
    if found is not None:
        how = f"hash {hash}" if version is None else f"version {version}"
        return _judge(kind, named, found, how)
    if silent and named.air is not None:
        return Resolved(kind, named, named.air, how="AIR", takers=takers_of(named.air))
    if silent:
        return Resolved(kind, named, why="the site did not answer")
    what = "file of this hash" if version is None else "such version any more"
    return Resolved(kind, named, why=f"the site has no {what}")


def _judge(kind: str, named: Named, found: Resource, how: str) -> Resolved:
    name = " ".join(filter(None, (found.name, found.version_name)))
    if found.refusal:
        return Resolved(kind, named, name=name, why=f"{name}: {found.refusal}")
    if found.kind != kind:
        return Resolved(kind, named, name=name, why=f"{name} is no {kind} but a {found.kind}")
    return Resolved(kind, named, found.air, name, how, takers=found.takers)


def takers_of(air: str) -> tuple[Taker, ...]:
    """The engines that take what an AIR names."""
    parsed = Air.parse(air)
    type = (parsed.type or "").lower()
    return find_takers(parsed.family or "", type) if field_of(type) else ()
