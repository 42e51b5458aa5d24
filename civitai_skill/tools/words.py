"""What the arguments say about engines; only of those that are allowed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pydantic import WithJsonSchema

from civitai_skill.engines import index

#: So many names of new engines stand in a description.
_FEW = 4


def one_of(names: Sequence[str]) -> WithJsonSchema:
    """The names that a text may be, for its schema alone: another is answered with the nearest.

    A mark of the type, because LangChain's bindings keep nothing else of a field.
    """
    return WithJsonSchema({"type": "string", "enum": list(names)})


def engine(allowed: Sequence[str], default: str) -> str:
    """Which engine for what."""
    suits = [
        f"{name} for {record['suits']}{' (the default)' if name == default else ''}"
        for record in index.records()
        if (name := record["name"]) in allowed and "unfamiliar" not in record
    ]
    new = [r["name"] for r in index.records() if r["name"] in allowed and "unfamiliar" in r]
    if new:  # where they are many, the enum alone has them
        some = ", ".join(new) if len(new) <= _FEW else "those with a slash"
        suits.append(f"{some}: new, without guidance, only when asked for")
    return f"{'; '.join(suits)}. Unsure: ask civitai_choose_engine."


def aspect_ratio(allowed: Sequence[str]) -> str:
    """What becomes of the shape."""
    keepers = _listed("keeps_size", allowed)
    kept = f" Not for edits by {keepers}, which keep their source's." if keepers else ""
    return (
        "Such as 16:9. Prefer it to pixels. Left out: square, or the source's shape, "
        f"which can't be seen of a URL: then pass it.{kept}"
    )


def negative_prompt(allowed: Sequence[str]) -> str:
    """Where it acts."""
    acting = _listed("heeds_negatives", allowed)
    return f"What to avoid. Acts on {acting}." if acting else "Leave out: no engine here heeds it."


def model(allowed: Sequence[str]) -> str:
    """Where a checkpoint loads."""
    taking = _listed("loads_checkpoints", allowed)
    return (
        f"AIR (urn:air:...) of a checkpoint, for {taking}."
        if taking
        else "Leave out: no engine here takes a checkpoint."
    )


def _listed(which: str, allowed: Sequence[str]) -> str:
    names = [name for r in index.records() if r["name"] in allowed for name in r[which]]
    *some, end = names or [""]
    return f"{', '.join(some)} and {end}" if some else end


#: The fields whose words depend on the engines.
FIELDS: Mapping[str, Callable[[Sequence[str]], str]] = {
    "aspect_ratio": aspect_ratio,
    "negative_prompt": negative_prompt,
    "model": model,
}
