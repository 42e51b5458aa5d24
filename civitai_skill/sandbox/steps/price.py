"""What a step asks for, once its body fits: its price, its pictures, its echo, its fate.

Prices of finishing steps: the service's recipe pages (August 2026).
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from civitai_skill.engines.forms import Wire
from civitai_skill.engines.planning.plan import price_of
from civitai_skill.engines.planning.sizes import within
from civitai_skill.engines.sizing import SQUARE
from civitai_skill.engines.sources import sources_of
from civitai_skill.sandbox.state.money import UNDOCUMENTED
from civitai_skill.sandbox.steps import refs, sizes, sources
from civitai_skill.sandbox.steps.check import ValidStep, airs, ecosystems, home_of, of_input
from civitai_skill.sandbox.wire import Record, walk
from civitai_skill.schema.air import Air, is_air

Lookup = Callable[[str], Record | None]

_ENHANCED = "{prompt} Soft directional light, clear composition, natural colours, fine detail."


@dataclass
class PricedStep:
    """A step, worked out.

    `recipes` say how each picture is drawn; `trouble` is why the step fails when its turn comes
    (an empty text: fails without a word); `digest` names identical steps whose outputs may be
    reused, None where chance is involved; `hangs` says that the service would never finish it;
    `pictures` are its sources.
    """

    type: str
    echo: Record
    price: int = 0
    quantity: int = 1
    recipes: list[Record] = field(default_factory=list)
    text: Record | None = None
    digest: str | None = None
    trouble: str | None = None
    hangs: bool = False
    prompt: str = ""
    pictures: list[str] = field(default_factory=list)


def price_step(step: ValidStep, scope: Mapping[str, Any], lookup: Lookup) -> PricedStep:
    """Price one step; `scope` is what references may name, `lookup` finds a blob's record."""
    given = dict(step.given["input"])
    value = refs.resolve(given, scope)
    if step.model is None:
        why = "The input could not be resolved."
        return PricedStep(step.kind, given, UNDOCUMENTED, trouble=why)
    lost = [key for key, inner in value.items() if refs.MISSING in walk(inner)]
    known = {key: inner for key, inner in value.items() if key not in lost}
    model, trouble = _read(step.model, known)
    if lost:
        trouble = f"A reference could not be resolved: {', '.join(sorted(lost))}."
    if model is None:
        return PricedStep(step.kind, given, UNDOCUMENTED, trouble=trouble)
    named = sources_of(model)
    pictures = [text for _, mark, text in named if mark.kind == "picture"]
    if isinstance(model, Wire):
        priced = _imagegen(model, pictures, lookup)
    else:
        priced = _finishing(step.kind, model, pictures, lookup)
    priced.echo |= {key: inner for key, inner in given.items() if any(refs.references(inner))}
    if trouble is None and any(sources.is_webp(text) for _, _, text in named):
        trouble = ""
    priced.trouble, priced.pictures = trouble, pictures
    return priced


def _read(model: type[BaseModel], value: Record) -> tuple[BaseModel | None, str | None]:
    """The input as an object; without what does not fit, where a reference brought that."""
    found = of_input(model, value, "input")
    bad = {re.split(r"[.\[]", path)[1] for path in found if "." in path}
    left = {key: inner for key, inner in value.items() if key not in bad}
    trouble = "; ".join(text for texts in found.values() for text in texts) or None
    read = model.read if issubclass(model, Wire) else model.model_validate
    try:
        return read(left), trouble
    except ValidationError:
        return None, trouble


# Where no limit is published the sandbox takes any number, as the document does; it draws so much.
_MOST_PICTURES, _LONGEST_SIDE = 64, 8192


# -- imageGen ------------------------------------------------------------------------------------
def _imagegen(form: Wire, pictures: list[str], lookup: Lookup) -> PricedStep:
    known = tuple(sources.size_of(text, lookup) for text in pictures)
    source = known[0] if known else None
    quantity = min(max(1, int(getattr(form, "quantity", 1))), _MOST_PICTURES)
    price = price_of(form, known).buzz
    known_size = None if source is None else within(type(form), source)
    width, height = (
        min(max(1, side), _LONGEST_SIDE) for side in form.sizing.drawn(form, known_size)
    )
    fixed = getattr(form, "seed", None)
    seed = fixed if fixed is not None else random.randrange(1, 2**31)
    echo = form.resolved()
    prompt = str(getattr(form, "prompt", ""))
    recipes = [
        {
            "kind": "draw",
            "prompt": prompt,
            "engine": " ".join(v for k, v in form.tags().items() if k != "operation"),
            "seed": seed + i,
            "sources": len(pictures),
            "width": width,
            "height": height,
            "format": (form.output_format or "jpeg").lower(),
        }
        for i in range(quantity)
    ]
    return PricedStep(
        "imageGen",
        echo,
        UNDOCUMENTED * quantity if price is None else price,
        quantity,
        recipes,
        digest=None if fixed is None else _digest("imageGen", echo),
        hangs=_is_foreign(form, echo),
        prompt=prompt,
    )


def _is_foreign(form: Wire, echo: Record) -> bool:
    """Does it load an AIR that belongs to another family? The service hangs on that."""
    foreign = ecosystems() - home_of(type(form)).ecosystems
    return any(Air.parse(text).family in foreign for text in airs(echo) if is_air(text))


# -- the finishing steps -------------------------------------------------------------------------
def _finishing(kind: str, model: BaseModel, pictures: list[str], lookup: Lookup) -> PricedStep:
    echo = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    if kind == "promptEnhancement":
        return _enhancement(echo)
    text = pictures[0] if pictures else ""
    source = sources.size_of(text, lookup) or SQUARE
    million = source[0] * source[1] / 1_000_000
    recipe: Record = {"kind": kind, "source": text}
    if kind == "imageUpscaler":
        repeats = int(echo.get("numberOfRepeats", 1))
        price = max(1, math.ceil(million)) * 2**repeats
        size, recipe["format"] = sizes.upscaled(source, repeats), "jpeg"
    elif kind == "imageBackgroundRemoval":
        price = max(1, round((4.7 + 0.6 * million) * 10 / 8))
        size, recipe["format"] = source, echo.get("format", "png")
    else:
        price, output = 1, echo["output"]
        recipe |= {"transforms": echo.get("transforms", []), "output": output}
        size, recipe["format"] = sizes.resized(source, recipe["transforms"]), output["format"]
    recipe |= {"width": size[0], "height": size[1]}
    return PricedStep(kind, echo, price, 1, [recipe], digest=_digest(kind, echo))


def _enhancement(echo: Record) -> PricedStep:
    prompt = echo.get("prompt", "")
    text: Record = {
        "issues": [],
        "recommendations": ["Name the light, the place and the style."],
        "enhancedPrompt": _ENHANCED.format(prompt=prompt.rstrip(". ") + "."),
    }
    if echo.get("negativePrompt"):
        text["enhancedNegativePrompt"] = echo["negativePrompt"]
    return PricedStep("promptEnhancement", echo, 1, 1, text=text, prompt=prompt)


def _digest(kind: str, echo: Record) -> str:
    return hashlib.sha256(json.dumps([kind, echo], sort_keys=True).encode()).hexdigest()
