"""A picture's generation data in, a request out: read it, find its models, fit it to an engine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pydantic_core import to_jsonable_python

from civitai_skill.api.parse import read, read_list
from civitai_skill.api.service import Flow, Work
from civitai_skill.api.site import ask_site
from civitai_skill.errors import ApiError, Problem, RequestInvalid, TransportFailed
from civitai_skill.images.sidecar import merge_fields
from civitai_skill.images.sources import EVERY_SOURCE, SourcePolicy
from civitai_skill.remix.fit import Change, Fitted, fit, refusal_of
from civitai_skill.remix.reading import Reading
from civitai_skill.remix.resolve import Resolved, resolve
from civitai_skill.remix.site import read_answer
from civitai_skill.remix.source import Page, read_source
from civitai_skill.resources.resolve import resolve_request
from civitai_skill.resources.site import ModelSite
from civitai_skill.schema.request import ImageRequest

#: Every level of maturity: a picture that is asked for by its number is meant.
_EVERY_LEVEL = "31"


@dataclass(frozen=True)
class Remix:
    """A picture's generation data, and the request that was made of it.

    `fields` are the request's, `changes` what is not as it was read, `resources` the models that
    were found, `unresolved` those to be asked for. `refusal` says why it can't be bought as it is.
    """

    reading: Reading
    fields: Mapping[str, Any]
    resources: tuple[Resolved, ...] = ()
    changes: tuple[Change, ...] = ()
    unresolved: tuple[Mapping[str, Any], ...] = ()
    refusal: RequestInvalid | None = None

    @property
    def request(self) -> ImageRequest:
        """The request to buy. Raises RequestInvalid where a model has to be named first, or the
        request can't be bought as it is."""
        missing = next((each for each in self.unresolved if each["kind"] == "checkpoint"), None)
        if missing is not None:
            accepted = "its AIR as model, or an engine, whose own model is then taken"
            why = "the picture's model was not found"
            if missing["name"] is None and missing["hash"] is None:
                why = "the text names no model; the address of the picture's page often does"
            raise RequestInvalid(Problem("model", missing["name"], accepted, None, why))
        if self.refusal is not None:
            raise self.refusal
        return ImageRequest(**self.fields)

    def as_dict(self) -> dict[str, Any]:
        not_carried = [change.as_dict() for change in self.changes]
        if self.refusal is not None:
            not_carried += [{"what": p.field, "why": p.sentence()} for p in self.refusal.problems]
        return {
            "dialect": self.reading.dialect,
            "reading": self.reading.as_dict(),
            "request": to_jsonable_python(self.fields, bytes_mode="base64", fallback=str),
            "resources": [each.as_dict() for each in self.resources],
            "not_carried": not_carried,
            "unresolved": [dict(each) for each in self.unresolved],
        }


def remix(
    site: ModelSite,
    source: Any,
    said: Mapping[str, Any],
    policy: SourcePolicy = EVERY_SOURCE,
    own: Mapping[str, Any] | None = None,
) -> Flow[Remix]:
    """Make a request of a source (see `source.read_source`); what is `said` wins.

    `own` is the request that made it, where it is known to be a picture of ours.

    Raises RequestInvalid for a source without generation data, and where what is said does not fit
    together; TransportFailed and ApiError where a page can't be asked for.
    """
    if own is not None:
        shared = {name: own[name] for name in _SHARED if own.get(name) is not None}
        reading = Reading("civitai-skill", **shared)
    else:
        found: Reading | Page = yield Work(partial(read_source, source, policy))
        reading = (yield from _read_page(site, found)) if isinstance(found, Page) else found
        own = reading.own_request()
    if own is not None and _is_request(own):
        said = yield from _look_up(site, said, (), own.get("engine"))
        merged = merge_fields(own, said)
        return Remix(reading, merged, refusal=refusal_of(merged))
    resolved = yield from resolve(site, reading)
    said = yield from _look_up(site, said, resolved)
    fitted: Fitted = yield Work(partial(fit, reading, resolved, said))
    return Remix(
        reading,
        fitted.fields,
        tuple(each for each in resolved if each.air is not None),
        tuple(fitted.changes),
        tuple(fitted.unresolved),
        fitted.refusal,
    )


def _is_request(fields: Mapping[str, Any]) -> bool:
    """Does a request take them? Somebody else may have written them into the picture."""
    try:
        ImageRequest(**fields)
    except RequestInvalid:
        return False
    return True


_MODELS = ("model", "loras", "embeddings", "vae")
#: What a request and a reading call the same.
_SHARED = ("prompt", "negative_prompt", "steps", "seed", "guidance", "width", "height")


def _look_up(
    site: ModelSite,
    said: Mapping[str, Any],
    read: Sequence[Resolved],
    own_engine: str | None = None,
) -> Flow[dict[str, Any]]:
    """What is said, with the AIRs of the models that it names; they must go with those that were
    `read`, and with the engine of a picture of ours, unless a checkpoint or an engine is said."""
    named = {name: said[name] for name in _MODELS if said.get(name)}
    if not named:
        return dict(said)
    engine = said.get("engine", own_engine)
    if engine is None and "model" not in named:
        engine = next((each.takers[0].engine for each in read if each.takers), None)
    chosen = {} if engine is None else {"engine": engine}
    asked = ImageRequest(prompt="a picture", **chosen, **named)
    found = (yield from resolve_request(site, asked)).request
    return {**said, **{name: found.said()[name] for name in named}}


# -- the site's pages ------------------------------------------------------------------------------
def _read_page(site: ModelSite, page: Page) -> Flow[Reading]:
    id = (yield from _picture_of_post(site, page.id)) if page.is_post else page.id
    asked = [("imageId", str(id)), ("withMeta", "true"), ("browsingLevel", _EVERY_LEVEL)]
    answer = yield from ask_site(
        site.service, "/images", asked, what=f"picture {id}", seconds=site.seconds
    )
    reading = read_answer(answer or {}, id)
    if reading is None or reading.hidden:
        reading = (yield from _second_try(site, id)) or reading
    if reading is None:
        why = "the site shows no such picture"
        raise RequestInvalid(Problem("source", f"picture {id}", "a picture's page", None, why))
    return reading


def _second_try(site: ModelSite, id: int) -> Flow[Reading | None]:
    """What the page itself asks for: it tells the models of hidden metadata. It may go any day."""
    service = replace(site.service, site_url=site.service.site_url.removesuffix("/v1"))
    asked = [("input", json.dumps({"json": {"id": id}}, separators=(",", ":")))]
    path = "/trpc/image.getGenerationData"
    try:
        answer = yield from ask_site(
            service, path, asked, what=f"the page of picture {id}", seconds=site.seconds
        )
    except (TransportFailed, ApiError):
        return None
    told = read(read(read(answer or {}, "result", dict), "data", dict), "json", dict)
    return read_answer(answer or {}) if told.get("meta") or told.get("resources") else None


def _picture_of_post(site: ModelSite, id: int) -> Flow[int]:
    asked = [("postId", str(id)), ("browsingLevel", _EVERY_LEVEL)]
    answer = yield from ask_site(site.service, "/images", asked, what=f"post {id}")
    ids = [
        n for item in read_list(answer or {}, "items", dict) if isinstance(n := item.get("id"), int)
    ]
    if len(ids) == 1:
        return ids[0]
    listed = ", ".join(f"https://civitai.com/images/{n}" for n in ids[:20])
    accepted = f"one of its pictures: {listed}" if ids else "a picture's page"
    why = f"the post has {len(ids)} pictures" if ids else "the site shows no such post"
    raise RequestInvalid(Problem("source", f"post {id}", accepted, None, why))
