"""Search the site for models: only what can be generated with, and fits the engine.

The site cuts a page of hits by what else was asked, so a page may be short or empty while more
follow; `supportsGeneration=false` reads as true there; only a version's own record has its AIR and
says whether it can be generated with (facts of September 2026, read in the site's source).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from civitai_skill.api.parse import read, read_list
from civitai_skill.api.service import Flow, Together
from civitai_skill.engines import catalog
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.resources.records import TYPES, Kind, Resource, read_model
from civitai_skill.resources.site import ModelSite, fitting_versions, has_engine
from civitai_skill.resources.takers import ecosystem_of, find_takers, loads_unnamed
from civitai_skill.schema.problems import nearest_name

Sort = Literal["relevance", "downloads", "rating", "newest"]
KINDS = tuple(TYPES)
SORTS: tuple[Sort, ...] = get_args(Sort)
_SORTED = {"downloads": "Most Downloaded", "rating": "Highest Rated", "newest": "Newest"}

MOST = 50
#: Pages that are read, and models on each.
_MOST_PAGES, _PAGE = 5, 60
#: Models that a name may mean.
_CANDIDATES = 8


@dataclass(frozen=True)
class FoundModels:
    """Models that can be generated with, in the site's order. `more` says that the search ended
    before the site had shown all it has."""

    models: tuple[Resource, ...]
    more: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {"models": [one.as_dict() for one in self.models], "more": self.more}


@dataclass(frozen=True)
class NameMatch:
    """What a name means: the one model that bears it, or those that it may mean."""

    found: Resource | None
    candidates: tuple[Resource, ...] = ()


def check_search(query: str, kind: str | None, engine: str | None, sort: str, take: int) -> None:
    """Refuse what can't be searched for. Raises RequestInvalid."""
    problems = []
    for name, given, known in (("type", kind, KINDS), ("sort", sort, SORTS)):
        if given is not None and given not in known:
            near = nearest_name(str(given), list(known))
            near = near if near in known else None
            problems.append(Problem(name, given, "one of " + ", ".join(known), near))
    if not 1 <= take <= MOST:
        problems.append(Problem("take", take, f"1 to {MOST}", max(1, min(take, MOST))))
    if len(query) > 200 or not query.isprintable():
        problems.append(Problem("query", query, "one line of at most 200 characters"))
    if problems:
        raise RequestInvalid(*problems)
    if engine is None:
        return
    name = catalog.find(engine).name
    if _has_taker(catalog.family(name).ecosystems, kind, name):
        return
    able = [n for n in catalog.NAMES if _has_taker(catalog.family(n).ecosystems, kind, n)]
    why = "it takes no " + (f"{kind}s" if kind else "models of Civitai's")
    if kind in (None, "lora") and loads_unnamed(name):
        why = (
            "it takes LoRAs, but the ecosystem that their AIRs name is not known, so none can be "
            "searched for; give one to a request by its AIR or its page's address"
        )
    raise RequestInvalid(Problem("engine", engine, "one of " + ", ".join(able), None, why))


def _has_taker(ecosystems: Iterable[str], kind: str | None, engine: str) -> bool:
    """Does an engine take models of one of these ecosystems, of a kind (None: of any)?"""
    kinds = KINDS if kind is None else (kind,)
    takers = (find_takers(ecosystem, one) for ecosystem in ecosystems for one in kinds)
    return any(has_engine(each, engine) for each in takers)


def search(
    site: ModelSite,
    query: str = "",
    *,
    type: Kind | None = None,
    engine: str | None = None,
    sort: Sort = "relevance",
    mature: bool = False,
    take: int = 10,
) -> Flow[FoundModels]:
    """The first `take` models for a query, each by its newest version that fits.

    Raises RequestInvalid for what can't be searched for, TransportFailed and ApiError.
    """
    kind = type
    check_search(query, kind, engine, sort, take)
    engine = None if engine is None else catalog.find(engine).name
    params = [("limit", str(_PAGE)), ("supportsGeneration", "true"), ("primaryFileOnly", "true")]
    params += [("query", query)] if query.strip() else []
    params += [("types", name) for one in ((kind,) if kind else KINDS) for name in TYPES[one]]
    params += [("sort", _SORTED[sort])] if sort in _SORTED else []
    params += [("nsfw", "true")] if mature else []
    params += [("baseModels", name) for name in (yield from _base_models(site, kind, engine))]
    found: list[Resource] = []
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        here = [*params, ("cursor", cursor)] if cursor else params
        page = yield from site.get("/models", here, what="the search for models")
        models = [m for item in read_list(page or {}, "items", dict) if (m := read_model(item))]
        # `covered` of a model counts only where it is said; so does being mature.
        wanted = [m for m in models if m.covered is not False and (mature or not m.mature)]
        left = [model for model in wanted if fitting_versions(model, kind, engine)]
        while left:
            # As many as are still wanted are asked for at once, and no more.
            asked, left = left[: take - len(found)], left[take - len(found) :]
            newest = [site.newest(model, kind=kind, engine=engine) for model in asked]
            for one in (yield Together(newest)):
                if one is not None and one.air not in {other.air for other in found}:
                    found.append(one)
            if len(found) == take:
                return FoundModels(tuple(found), more=True)
        before, cursor = cursor, _cursor(page or {})
        if cursor is None or cursor == before:
            return FoundModels(tuple(found))
    return FoundModels(tuple(found), more=True)


def _cursor(page: object) -> str | None:
    held = read(page, "metadata", dict) if isinstance(page, dict) else {}
    number = held.get("nextCursor")
    if isinstance(number, int) and not isinstance(number, bool):
        return str(number)  # with a query it is a plain offset
    return read(held, "nextCursor", str) or None


def _base_models(site: ModelSite, kind: Kind | None, engine: str | None) -> Flow[list[str]]:
    """The site's own names of the base models that the engine takes; none where it names none."""
    if engine is None:
        return []
    told = (yield from site.get("/enums", what="the list of base models")) or {}
    names = read_list(told, "ActiveBaseModel", str) or read_list(told, "BaseModel", str)
    named = [(name, ecosystem_of(name)) for name in names]
    return [name for name, of in named if of is not None and _has_taker((of,), kind, engine)]


# -- by name ---------------------------------------------------------------------------------------
def find_by_name(
    site: ModelSite,
    text: str,
    *,
    kind: Kind | None = None,
    engine: str | None = None,
    mature: bool = False,
) -> Flow[NameMatch]:
    """The one model that bears a name, with or without its version's; else the candidates."""
    page = yield from search(site, text, type=kind, engine=engine, mature=mature, take=_CANDIDATES)
    wanted = plain_name(text)
    named = tuple(
        one
        for one in page.models
        if wanted in (plain_name(one.name), plain_name(f"{one.name} {one.version_name}"))
    )
    return NameMatch(named[0]) if len(named) == 1 else NameMatch(None, named or page.models)


def plain_name(text: str) -> str:
    """A name without case, blanks and signs, in any script."""
    return "".join(c for c in text.casefold() if c.isalnum())
