"""What the arguments say about engines; only of those that are allowed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

#: What each engine is the one to take for, in the order of preference.
_SUITS: Mapping[str, str] = {
    "flux2": "for photos, drafts and edits",
    "qwen": "for readable or Chinese text and many references",
    "sdxl": "for anime, LoRAs, checkpoints",
    "z-image": "for fast photos",
    "seedream": "for 4K",
    "grok": "for phone ratios",
}
_NEGATIVE: Mapping[str, str] = {
    "sdxl": "sdxl", "sd1": "sd1", "qwen": "qwen", "z-image": "z-image base",
}  # fmt: skip
_CHECKPOINTS: Mapping[str, str] = {n: n for n in ("sdxl", "sd1", "flux1", "z-image")}
#: Edits that have their source's own size.
_KEEPERS: Mapping[str, str] = {"qwen": "qwen"}


def engine(allowed: Sequence[str], default: str) -> str:
    """Which engine for what."""
    suits = [
        f"{name} {_SUITS[name]}{' (the default)' if name == default else ''}"
        for name in _SUITS
        if name in allowed
    ]
    if default not in _SUITS:
        suits.insert(0, f"{default} is the default")
    return f"{'; '.join(suits)}. Unsure: ask civitai_choose_engine."


def aspect_ratio(allowed: Sequence[str]) -> str:
    """What becomes of the shape."""
    keepers = _listed(_KEEPERS, allowed)
    kept = f" Not for edits by {keepers}, which keep their source's." if keepers else ""
    return (
        "Such as 16:9. Prefer it to pixels. Left out: square, or nearest to the source's shape, "
        f"which can't be seen of a URL: then pass it.{kept}"
    )


def negative_prompt(allowed: Sequence[str]) -> str:
    """Where it acts."""
    acting = _listed(_NEGATIVE, allowed)
    return f"What to avoid. Acts on {acting}." if acting else "Leave out: no engine here heeds it."


def model(allowed: Sequence[str]) -> str:
    """Where a checkpoint loads."""
    taking = _listed(_CHECKPOINTS, allowed)
    return (
        f"AIR (urn:air:...) of a checkpoint, for {taking}."
        if taking
        else "Leave out: no engine here takes a checkpoint."
    )


def _listed(names: Mapping[str, str], allowed: Sequence[str]) -> str:
    *some, end = [names[n] for n in names if n in allowed] or [""]
    return f"{', '.join(some)} and {end}" if some else end


#: The fields whose words depend on the engines.
FIELDS: Mapping[str, Callable[[Sequence[str]], str]] = {
    "aspect_ratio": aspect_ratio,
    "negative_prompt": negative_prompt,
    "model": model,
}
