"""Read a tool's arguments; a wrong one is answered with the right name and what is accepted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from civitai_skill.engines import catalog
from civitai_skill.engines.limits import limits
from civitai_skill.errors import Problem, RequestInvalid, preview
from civitai_skill.schema.air import fold
from civitai_skill.schema.problems import nearest_name, to_problems
from civitai_skill.schema.request import ImageRequest
from civitai_skill.schema.types import read_json
from civitai_skill.tools.arguments import (
    BESIDE_BODY,
    IN_OPTIONS,
    LONGEST_NAME,
    Arguments,
    GenerateBody,
    is_given,
)

# Words that models use for an argument, in `air.fold` spelling, before those of the request itself.
_WORDS = {
    "id": "workflowid workflow jobid",
    "wait_seconds": "timeout wait maxwait",
    "max_buzz": "budget maxprice maxcost",
    "estimate_only": "dryrun estimate whatif",
    "folder": "out outputdir outputfolder outdir directory path",
    "images": "image",
    "include_image": "thumbnail",
    "take": "limit pagesize",
    "cursor": "next page",
    "tags": "tag",
    "needs": "need style usecase",
    "air": "lora",
    "prompt": "text description",
    "engine": "engines name",
}
_MOST_NAMES = 60
_MOST_PROBLEMS = 5


def read_arguments(models: Mapping[str, type[Arguments]], name: str, raw: Any) -> Arguments:
    """The arguments of tool `name`. Raises RequestInvalid that names the right ones."""
    model = models[name]
    if not isinstance(raw, Mapping):
        known = ", ".join(model.model_fields)
        raise RequestInvalid(Problem("arguments", raw, f"an object with {known}"))
    if len(raw) > _MOST_NAMES:
        raise RequestInvalid(Problem("arguments", f"{len(raw)} names", f"at most {_MOST_NAMES}"))
    long = _too_long(raw)
    if long is not None:
        raise RequestInvalid(Problem("arguments", long, f"names of at most {LONGEST_NAME} letters"))
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise arguments_error(models, name, error) from None


def read_body(
    models: Mapping[str, type[Arguments]], name: str, raw: Mapping[str, Any]
) -> Arguments | None:
    """The arguments, where they hold a body and tool `name` takes one. Raises RequestInvalid."""
    fields = models[name].model_fields
    if "body" not in fields or not is_given(raw.get("body")):
        return None
    kept = {n: v for n, v in raw.items() if n in GenerateBody.model_fields or n not in fields}
    # Some hosts fill in every argument; what is as if left out is left out.
    beside = [
        Problem(n, v, BESIDE_BODY, None, "the body says it all itself")
        for n, v in raw.items()
        if n not in kept and is_given(v) and v not in (fields[n].default, [], {})
    ]
    if beside:
        raise RequestInvalid(*beside)
    for own in ("include_image", "wait_seconds"):
        kept.setdefault(own, fields[own].default)
    return read_arguments({name: GenerateBody}, name, kept)


def to_object(arguments: Any) -> Mapping[str, Any]:
    """The arguments as an object; JSON text is read. Raises RequestInvalid."""
    found = arguments
    if isinstance(arguments, bytes | bytearray | str):
        try:
            found = read_json(arguments) if arguments.strip() else {}
        except ValueError:
            why = "not JSON"
            raise RequestInvalid(
                Problem("arguments", _head(arguments), "a JSON object", None, why)
            ) from None
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise RequestInvalid(Problem("arguments", found, "a JSON object"))
    return found


def _head(arguments: bytes | bytearray | str) -> str:
    start = arguments[:200]
    return start if isinstance(start, str) else bytes(start).decode("utf-8", "replace")


def restate_error(error: RequestInvalid, given: Arguments) -> RequestInvalid:
    """A refusal that names the arguments by the names that a model knows."""
    folder = getattr(given, "folder", None)
    if folder is None:
        return error
    problems = [
        replace(p, field="folder", given=folder) if p.field == "out" else p for p in error.problems
    ]
    return RequestInvalid(*problems, engine=error.engine, advice=error.advice)


def arguments_error(
    models: Mapping[str, type[Arguments]], name: str, error: ValidationError
) -> RequestInvalid:
    """pydantic's findings about a tool's arguments, in our words."""
    model = models[name]
    problems = []
    for problem in to_problems(error, model)[:_MOST_PROBLEMS]:
        if problem.why == "there is no such field" and "." not in problem.field:
            problem = replace(problem, nearest=_nearest_argument(models, name, problem.field))
        problems.append(problem)
    return RequestInvalid(*problems)


def _nearest_argument(models: Mapping[str, type[Arguments]], name: str, word: str) -> str | None:
    """What was probably meant by an argument that tool `name` does not have."""
    fields = list(models[name].model_fields)
    bare = fold(word)
    same = {fold(field): field for field in fields}
    same |= {word: field for field in fields for word in _WORDS.get(field, "").split()}
    if bare in same:
        return same[bare]
    near = nearest_name(word, fields)
    if near is not None and near not in fields and not near.startswith("options"):
        # Several fields, in words.
        return near if set(re.findall(r"\w+", near)) & set(fields) else None
    if "options" in fields and bare in _option_names():
        return f'options, as {{"name": "{word}", "value": ...}}'
    homes = [other for other, model in models.items() if bare in map(fold, model.model_fields)]
    return f"{word} of {homes[0]}" if homes else near


def _option_names() -> set[str]:
    """Every engine's own fields, and the request's that go the same way."""
    ways = [way for f in catalog.families() for variant in f.variants for way in variant.ways]
    own = {
        limit.wire
        for way in ways
        for name, limit in limits(way.form).items()
        if name not in {*ImageRequest.model_fields, *way.fixed, *way.form.sizing.fields}
    }
    return {fold(name) for name in (*own, *IN_OPTIONS)}


def _too_long(value: Any, depth: int = 4) -> str | None:
    """A name that is no name, anywhere in the arguments."""
    if depth and isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str) or len(key) > LONGEST_NAME:
                return preview(key)
            if (found := _too_long(inner, depth - 1)) is not None:
                return found
    elif depth and isinstance(value, list | tuple):
        for inner in value[:100]:
            if (found := _too_long(inner, depth - 1)) is not None:
                return found
    return None
