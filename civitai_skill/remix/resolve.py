"""The models that generation data names, as the site knows them: by AIR or version, then by hash.

A name alone is never looked up: file names mean nothing to the site. What is not found is asked
for; where the site does not answer, an AIR that the data gives is taken as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from civitai_skill.api.service import Flow
from civitai_skill.errors import ApiError, TransportFailed
from civitai_skill.remix.reading import Named, Reading
from civitai_skill.remix.values import can_be_looked_up
from civitai_skill.resources.site import ModelSite
from civitai_skill.resources.takers import Taker, takers_of

#: SDXL's own VAE, which its checkpoints have in them.
_OWN_VAE = "235745af8d"
#: Hashes of eight digits (AutoV1) are those of several files.
_TELLING = 10
_SILENT = "the site did not answer"


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
    wanted = [("checkpoint", reading.model)] if reading.model else []
    wanted += [("lora", lora) for lora in reading.loras]
    wanted += [("embedding", embedding) for embedding in reading.embeddings]
    if reading.vae and (reading.vae.hash or "").lower() != _OWN_VAE:
        wanted.append(("vae", reading.vae))
    found: list[Resolved] = []
    for kind, named in wanted:
        air = named.air or reading.airs.get(named.version_id or 0)
        found.append((yield from _resolve(site, kind, replace(named, air=air))))
    return found


def _resolve(site: ModelSite | None, kind: str, named: Named) -> Flow[Resolved]:
    version, hash = named.version_id, named.hash
    as_given = None
    if named.air is not None:
        as_given = Resolved(kind, named, named.air, how="AIR", takers=takers_of(named.air))
    if version is None and as_given is not None:
        return as_given
    if version is None and not (can_be_looked_up(hash) and len(hash or "") >= _TELLING):
        why = "no file is known by its hash" if hash else "it is known by a file's name alone"
        return Resolved(kind, named, why=why)
    try:
        if site is None:
            return as_given or Resolved(kind, named, why=_SILENT)
        look_up = site.by_hash(hash or "") if version is None else site.by_version(version)
        found = yield from look_up
    except (TransportFailed, ApiError):
        return as_given or Resolved(kind, named, why=_SILENT)
    if found is None:
        what = "file of this hash" if version is None else "such version any more"
        return Resolved(kind, named, why=f"the site has no {what}")
    name = " ".join(filter(None, (found.name, found.version_name)))
    if found.refusal:
        return Resolved(kind, named, name=name, why=f"{name}: {found.refusal}")
    if found.kind != kind:
        return Resolved(kind, named, name=name, why=f"{name} is no {kind} but a {found.kind}")
    how = f"hash {hash}" if version is None else f"version {version}"
    return Resolved(kind, named, found.air, name, how, takers=found.takers)
