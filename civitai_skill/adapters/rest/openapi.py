"""The OpenAPI document: what the framework finds out by itself, and what it can't."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from civitai_skill._version import __version__
from civitai_skill.adapters.rest.problems import MEDIA
from civitai_skill.client import CURRENCIES, FIELDS, KEY, MAX_KEY, MOST_STEPS, STEPS
from civitai_skill.schema.finish_request import FinishRequest
from civitai_skill.schema.request import ImageRequest

_REF = "#/components/schemas/"
_DESCRIPTION = """\
Pictures from Civitai's image engines. Each purchase is priced first and refused above the limit.
With an `Idempotency-Key` of your own, sending a request again never pays twice.
"""

_INPUT = {
    "engine": "flux2",
    "model": "klein",
    "modelVersion": "4b",
    "operation": "createImage",
    "prompt": "a red fox in the snow",
}
_EXAMPLES: dict[str, dict[str, Any]] = {
    "picture": {"prompt": "a red fox in the snow", "aspect_ratio": "16:9"},
    "finish": {"images": ["https://example.com/photo.jpg"], "upscale": 1},
    "workflow": {"steps": [{"$type": "imageGen", "input": _INPUT}]},
}
_BODIES = ("ImageRequest", "FinishRequest", "WorkflowTemplate")
BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"anyOf": [{"$ref": _REF + name} for name in _BODIES]},
            "examples": {name: {"value": value} for name, value in _EXAMPLES.items()},
        }
    },
}


def _json_content(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF + name}}}


PROBLEM: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem: what happened, what to do next, whether Buzz was spent.",
        "content": {MEDIA: {"schema": {"$ref": f"{_REF}Problem"}}},
    }
}
WORKFLOW: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The workflow as the service tells it.",
        "content": _json_content("Workflow"),
    },
    202: {"description": "The same, and it has not ended.", "content": _json_content("Workflow")},
    **PROBLEM,
}
PAGE: dict[int | str, dict[str, Any]] = {
    200: {"description": "One page, newest first.", "content": _json_content("Page")},
    **PROBLEM,
}

_TEXT: dict[str, Any] = {"type": "string"}
_TEXT_OR_NULL: dict[str, Any] = {"type": ["string", "null"]}
_FLAG_OR_NULL: dict[str, Any] = {"type": ["boolean", "null"]}
_WORKFLOW_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "A workflow of the service; see its own documentation for every field.",
    "properties": {
        "id": _TEXT_OR_NULL,
        "status": _TEXT,
        "steps": {"type": "array", "items": {"type": "object"}},
        "cost": {"type": ["object", "null"]},
    },
    "additionalProperties": True,
}
_TEMPLATE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "A workflow in the service's own form; pictures and their finishing only.",
    "required": ["steps"],
    "additionalProperties": False,
    "properties": {
        **{name: {} for name in FIELDS},
        "metadata": {"type": ["object", "null"]},
        "callbacks": {"type": ["array", "null"], "items": {"type": "object"}},
        "tips": {"type": "object"},
        "arguments": {"type": ["object", "null"]},
        "nsfwLevel": _TEXT,
        "experimental": _FLAG_OR_NULL,
        "allowMatureContent": _FLAG_OR_NULL,
        "upgradeMode": {"enum": ["manual", None]},
        "steps": {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_STEPS,
            "items": {
                "type": "object",
                "required": ["$type", "input"],
                "properties": {"$type": {"enum": list(STEPS)}, "input": {"type": "object"}},
            },
        },
        "tags": {"type": ["array", "null"], "items": _TEXT, "maxItems": 10},
        "currencies": {"type": "array", "items": {"enum": list(CURRENCIES)}},
        "externalId": {**_TEXT_OR_NULL, "pattern": f"^{KEY.pattern}$", "maxLength": MAX_KEY},
    },
}
_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "spent"],
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": {**_TEXT, "description": "What happened."},
        "hint": {**_TEXT, "description": "What to do next."},
        "code": {**_TEXT, "description": "A stable slug."},
        "spent": {"enum": ["no", "yes", "unknown"], "description": "Was Buzz spent?"},
        "errors": {
            "type": "object",
            "description": "By field, what is wrong with it and what is accepted.",
            "additionalProperties": {"type": "array", "items": _TEXT},
        },
        "upstream_status": {"type": "integer", "description": "What the service answered."},
        "id": {**_TEXT_OR_NULL, "description": "The workflow that it is about."},
    },
}


def _drop_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter: one that is left out is not null, it is not there."""
    choices: list[dict[str, Any]] = [
        one for one in schema.get("anyOf", ()) if one != {"type": "null"}
    ]
    if len(choices) != 1:
        return schema
    return {name: part for name, part in schema.items() if name != "anyOf"} | choices[0]


def build_document(app: FastAPI, open_paths: Collection[str] | None = None) -> dict[str, Any]:
    """The OpenAPI document of an application; made once.

    Where a token is asked for, `open_paths` are those that need none; None where none is.
    """
    if app.openapi_schema is None:
        schema = get_openapi(
            title="Civitai image generation",
            version=__version__,
            description=_DESCRIPTION,
            routes=app.routes,
            servers=[{"url": "/", "description": "This server, wherever it stands."}],
        )
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                if open_paths is not None and path in open_paths:
                    operation["security"] = []
                operation["responses"].pop("422", None)  # wrong parameters are 400 here
                for parameter in operation.get("parameters", ()):
                    parameter["schema"] = _drop_null(parameter["schema"])
        request_schema = ImageRequest.model_json_schema(ref_template=_REF + "{model}")
        finish_schema = FinishRequest.model_json_schema(ref_template=_REF + "{model}")
        inner = request_schema.pop("$defs", {}) | finish_schema.pop("$defs", {})
        schema.setdefault("components", {})["schemas"] = {
            **inner,
            "ImageRequest": request_schema,
            "FinishRequest": finish_schema,
            "WorkflowTemplate": _TEMPLATE_SCHEMA,
            "Workflow": _WORKFLOW_SCHEMA,
            "Page": {
                "type": "object",
                "required": ["items"],
                "properties": {
                    "items": {"type": "array", "items": {"$ref": f"{_REF}Workflow"}},
                    "next": _TEXT_OR_NULL,
                },
            },
            "Problem": _PROBLEM_SCHEMA,
        }
        if open_paths is not None:
            schema["components"]["securitySchemes"] = {
                "token": {"type": "http", "scheme": "bearer"}
            }
            schema["security"] = [{"token": []}]
        app.openapi_schema = schema
    return app.openapi_schema
