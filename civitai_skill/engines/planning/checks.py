"""What is checked beyond a form's own limits: AIRs that would hang, seeds, words without effect."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from civitai_skill.engines import catalog
from civitai_skill.engines.forms import Wire
from civitai_skill.engines.limits import Limit, limits
from civitai_skill.engines.planning.options import UNLISTED
from civitai_skill.engines.planning.route import Candidate
from civitai_skill.engines.published.kept import Kept, in_force
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.schema.air import LORA_TYPES, MODEL_TYPES, TYPES, Air, fold
from civitai_skill.schema.parts import Lora
from civitai_skill.schema.references import ACCEPTED, BareName, parse_reference
from civitai_skill.schema.request import ImageRequest


def check_seed(candidate: Candidate, form: Wire) -> None:
    """Refuse the seeds that the service refuses: 0, negative ones, and more bits than it has.

    Picture n of a batch has the seed plus n, and that must be a seed too.
    """
    seed, quantity = candidate.request.seed or 0, int(getattr(form, "quantity", 1))
    top = 2 ** ((limits(candidate.way.form)["seed"].bits or 64) - 1) - quantity
    if not 1 <= seed <= top:
        why = "the service refuses 0 and below" if seed < 1 else "too large"
        several = f" with quantity {quantity}, whose last seed is {quantity - 1} higher"
        several = several if quantity > 1 else ""
        raise RequestInvalid(
            Problem("seed", seed, f"1 to {top}{several}", min(max(seed, 1), top), why),
            engine=candidate.owner,
            advice="Leave seed out for a random one; it is reported with the picture.",
        )


_ONLINE = "is looked up only where the site can be asked"


def check_name(text: str) -> None:
    """Refuse a checkpoint's bare name, with the engine that has it by that name. Raises
    RequestInvalid."""
    try:
        parse_reference(text)
    except BareName as error:
        near = catalog.meaning_of(text)
        raise RequestInvalid(Problem("model", text, ACCEPTED, near, str(error))) from None


def check_references(request: ImageRequest) -> None:
    """Refuse what only leads to an AIR, or to trigger words: those are looked up before an engine
    is asked."""
    if request.model is not None:
        check_name(request.model)
    named = [("model", request.model), ("vae", request.vae)]
    named += [(f"loras.{i}.air", lora.air) for i, lora in enumerate(request.loras)]
    named += [(f"embeddings.{i}", text) for i, text in enumerate(request.embeddings)]
    problems = [
        Problem(field, text, "an AIR", None, _ONLINE)
        for field, text in named
        if text is not None and parse_reference(text).air is None
    ]
    if request.trigger:
        problems.append(Problem("trigger", True, "the words in the prompt itself", None, _ONLINE))
    if problems:
        raise RequestInvalid(*problems)


def check_airs(candidate: Candidate, values: Mapping[str, Any]) -> None:
    """Refuse AIRs made for another engine.

    The service does not refuse a mismatched AIR: the job hangs, and the Buzz with it.
    """
    known = limits(candidate.way.form)
    held = [(known[name], value) for name, value in values.items() if known[name].role]
    if not candidate.family.ecosystems or not held:
        return
    problems = []
    for limit, value in held:
        for field, text in _airs(limit.label, value):
            with suppress(ValueError):  # the form says so itself
                problem = _judge(candidate, limit.role or "", field, Air.parse(text), text)
                problems += [] if problem is None else [problem]
    if problems:
        raise RequestInvalid(*problems, engine=candidate.owner)


def _airs(label: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every AIR in a field: the place as the request names it, and the text."""
    if isinstance(value, str):
        yield label, value
    elif isinstance(value, list):
        for i, item in enumerate(value):
            if isinstance(item, Lora):
                yield f"{label}.{i}.air", item.air
            elif isinstance(item, str):
                yield f"{label}.{i}", item


def _judge(candidate: Candidate, role: str, field: str, air: Air, text: str) -> Problem | None:
    """What is wrong with an AIR in this place, or None."""
    kind = (air.type or "").lower()
    name, types, _ = _ROLES.get(role, ("", TYPES, ""))
    if kind in TYPES - types:
        accepted = f"{name}'s AIR"
        return Problem(field, text, accepted, None, _misplaced(kind, limits(candidate.way.form)))
    family = candidate.family
    takes = candidate.variant.ecosystems or family.ecosystems
    if role == "embedding":
        takes |= family.embedding_ecosystems
    ecosystem = air.family
    if ecosystem is None or ecosystem in takes:
        return None
    home = [f"{family.name} {v.name}" for v in family.variants if ecosystem in v.ecosystems]
    home = home or [f.name for f in catalog.families() if ecosystem in f.ecosystems - takes]
    accepted = "an AIR of " + ", ".join(sorted(takes))
    if home:
        why = f"made for {air.ecosystem}, which engine {' or '.join(home)} takes; "
        return Problem(field, text, accepted, None, why + "here the job would hang")
    options = candidate.request.options
    if any(fold(name) == UNLISTED and value is True for name, value in options.items()):
        return None
    accepted += "; or set options.allow_unlisted_air to true if you know that it fits"
    why = f"no engine is known to take the ecosystem {air.ecosystem}"
    return Problem(field, text, accepted, None, why)


#: What a field's AIR must be: its name with an article, the types, the request's field for it.
_ROLES = {
    "model": ("a checkpoint", MODEL_TYPES, "model"),
    "lora": ("a LoRA", LORA_TYPES, "loras"),
    "embedding": ("an embedding", frozenset({"embedding"}), "embeddings"),
    "vae": ("a VAE", frozenset({"vae"}), "vae"),
}


def _misplaced(kind: str, known: Mapping[str, Limit]) -> str:
    """What an AIR of this type is, and where it belongs, where the form has a place for it."""
    for role, (name, types, field) in _ROLES.items():
        if kind in types:
            there = any(limit.role == role for limit in known.values())
            return f"this is {name}" + (f"; it belongs in {field}" if there else "")
    return f"its type is {kind}"


def newer_than_ours(form: Wire) -> list[tuple[str, str]]:
    """What of a form was said that only a newer document knows: the field, and the new value."""
    found = []
    for name, values in form.newer.items():
        given = getattr(form, name)
        if name not in form.model_fields_set or given is None:
            continue
        limit = limits(type(form))[name]
        sent = json.dumps(form.sent().get(limit.wire))
        new = [str(value) for value in values if json.dumps(value) in sent]
        if new or not values:
            found.append((limit.label, ", ".join(new)))
    return found


def _catalogued(kept: Kept, family: str, variant: str, form: Wire) -> Iterator[str]:
    """What the service's catalogue says against it, while that was fetched lately."""
    figures = [kept.figure(family, variant, operation) for operation in form.operations()]
    for figure in filter(None, figures):
        said = [figure.status] if figure.status in ("unavailable", "degraded") else []
        said += ["deprecated"] if figure.deprecated else []
        if said:
            rate = "" if figure.success is None else f", {figure.success:.0%} succeed"
            yield (
                f"{kept.catalogue.capitalize()} ({kept.looked_on}) calls {family} {variant} "
                f"{' and '.join(said)}{rate}."
            )
            return


def warnings(candidate: Candidate, form: Wire, newer: Iterable[tuple[str, str]]) -> Iterator[str]:
    """What is accepted and has no effect, or spoils the picture; `newer` is what only a newer
    document knows of the form."""
    family, variant, kept = candidate.family, candidate.variant, in_force()
    for caution in family.cautions:
        if caution.holds(variant.name, form):
            yield f"{family.name} {variant.name}: {caution}."
    for limit in limits(type(form)).values():
        value = getattr(form, limit.name)
        if limit.likely and value is not None and not limit.holds(value):
            given = f"{len(value)} long" if isinstance(value, str | list | dict) else f"{value:g}"
            yield (
                f"{limit.label} is {given}; {limit.accepted()} is likely the limit, which nobody "
                "published: the service decides."
            )
    for label, value in newer:
        yield (
            f"{label} {value}".strip() + f" is known only from {kept.source}; it is passed on, "
            "and the service decides."
        )
    if family.unfamiliar:
        yield (
            f"{family.name} is known only from {family.unfamiliar}: no guidance, and its price "
            "is the service's own, asked before each purchase."
        )
        if candidate.request.quality != "standard":
            yield "quality changes nothing: nobody here knows this engine's settings."
        airs = [k.label for k in limits(type(form)).values() if k.role and getattr(form, k.name)]
        if airs:
            yield f"Nobody here knows which AIRs it loads: {', '.join(airs)} went unchecked."
    if kept.figures:
        yield from _catalogued(kept, family.name, variant.name, form)
    guidance = getattr(form, "guidance", None)
    if candidate.request.negative_prompt and guidance is not None and guidance <= 1:
        yield (
            f"negative_prompt does nothing at guidance {guidance:g}; "
            "raise guidance (which may raise the price), or describe what you do want."
        )
