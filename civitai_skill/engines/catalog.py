"""The one list of engines: a line each. Names are known from here without loading any family."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from civitai_skill.engines import spelling
from civitai_skill.engines.index import new_engines
from civitai_skill.engines.published.kept import Kept, in_force
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.errors.next_steps import Choose
from civitai_skill.schema.air import fold

if TYPE_CHECKING:
    from civitai_skill.engines.family import Family


@dataclass(frozen=True)
class Entry:
    """A line of the catalog: the name, the module that holds `FAMILY`, other common spellings.

    A spelling that names a variant as well (`pony`, `flux2-klein`) means that variant.
    """

    name: str
    module: str
    aliases: tuple[str, ...] = ()


CATALOG: tuple[Entry, ...] = (
    Entry("flux2", "flux2", ("flux", "flux 2", "flux.2", "klein", "flux2-klein")),
    Entry("z-image", "z_image", ("zimage", "z image")),
    Entry(
        "sdxl",
        "sdxl",
        ("sdxl 1.0", "stable diffusion xl", "sd xl", "pony", "illustrious", "noobai"),
    ),
    Entry(
        "sd1", "sd1", ("sd 1.5", "v1-5-pruned", "sd15", "stable diffusion 1.5", "stable diffusion")
    ),
    Entry(
        "flux1",
        "flux1",
        # In the words people use, dev and schnell without a number are FLUX.1's.
        (
            "flux 1",
            "flux.1",
            "flux.1 dev",
            "flux.1 schnell",
            "flux.1 krea",
            "flux dev",
            "flux schnell",
            "flux krea",
        ),
    ),
    Entry("flux1-kontext", "flux1_kontext", ("kontext", "flux.1 kontext", "flux kontext")),
    Entry("qwen", "qwen", ("qwen image", "qwen-image")),
    Entry("seedream", "seedream", ("see dream", "seedream 4.5")),
    Entry("grok", "grok", ("grok imagine", "grok 2")),
    Entry("ernie", "ernie", ("ernie image", "ernie-image")),
    Entry("anima", "anima", ("anima 2b",)),
    Entry("qwen21", "qwen21", ("qwen 2.1", "qwen-image-2.1", "qwen image 2.1")),
    Entry("hidream", "hidream", ("hidream-o1", "hidream-i1", "hidream o1", "hidream i1")),
    Entry("lens", "lens", ("microsoft lens",)),
    Entry("ideogram4", "ideogram4", ("ideogram", "ideogram 4")),
    Entry("boogu", "boogu", ("boogu 0.1",)),
    Entry("mageflow", "mageflow", ("mage-flow", "mage flow")),
    Entry("chroma", "chroma", ("chroma1-hd", "chroma hd")),
    Entry("pony-v7", "pony_v7", ("pony v7", "pony 7", "auraflow")),
    Entry("openai", "openai", ("gpt image", "gpt-image-2", "gpt-image-2.5", "dall-e", "dall-e-3")),
    Entry("google", "google", ("nano banana", "nano-banana-pro", "imagen 4", "gemini")),
    Entry("krea2", "krea2", ("krea", "krea 2")),
    Entry("wan", "wan", ("wan image", "wan 2.7", "wan 2.5", "wan 2.2")),
    Entry("mai", "mai", ("mai image",)),
    Entry("reve", "reve", ("reve 2.1",)),
    Entry("muse", "muse", ("muse image",)),
    Entry("flux1-pro", "flux1_pro", ("flux 1.1 pro", "flux1.1-pro", "flux pro ultra")),
)

NAMES: tuple[str, ...] = tuple(entry.name for entry in CATALOG)


@lru_cache(2)
def _spellings(entries: tuple[Entry, ...]) -> Mapping[str, Entry]:
    return {fold(n): entry for entry in entries for n in (entry.name, *entry.aliases)}


def names() -> tuple[str, ...]:
    """Every engine: ours, and those of a fetched document that our files lack."""
    return (*NAMES, *(engine.name for engine in new_engines()))


def find(name: str) -> Entry:
    """The catalog's line for a name in any common spelling.

    Raises RequestInvalid for an unknown name, with the nearest one.
    """
    wanted, known = fold(name), _spellings(CATALOG)
    if wanted in known:
        return known[wanted]
    new = {fold(engine.name): engine.name for engine in new_engines()}
    if wanted in new:
        return Entry(new[wanted], "")
    # What selects a new engine is like its name, and so is each word of that.
    like = {fold(word): full for full in new.values() for word in full.split("/")} | new
    near = _nearest(wanted)
    close = difflib.get_close_matches(wanted, like, 1, 0.75) if near is None else []
    near = like[close[0]] if close else near
    accepted = "one of " + ", ".join(names())
    raise RequestInvalid(
        Problem("engine", name, accepted, near, "there is no such engine"), next=[Choose()]
    )


def meaning_of(name: str) -> str | None:
    """The engine, and the variant of it, that a name of a checkpoint means; None where nobody can
    tell."""
    wanted = fold(name)
    known = _spellings(CATALOG).get(wanted)
    near = _nearest(wanted)
    if near is None and known is not None:
        near = known.name
    return near if near is None or near.startswith("engine ") else f"engine {near}"


@lru_cache(256)
def _nearest(wanted: str) -> str | None:
    return spelling.meant(wanted, [(own_family(entry), entry.aliases) for entry in CATALOG])


@cache
def own_family(entry: Entry) -> Family:
    """A family as its file has it; the others stay unread."""
    try:
        loaded: Family = import_module(f"civitai_skill.engines.families.{entry.module}").FAMILY
    except Exception as error:
        # So pydantic tells of a Ctrl-C while it builds a form (a SchemaError, all in its text).
        if "KeyboardInterrupt" in str(error):
            raise KeyboardInterrupt from None
        raise
    return loaded


def family(name: str) -> Family:
    """One family, with what a fetched document knows beyond its file, or one made from that alone.

    Raises RequestInvalid for an unknown name.
    """
    entry, kept = find(name), in_force()
    own = own_family(entry) if entry.module else None
    if own is not None and not kept.more:
        return own
    return _of_document(entry.name, own, kept)


def _of_document(name: str, own: Family | None, kept: Kept) -> Family:
    """What a document makes of a family; made once for each document."""
    if name not in kept.made:
        from civitai_skill.engines.published.derive import family_of
        from civitai_skill.engines.published.grow import grown

        if own is None:
            new = next(engine for engine in new_engines() if engine.name == name)
            kept.made[name] = family_of(name, new.forms, kept.source)
        else:
            kept.made[name] = grown(own, kept.more)
    found: Family = kept.made[name]
    return found


def families() -> list[Family]:
    """Every family, in the catalog's order, as its file has it."""
    return [own_family(entry) for entry in CATALOG]


def identify(given: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """(engine, variant) of an input, (None, None) where no family knows it.

    Of several variants with the same form, the one with the most matching fixed values wins; a
    default model counts, so that a checkpoint names its variant.
    """
    if not isinstance(given.get("engine"), str):
        return None, None  # every form names its engine; a default must not stand in for it
    best: tuple[int, str | None, str | None] = (0, None, None)
    new = (family(engine.name) for engine in new_engines())
    for known in (*map(own_family, CATALOG), *new):
        for variant, tags, likely, defaults in known.selectors:
            if any(given.get(k, defaults.get(k)) != v for k, v in tags.items()):
                continue
            score = len(tags) * 10 + sum(given.get(k) == v for k, v in likely.items())
            best = (score, known.name, variant) if score > best[0] else best
    return best[1:]
