"""What is checked beyond a form's own limits: AIRs that would hang, seeds, words without effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from civitai_skill.engines import catalog
from civitai_skill.engines.forms import Wire
from civitai_skill.engines.limits import Limit
from civitai_skill.engines.planning.candidate import Candidate
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema.air import LORA_TYPES, MODEL_TYPES, TYPES, Air, fold


def check_seed(candidate: Candidate, form: Wire) -> None:
    """Refuse the seeds that the service refuses: 0, negative ones, and more bits than it has.

    Picture n of a batch has the seed plus n, and that must be a seed too.
    """
    seed = getattr(form, "seed", None)
    if seed is None:
        return
    quantity = int(getattr(form, "quantity", 1))
    top = 2 ** ((candidate.known["seed"].bits or 64) - 1) - quantity
    if not 1 <= seed <= top:
        why = "the service refuses 0 and below" if seed < 1 else "too large"
        several = f" with quantity {quantity}, whose last seed is {quantity - 1} higher"
        several = several if quantity > 1 else ""
        raise RequestInvalid(
            Problem("seed", seed, f"1 to {top}{several}", min(max(seed, 1), top), why),
            engine=candidate.owner,
            advice="Leave seed out for a random one; it is reported with the picture.",
        )


def check_airs(candidate: Candidate, values: Mapping[str, Any]) -> None:
    """Refuse AIRs made for another engine.

    The service does not refuse a mismatched AIR: the job hangs, and the Buzz with it.
    """
    family, known = candidate.family, candidate.known
    if not family.ecosystems:
        return
    options = candidate.request.options
    unlisted = any(fold(k) == "allowunlistedair" and v is True for k, v in options.items())
    problems = []
    for field, text, role in _airs(values, known):
        try:
            air = Air.parse(text)
        except ValueError:
            continue  # the form says so itself
        kind = (air.type or "").lower()
        if role in _ROLES and kind in TYPES - _ROLES[role].types:
            accepted = f"{_ROLES[role].name}'s AIR"
            problems.append(Problem(field, text, accepted, None, _misplaced(kind, known)))
            continue
        takes = candidate.variant.ecosystems or family.ecosystems
        if role == "embedding":
            takes |= family.embedding_ecosystems
        ecosystem = air.family
        if ecosystem is None or ecosystem in takes:
            continue
        others = [f.name for f in catalog.families() if ecosystem in f.ecosystems - takes]
        mine = [f"{family.name} {v.name}" for v in family.variants if ecosystem in v.ecosystems]
        home = mine or others
        if not home and unlisted:
            continue
        accepted = "an AIR of " + ", ".join(sorted(takes))
        if home:
            why = f"made for {air.ecosystem}, which engine {' or '.join(home)} takes; "
            why += "here the job would hang"
        else:
            why = f"no engine is known to take the ecosystem {air.ecosystem}"
            accepted += "; or set options.allow_unlisted_air to true if you know that it fits"
        problems.append(Problem(field, text, accepted, None, why))
    if problems:
        raise RequestInvalid(*problems, engine=candidate.owner)


@dataclass(frozen=True)
class _Role:
    """What a field's AIR must be: its name with an article, the types, the field it is for."""

    name: str
    types: frozenset[str]
    field: str


_ROLES = {
    "model": _Role("a checkpoint", MODEL_TYPES, "model"),
    "lora": _Role("a LoRA", LORA_TYPES, "loras"),
    "embedding": _Role("an embedding", frozenset({"embedding"}), "embeddings"),
    "vae": _Role("a VAE", frozenset({"vae"}), "vae"),
}


def _misplaced(kind: str, known: Mapping[str, Limit]) -> str:
    """What an AIR of this type is, and where it belongs, where the form has a place for it."""
    for role, meant in _ROLES.items():
        if kind in meant.types:
            there = any(limit.role == role for limit in known.values())
            return f"this is {meant.name}" + (f"; it belongs in {meant.field}" if there else "")
    return f"its type is {kind}"


def _airs(values: Mapping[str, Any], known: Mapping[str, Limit]) -> Iterator[tuple[str, str, str]]:
    """Every AIR of a request: the field as the request names it, the text, its role."""
    for name, value in values.items():
        role = known[name].role if name in known else None
        label = known[name].label if name in known else name
        if role == "lora" and isinstance(value, list):
            for i, lora in enumerate(value):
                yield f"{label}.{i}.air", lora.air, role
        elif role is not None and isinstance(value, str):
            yield label, value, role
        elif role is not None and isinstance(value, list):
            for i, text in enumerate(value):
                if isinstance(text, str):
                    yield f"{label}.{i}", text, role


def warnings(candidate: Candidate, form: Wire, said: Mapping[str, Any]) -> Iterator[str]:
    """What is accepted and has no effect, or spoils the picture."""
    family, variant = candidate.family, candidate.variant
    for caution in family.cautions:
        if caution.holds(variant.name, form):
            yield f"{family.name} {variant.name}: {caution.what}."
    for limit in candidate.known.values():
        value = getattr(form, limit.name)
        if limit.likely and value is not None and not limit.holds(value):
            given = f"{len(value)} long" if isinstance(value, str | list | dict) else f"{value:g}"
            yield (
                f"{limit.label} is {given}; {limit.accepted()} is likely the limit, which nobody "
                "published: the service decides."
            )
    guidance = getattr(form, "guidance", None)
    if said.get("negative_prompt") and guidance is not None and guidance <= 1:
        yield (
            f"negative_prompt does nothing at guidance {guidance:g}; "
            "raise guidance (which may raise the price), or describe what you do want."
        )
