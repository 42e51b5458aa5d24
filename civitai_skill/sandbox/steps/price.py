"""What a step asks for, once its body fits: its price, its pictures, its echo, its fate."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from civitai_skill.engines import catalog
from civitai_skill.engines.forms import Wire
from civitai_skill.engines.planning.plan import price_of
from civitai_skill.engines.planning.sizes import within
from civitai_skill.engines.sizing import SQUARE
from civitai_skill.engines.sources import sources_of
from civitai_skill.sandbox.state.money import UNDOCUMENTED
from civitai_skill.sandbox.steps import refs, sources
from civitai_skill.sandbox.steps.check import ValidStep, airs, misfits
from civitai_skill.sandbox.steps.shapes import TextToImage
from civitai_skill.sandbox.steps.sources import Lookup
from civitai_skill.sandbox.steps.words import answer
from civitai_skill.sandbox.wire import Record, walk
from civitai_skill.schema.air import Air, is_air
from civitai_skill.steps.form import StepForm
from civitai_skill.steps.media_captioning import Captioning
from civitai_skill.steps.wd_tagging import Tagging

# Where no limit is published the sandbox takes any number, as the document does; it draws so many.
_MOST_PICTURES = 64

# The format of what a step gives where its input names none.
_GIVEN = {"imageUpscaler": "jpeg", "imageBackgroundRemoval": "png", "imageToSvg": "svg"}


@dataclass
class PricedStep:
    """A step, worked out.

    `recipes` say how each picture is drawn, `text` is the output of a step that gives words;
    `key` is where its pictures stand in the output; `digest` names identical steps whose outputs
    may be reused, as no chance is involved; `trouble` is why the step fails when its turn comes (an
    empty text: fails without a word); `hangs` that the service would never finish it; `pictures`
    are its sources.
    """

    type: str
    input: Record
    price: int | None = None
    quantity: int = 1
    key: str = "images"
    recipes: list[Record] = field(default_factory=list)
    text: Record | None = None
    digest: str | None = None
    trouble: str | None = None
    hangs: bool = False
    prompt: str = ""
    pictures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.price = UNDOCUMENTED * self.quantity if self.price is None else self.price


def price_step(step: ValidStep, scope: Mapping[str, Any], lookup: Lookup) -> PricedStep:
    """Price one step; `scope` is what references may name, `lookup` finds a blob's record."""
    given = dict(step.given["input"])
    value = refs.resolve(given, scope)
    if step.model is None:
        return PricedStep(step.kind, given, trouble="The input could not be resolved.")
    lost = [key for key, inner in value.items() if refs.MISSING in walk(inner)]
    known = {key: inner for key, inner in value.items() if key not in lost}
    referred = {key for key, inner in given.items() if any(refs.inside(inner))}
    model, trouble = _read(step.model, known, referred)
    if lost:
        trouble = f"A reference could not be resolved: {', '.join(sorted(lost))}."
    if model is None:
        return PricedStep(step.kind, given, trouble=trouble)
    named = sources_of(model)
    pictures = [text for _, mark, text in named if mark.kind == "picture"]
    if isinstance(model, Wire | TextToImage):
        priced = _price_drawing(step.kind, model, pictures, lookup)
        # The service fails on WebP without a word (civitai-api facts, 1.7).
        if trouble is None and any(sources.is_kind(text, "webp") for _, _, text in named):
            trouble = ""
    else:
        priced = _price_finish(model, pictures, lookup)
        # The document calls it an address; inline bytes are for fields that say so.
        if isinstance(model, Captioning | Tagging) and model.media_url.startswith("data:"):
            trouble = trouble or "The media could not be fetched: mediaUrl is no address."
    if any(sources.is_kind(text, "svg") for _, _, text in named):
        trouble = trouble or "The source is no picture of pixels."
    priced.input |= {key: given[key] for key in referred}
    priced.trouble, priced.pictures = trouble, pictures
    return priced


def _read(model: type[BaseModel], value: Record, referred: set[str]) -> tuple[Any, str | None]:
    """The input as an object; without what does not fit, where a reference brought that."""
    try:
        model.model_validate(value)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            key = str(detail["loc"][0])
            if detail["type"] == "string_too_long" and key in referred:
                # How long texts are is checked when a template comes, and never again.
                value = value | {key: value[key][: detail["ctx"]["max_length"]]}
    found = misfits(model, value, "input")
    bad = {re.split(r"[.\[]", path)[1] for path in found if "." in path}
    left = {key: inner for key, inner in value.items() if key not in bad}
    trouble = "; ".join(text for texts in found.values() for text in texts) or None
    try:
        return model.model_validate(left), trouble
    except ValidationError:
        return None, trouble


def _price_drawing(kind: str, form: Any, pictures: list[str], lookup: Lookup) -> PricedStep:
    """A step that draws: imageGen, or the older textToImage."""
    known = tuple(sources.size_of(text, lookup) for text in pictures)
    source = within(type(form), known[0]) if known and known[0] else None
    width, height = (
        min(max(1, side), sources.LONGEST_SIDE) for side in form.sizing.drawn(form, source)
    )
    quantity = getattr(form, "quantity", 1) * getattr(form, "batch_size", 1)
    quantity = min(max(1, int(quantity)), _MOST_PICTURES)
    prompt, fixed = str(getattr(form, "prompt", "")), getattr(form, "seed", None)
    seed = random.randrange(1, 2**31) if fixed is None else int(fixed)
    tags = [value for name, value in form.tags().items() if name != "operation"]
    is_variant = isinstance(form, Wire) and "variant" in form.operations()
    recipe = {
        "kind": "draw", "prompt": prompt, "engine": " ".join(tags) or kind,
        "sources": len(pictures),
        # A variant keeps so much of its source; all else is drawn anew.
        "source": pictures[0] if pictures and is_variant else "",
        "share": 1 - float(getattr(form, "strength", None) or 0.75), "width": width,
        "height": height, "format": (form.output_format or "jpeg").lower(),
        "metadata": form.image_metadata,
    }  # fmt: skip
    echo = form.sent(defaults=True) | ({} if isinstance(form, Wire) else {"seed": seed})
    return PricedStep(
        kind, echo, price_of(form, known).buzz, quantity, prompt=prompt,
        recipes=[{**recipe, "seed": seed + i} for i in range(quantity)],
        digest=None if fixed is None else _digest(kind, echo), hangs=_is_foreign(form, echo),
    )  # fmt: skip


def _digest(kind: str, echo: Record) -> str:
    return hashlib.sha256(json.dumps([kind, echo], sort_keys=True).encode()).hexdigest()


def _is_foreign(form: Any, echo: Record) -> bool:
    """Does it load an AIR that belongs to another family? The service hangs on that."""
    named = {Air.parse(text).family for text in airs(echo) if is_air(text)}
    families = catalog.families() if named else ()
    homes = [f for f in families if any(issubclass(type(form), one) for one in f.forms)]
    foreign = {name for family in families for name in family.ecosystems}
    return bool(homes) and not named.isdisjoint(foreign - homes[0].ecosystems)


def _price_finish(form: StepForm, pictures: list[str], lookup: Lookup) -> PricedStep:
    """A step that draws nothing new."""
    echo = form.sent(defaults=True)
    text = pictures[0] if pictures else ""
    source = sources.size_of(text, lookup) or SQUARE
    words, recipes = answer(form, pictures, lookup), []
    if words is None:
        width, height = sources.limit(form.drawn(source))
        output = echo.get("output", {})
        recipes.append({
            "kind": form.kind, "source": text, "width": width, "height": height, "output": output,
            "format": output.get("format") or echo.get("format") or _GIVEN[form.kind],
            "transforms": echo.get("transforms", []),
        })  # fmt: skip
    return PricedStep(
        form.kind, echo, form.buzz(source), key=form.gives.split(".")[1], text=words,
        recipes=recipes, digest=_digest(form.kind, echo) if words is None else None,
        prompt=getattr(form, "prompt", None) or "",
    )  # fmt: skip
