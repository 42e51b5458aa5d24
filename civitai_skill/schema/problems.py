"""What pydantic finds, in the user's words: the field, what is accepted, the nearest that works."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from civitai_skill.errors import Problem, RequestInvalid

# Words that people and other tools use, and what they are called here.
_SYNONYMS = {
    "negativeprompt": "negative_prompt", "negative": "negative_prompt",
    "cfg": "guidance", "cfgscale": "guidance", "guidancescale": "guidance",
    "n": "quantity", "num": "quantity", "numimages": "quantity", "count": "quantity",
    "batchsize": "quantity", "numinferencesteps": "steps", "samplemethod": "sampler",
    "schedule": "scheduler", "image": "images", "imageurl": "images", "source": "images",
    "maskimage": "mask", "inpaintmask": "mask", "vaemodel": "vae", "controlnet": "control_nets",
    "embedding": "embeddings", "textualinversion": "embeddings", "styleimage": "style_images",
    "stylereferences": "style_images", "imagestylereferences": "style_images",
    "websearch": "grounding", "enablewebsearch": "grounding", "lora": "loras",
    "checkpoint": "model", "format": "output_format", "ratio": "aspect_ratio",
    "size": "width and height, or aspect_ratio",
    "resolution": "options.resolution where an engine has it, else width and height",
    "denoise": "strength", "denoisestrength": "strength", "denoising": "strength",
    "weight": "strength", "air": "model, or loras for a LoRA", "version": "variant",
    "provider": "route", "clipskip": "options.clipSkip",
}  # fmt: skip


def nearest_name(name: str, known: list[str]) -> str | None:
    """The name that was probably meant, or None. Case and separators do not count."""
    bare = name.lower().replace("_", "").replace("-", "").replace(" ", "")
    for candidate in known:
        if candidate.lower().replace("_", "").replace("-", "") == bare:
            return candidate
    if bare in _SYNONYMS and (_SYNONYMS[bare] in known or {" ", "."} & set(_SYNONYMS[bare])):
        return _SYNONYMS[bare]
    close = difflib.get_close_matches(name.lower(), [k.lower() for k in known], 1, 0.6)
    return next((k for k in known if close and k.lower() == close[0]), None)


def to_problems(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """pydantic's findings in our words: one Problem for each field."""
    found: dict[str, Problem] = {}
    for detail in error.errors(include_url=False):
        inner = detail.get("ctx", {}).get("error")
        if isinstance(inner, RequestInvalid):
            at = [str(part) for part in detail["loc"]]
            problems = [replace(p, field=".".join([*at, p.field])) for p in inner.problems]
        else:
            problems = [_problem(detail, model)]
        for problem in problems:
            found.setdefault(problem.field, problem)
    return list(found.values())


def _problem(detail: ErrorDetails, model: type[BaseModel]) -> Problem:
    loc = [p for p in detail["loc"] if p not in ("function-before", "function-after")]
    name = ".".join(map(str, loc)) or "request"
    given, kind = detail["input"], detail["type"]
    if kind == "extra_forbidden":
        known = list(model.model_fields)
        near = nearest_name(str(loc[-1]), known)
        accepted, why = "one of " + ", ".join(known), "there is no such field"
        return Problem(name, given, accepted, near, why)
    if kind == "missing":
        return Problem(name, None, "a value", None, "is required")
    if kind == "value_error":
        why = str(detail["msg"]).removeprefix("Value error, ")
        return Problem(name, given if loc else None, "", None, why)
    if name == "aspect_ratio":
        return Problem(name, given, "two numbers with a colon, such as 16:9")
    return Problem(name, given, describe_expected(detail), nearest_bound(detail))


#: By pydantic's name for what it finds; in braces stands what it tells beside it.
_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "string_unicode": "text that is valid Unicode",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "missing": "a value",
    "greater_than_equal": "{ge:g} or more",
    "less_than_equal": "{le:g} or less",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} characters",
    "too_long": "at most {max_length}",
    "too_short": "at least {min_length}",
}


def describe_expected(detail: ErrorDetails) -> str:
    """What pydantic wanted, in a few words."""
    context, kind = detail.get("ctx") or {}, detail["type"]
    if "expected" in context and kind in ("literal_error", "enum"):
        return "one of " + str(context["expected"]).replace("'", "").replace(" or ", ", ")
    words = _EXPECTED.get(kind)
    return str(detail["msg"]) if words is None else words.format_map(context)


def nearest_bound(detail: ErrorDetails) -> Any:
    """The value at the bound that was crossed, where there is one."""
    context = detail.get("ctx") or {}
    value = context.get("ge", context.get("le"))
    return int(value) if value is not None and float(value).is_integer() else value
