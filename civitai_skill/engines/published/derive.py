"""A form that our files lack, as a family of ours: by its fields' names, and without guidance.

What bears a wire name of the shared vocabulary is mapped to it, the rest are options; what selects
the form is filled in; what the service fills in itself is never sent. Nobody here knows what such
an engine is good for, which AIRs it loads or what it costs, and everything says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field, create_model
from pydantic.alias_generators import to_snake

from civitai_skill.engines.family import Family, Variant, Way
from civitai_skill.engines.forms import OPERATIONS, Operation, Wire
from civitai_skill.engines.index import words
from civitai_skill.engines.published.document import Fields, Form
from civitai_skill.engines.published.fields import attribute_of, field_of
from civitai_skill.engines.published.kept import NewEngine
from civitai_skill.engines.record import record_of
from civitai_skill.engines.sizing import FollowsSource, Named, Pixels, Ratio, Sizing, by_ratio
from civitai_skill.schema.air import fold

#: The only variant of such a family.
ONLY = "default"

#: About a megapixel each; what a form has no room for is not offered.
_SIZES = by_ratio(
    "1:1 1024x1024, 5:4 1152x896, 4:3 1152x896, 3:2 1216x832, 16:9 1344x768, 21:9 1536x640"
)

_RATIO = re.compile(r"\d+(\.\d+)?:\d+(\.\d+)?|auto")
_PIXELS = re.compile(r"\d+x\d+")
#: Names of sizes as they are made elsewhere: portrait_4_3, landscape_16_9, square_hd.
_SHAPED = re.compile(r"(?P<turn>portrait|landscape)_(?P<a>\d+)_(?P<b>\d+)")


@dataclass(frozen=True)
class NamedShapes(Named):
    """Named sizes of which the names tell the ratio, and nobody the pixels."""

    ratios: Mapping[str, str] = field(default_factory=dict)

    def ratio(self, name: str) -> str:
        return self.ratios.get(name) or super().ratio(name)


# -- which engines there are -----------------------------------------------------------------------
def engines_of(forms: Iterable[Form], taken: Iterable[str], source: str) -> list[NewEngine]:
    """The engines that new forms make, each with its record for the index.

    A name is what selects a form but its operation; an operation that nobody here knows, or a name
    that is `taken`, adds that too.
    """
    reserved, grouped = {fold(name) for name in taken}, dict[str, list[Form]]()
    for form in forms:
        operation = form.tags.get("operation")
        values = [value for name, value in form.tags.items() if name != "operation"]
        known = operation is None or operation in OPERATIONS
        if operation is not None and (not known or fold("/".join(values)) in reserved):
            values.append(operation)
        grouped.setdefault("/".join(values), []).append(form)
    return [
        NewEngine(name, tuple(some), _record(family_of(name, some, source)))
        for name, some in grouped.items()
        if fold(name) not in reserved
    ]


def _record(family: Family) -> dict[str, Any]:
    """What the index has of an engine that nobody knows."""
    record = record_of(family)
    return {
        **record,
        "buzz": dict.fromkeys(family.quality),
        "heeds_negatives": [],
        "loads_checkpoints": [family.name] if "model" in record["takes"] else [],
        "keeps_size": [],
        "needs": {},
        "unfamiliar": family.unfamiliar,
    }


def family_of(name: str, forms: Iterable[Form], source: str) -> Family:
    """The family of new forms that differ by their operation alone."""
    ways = tuple(Way(_form_of(form)) for form in forms)
    return Family(
        name=name,
        title=name,
        maker="unknown",
        suits="new; nobody here knows it yet",
        variants=(Variant(ONLY, ways, best_for="unknown: nobody here knows it yet"),),
        best_for=(),
        avoid_for=(),
        prompt="Nobody here knows how it wants its prompts: plain sentences are the safest.",
        sizes=_SIZES,
        notes=(
            f"No guidance: this engine is known only from {source}.",
            "quality changes nothing here; the settings are the service's own, or yours.",
            "AIRs are not checked against it, and the service prices it before each purchase.",
        ),
        mature="unknown",
        sources=(source,),
        unfamiliar=source,
    )


# -- one form --------------------------------------------------------------------------------------
def _form_of(new: Form) -> type[Wire]:
    fields = {w: f for w, f in new.fields.items() if w not in new.tags and not f.get("read_only")}
    made: dict[str, Any] = {
        attribute_of(wire, {"type": "string"}, ()): (
            Literal[value],
            Field(value, alias=wire),
        )
        for wire, value in new.tags.items()
    }
    sizing = _sizing(fields, new.fields)
    # What bears a word of the vocabulary takes it before what is only like it.
    for wire, facts in sorted(fields.items(), key=lambda item: item[0] not in words()):
        own = to_snake(wire)
        name = own if own in sizing.fields else attribute_of(wire, facts, made)
        made[name] = field_of(wire, facts, name)
    form: Any = create_model(" ".join(new.tags.values()), __base__=Wire, **made)
    form.sizing, form.does = sizing, _does(new.tags.get("operation"), fields, made)
    styles = fields[form.alias("style_images")] if "style_images" in made else {}
    form.styles_alone = styles.get("items", {}).get("type") == "string"
    found: type[Wire] = form
    return found


def _does(operation: str | None, fields: Fields, made: Mapping[str, Any]) -> tuple[Operation, ...]:
    """What it can do, by its operation where we know that, else by its sources."""
    pictures = [n for n in ("images", "image") if n in made]
    varies = bool(pictures) and "strength" in made
    known = OPERATIONS.get(operation or "")
    if known == "edit" or (known == "variant" and varies):
        return (known, "variant") if varies and known == "edit" else (known,)
    if not pictures:
        return ("create",)
    facts = next(f for w, f in fields.items() if attribute_of(w, f, ()) in pictures)
    needed = facts.get("required") and (facts["type"] == "string" or facts.get("min_items"))
    found: list[Operation] = [] if needed else ["create"]
    return (*found, "edit", *(("variant",) if varies else ()))


def _sizing(fields: Fields, every: Fields) -> Sizing:
    """How the size is said: width and height, or an enum of ratios or names."""
    if all(fields.get(side, {}).get("type") == "integer" for side in ("width", "height")):
        return Pixels()
    for wire in ("aspectRatio", "imageSize", "size"):
        values = [v for v in fields.get(wire, {}).get("enum", []) if isinstance(v, str)]
        if wire == "aspectRatio" and values and all(map(_RATIO.fullmatch, values)):
            return Ratio(("aspect_ratio",))
        shapes = {v: ratio for v in values if (ratio := _ratio_of(v))}
        if shapes:
            return NamedShapes((to_snake(wire),), ratios=shapes)
    reads = {side for side in ("width", "height") if every.get(side, {}).get("read_only")}
    return FollowsSource() if reads else Sizing()


def _ratio_of(name: str) -> str:
    """The ratio that the name of a size tells; empty where it tells none."""
    shaped = _SHAPED.fullmatch(name)
    if shaped is not None:
        long, short = sorted((shaped["a"], shaped["b"]), key=int, reverse=True)
        return f"{short}:{long}" if shaped["turn"] == "portrait" else f"{long}:{short}"
    if _PIXELS.fullmatch(name):
        return Named().ratio(name)
    if _RATIO.fullmatch(name):
        return name
    return "1:1" if name.split("_")[0] == "square" else ""
