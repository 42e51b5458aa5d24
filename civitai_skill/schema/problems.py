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
    "negativeprompt": "negative_prompt",
    "negative": "negative_prompt",
    "cfg": "guidance",
    "cfgscale": "guidance",
    "guidancescale": "guidance",
    "n": "quantity",
    "num": "quantity",
    "numimages": "quantity",
    "count": "quantity",
    "batchsize": "quantity",
    "numinferencesteps": "steps",
    "samplemethod": "sampler",
    "schedule": "scheduler",
    "image": "images",
    "imageurl": "images",
    "source": "images",
    "maskimage": "mask",
    "vaemodel": "vae",
    "controlnet": "control_nets",
    "embedding": "embeddings",
    "textualinversion": "embeddings",
    "inpaintmask": "mask",
    "styleimage": "style_images",
    "stylereferences": "style_images",
    "imagestylereferences": "style_images",
    "websearch": "grounding",
    "enablewebsearch": "grounding",
    "lora": "loras",
    "checkpoint": "model",
    "format": "output_format",
    "ratio": "aspect_ratio",
    "size": "width and height, or aspect_ratio",
    "resolution": "options.resolution where an engine has it, else width and height",
    "denoise": "strength",
    "denoisestrength": "strength",
    "denoising": "strength",
    "weight": "strength",
    "air": "model, or loras for a LoRA",
    "version": "variant",
    "provider": "route",
    "clipskip": "options.clipSkip",
}


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
            for problem in inner.problems:
                where = ".".join([*(str(p) for p in detail["loc"]), problem.field])
                named = replace(problem, field=where)
                found.setdefault(named.field, named)
            continue
        problem = _problem(detail, model)
        found.setdefault(problem.field, problem)
    return list(found.values())


def _problem(detail: ErrorDetails, model: type[BaseModel]) -> Problem:
    loc = [p for p in detail["loc"] if p not in ("function-before", "function-after")]
    name = ".".join(str(p) for p in loc) or "request"
    given = detail["input"]
    kind = detail["type"]
    if kind == "extra_forbidden":
        known = list(model.model_fields)
        accepted = "one of " + ", ".join(known)
        near = nearest_name(str(loc[-1]), known)
        return Problem(name, given, accepted, near, "there is no such field")
    if kind == "missing":
        return Problem(name, None, "a value", None, "is required")
    if kind == "value_error":
        why = str(detail["msg"]).removeprefix("Value error, ")
        return Problem(name, given if loc else None, "", None, why)
    if name == "aspect_ratio":
        return Problem(name, given, "two numbers with a colon, such as 16:9")
    return Problem(name, given, describe_expected(detail), nearest_bound(detail))


def describe_expected(detail: ErrorDetails) -> str:
    """What pydantic wanted, in a few words."""
    context = detail.get("ctx") or {}
    kind = detail["type"]
    if "expected" in context and kind in ("literal_error", "enum"):
        return "one of " + str(context["expected"]).replace("'", "").replace(" or ", ", ")
    words = {
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
    }
    if kind in words:
        return words[kind]
    if kind == "greater_than_equal":
        return f"{context['ge']:g} or more"
    if kind == "less_than_equal":
        return f"{context['le']:g} or less"
    if kind == "string_too_long":
        return f"at most {context['max_length']} characters"
    if kind == "string_too_short":
        return f"at least {context['min_length']} characters"
    if kind == "too_long":
        return f"at most {context['max_length']}"
    if kind == "too_short":
        return f"at least {context['min_length']}"
    return str(detail["msg"])


def nearest_bound(detail: ErrorDetails) -> Any:
    """The value at the bound that was crossed, where there is one."""
    context = detail.get("ctx") or {}
    for bound in ("ge", "le"):
        if bound in context:
            value = context[bound]
            return int(value) if float(value).is_integer() else value
    return None
