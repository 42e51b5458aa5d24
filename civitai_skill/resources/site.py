"""What the site knows of one model: by number, by hash, by name. Asked once and kept for a day."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from civitai_skill.api.service import Flow, Service, Work
from civitai_skill.api.site import Params, ask_site
from civitai_skill.resources.records import (
    Kind,
    Model,
    Resource,
    Version,
    read_model,
    read_resource,
)
from civitai_skill.resources.takers import Taker, ecosystem_of, find_takers
from civitai_skill.schema.references import NOTHING
from civitai_skill.schema.types import read_json
from civitai_skill.storage.cache import Cache

#: Seconds that an answer is kept.
A_DAY = 86_400.0
#: Seconds within which the site must answer.
PATIENCE = 20.0

# What of an answer is not kept: the largest parts, and those that nobody reads.
_LARGE = frozenset({"images", "downloadUrl", "downloadUrls", "image", "metadata"})


@dataclass
class ModelSite:
    """The site, asked for models; its methods are flows.

    `cache` keeps answers for a day, None for as long as this lives; `account` tells apart whose
    answers they are. `seconds` is the patience with the site.
    """

    service: Service
    cache: Cache | None = None
    account: str = ""
    seconds: float = PATIENCE
    #: What references were found to mean.
    meant: dict[tuple[Any, ...], Resource] = field(default_factory=dict)
    #: Did it give no answer when it was last asked?
    silent: bool = False
    _seen: dict[str, Mapping[str, Any] | None] = field(default_factory=dict)

    def get(self, path: str, params: Params = (), *, what: str) -> Flow[Mapping[str, Any] | None]:
        """An object of the site's, None where it knows none."""
        asked = json.dumps([self.account, self.service.site_url, path, *params])
        name = hashlib.sha256(asked.encode()).hexdigest()
        if name in self._seen:
            return self._seen[name]
        found: Mapping[str, Any] | None = None
        if self.cache is not None:
            text = yield Work(partial(self.cache.get, name))
            with suppress(ValueError):
                found = None if text is None else read_json(text)
        if found is None:
            whole = yield from ask_site(self.service, path, params, what=what, seconds=self.seconds)
            if whole is not None:
                cursor = {"metadata": whole.get("metadata")} if path == "/models" else {}
                found = {**_drop_large(whole), **cursor}
                if self.cache is not None:
                    yield Work(partial(self.cache.put, name, json.dumps(found)))
        self._seen[name] = found
        return found

    # -- one of them -------------------------------------------------------------------------------
    def by_version(self, id: int) -> Flow[Resource | None]:
        """A version by its number."""
        full = yield from self.get(f"/model-versions/{id}", what=f"model version {id}")
        return None if full is None else (yield from self._with_mini(full, id))

    def by_hash(self, hash: str) -> Flow[Resource | None]:
        """The version that has a file of this hash, or of its first ten digits (AutoV2)."""
        digits = hash.upper()
        if NOTHING.startswith(digits):
            return None
        for tried in dict.fromkeys((digits, digits[:10])):
            path = f"/model-versions/by-hash/{tried}"
            full = yield from self.get(path, what=f"the file of hash {tried}")
            id = None if full is None else full.get("id")
            if full is not None and isinstance(id, int):
                return (yield from self._with_mini(full, id))
        return None

    def _with_mini(self, full: Mapping[str, Any], id: int) -> Flow[Resource | None]:
        mini = yield from self.get(f"/model-versions/mini/{id}", what=f"model version {id}")
        return read_resource(full, mini or {})

    def shown(
        self, model: Model, *, kind: Kind | None = None, engine: str | None = None
    ) -> Flow[Resource | None]:
        """The version that stands for a model: the newest that fits, else the newest that can be
        generated with, else the newest."""
        newest = yield from self.newest(model, kind=kind, engine=engine)
        versions = [v for v in model.versions if v.covered is not False] or model.versions
        if newest is None and versions:
            newest = yield from self.by_version(versions[0].id)
            newest = None if newest is None else newest.about_model(model)
        return newest

    def _listed(self, model: Model, version: Version, engine: str | None) -> Flow[Resource | None]:
        """A version of a model's own page, which may tell all but what one may do with it. Its
        record is asked for only where it may be used, and its trigger words are not known yet."""
        full: dict[str, Any] = {
            "id": version.id, "modelId": model.id, "name": version.name,
            "baseModel": version.base_model,
            "model": {"name": model.name, "type": model.type, "nsfw": model.mature},
        }  # fmt: skip
        if version.triggers is not None:
            full["trainedWords"] = list(version.triggers)
        found = yield from self._with_mini(full, version.id)
        useless = found is not None and (found.refusal or not has_engine(found.takers, engine))
        if version.triggers is not None or useless:
            return found
        return (yield from self.by_version(version.id))

    def model(self, id: int) -> Flow[Model | None]:
        """A model by its number, with its versions."""
        item = yield from self.get(f"/models/{id}", what=f"model {id}")
        return None if item is None else read_model(item)

    def newest(
        self, model: Model, *, kind: Kind | None = None, engine: str | None = None
    ) -> Flow[Resource | None]:
        """The newest version of a model that can be generated with, of a kind and for an engine
        where they are said; None where it has none."""
        for version in fitting_versions(model, kind, engine):
            found = yield from self._listed(model, version, engine)
            if found is not None and not found.refusal and has_engine(found.takers, engine):
                return found.about_model(model)
        return None


def fitting_versions(model: Model, kind: Kind | None, engine: str | None) -> list[Version]:
    """The versions of a model that its own page does not rule out."""
    if model.gone or (kind is not None and model.kind != kind):
        return []
    return [v for v in model.versions if v.covered is not False and may_fit(v, model.kind, engine)]


# -- does it fit -----------------------------------------------------------------------------------
def may_fit(version: Version, kind: Kind, engine: str | None) -> bool:
    """May a version be taken by an engine (None: by any), by the name of its base model?"""
    ecosystem = ecosystem_of(version.base_model)
    if kind == "other" or ecosystem is None:
        return kind != "other"
    return has_engine(find_takers(ecosystem, kind), engine)


def has_engine(takers: tuple[Taker, ...], engine: str | None) -> bool:
    """Is the engine one of those (None: is there any)?"""
    return bool(takers) if engine is None else any(taker.engine == engine for taker in takers)


def _drop_large(value: Any, depth: int = 8) -> Any:
    """An answer without what is not read here."""
    if isinstance(value, list):
        return [_drop_large(item, depth - 1) for item in value[:500]] if depth else []
    if isinstance(value, Mapping):
        kept = {k: v for k, v in value.items() if k not in _LARGE}
        return {k: _drop_large(v, depth - 1) for k, v in kept.items()} if depth else {}
    return value[:20_000] if isinstance(value, str) else value
