"""What the sandbox publishes, made from the wire forms that it takes, and no text of the service's
own: its document, and GET /v2/services.

Like the service's the document chooses a form by one discriminator after another, each level in a
schema of its own; enums that several fields share stand once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache

import httpx
from pydantic.alias_generators import to_camel

from civitai_skill.engines import catalog
from civitai_skill.engines.forms import Wire
from civitai_skill.engines.published.document import AIR, ROOT, Facts
from civitai_skill.engines.published.ours import fields_of
from civitai_skill.engines.sources import picture_of
from civitai_skill.sandbox.context import Context
from civitai_skill.sandbox.steps.shapes import NEW_FORMS, forms
from civitai_skill.sandbox.wire import Record, format_millis, problem, reply
from civitai_skill.schema.air import PATTERN

_WORDS = {name: to_camel(name) for name in (
    "minimum", "maximum", "min_length", "max_length", "min_items", "max_items", "default",
    "format", "read_only",
)}  # fmt: skip
_SUBMIT = "/v2/consumer/workflows"
_STATES = ("unknown", "available", "degraded", "unavailable")
#: Enums of more values stand once.
_SHORT = 6


@cache
def published(tomorrow: bool) -> Record:
    return make_document(forms(tomorrow))


def make_document(forms: Sequence[type[Wire]]) -> Record:
    """An OpenAPI document with a schema for every form."""
    maker = _Maker()
    maker.level(ROOT, [(dict(form.tags()), form) for form in forms])
    return {
        "openapi": "3.1.1", "paths": {}, "components": {"schemas": maker.schemas},
        "info": {"title": "The sandbox of civitai-skill", "version": "v2"},
    }  # fmt: skip


class _Maker:
    def __init__(self) -> None:
        self.schemas: Record = {}
        self._names: dict[str, str] = {}

    def level(self, name: str, left: list[tuple[dict[str, str], type[Wire]]]) -> None:
        """The schema of one level, and those below it; `left` is what still selects each form."""
        if not left[0][0]:
            ((_, form),) = left
            self.schemas[name] = self._object(fields_of(form))
            return
        # The engine first; then what all of them have, an operation last.
        shared = [tag for tag in left[0][0] if all(tag in tags for tags, _ in left)]
        chosen = min(shared, key=lambda tag: (tag != "engine", tag == "operation"))
        mapping: Record = {}
        for value in dict.fromkeys(tags[chosen] for tags, _ in left):
            word = re.sub(r"\W", "", value)
            below = f"{name.removesuffix(ROOT)}{word[:1].upper()}{word[1:]}{ROOT}"
            mapping[value] = f"#/components/schemas/{below}"
            self.level(below, [
                ({tag: v for tag, v in tags.items() if tag != chosen}, form)
                for tags, form in left if tags[chosen] == value
            ])  # fmt: skip
        self.schemas[name] = {
            "type": "object", "required": [chosen], "properties": {chosen: {"type": "string"}},
            "discriminator": {"propertyName": chosen, "mapping": mapping},
        }  # fmt: skip

    def _object(self, fields: dict[str, Facts]) -> Record:
        required = [name for name, facts in fields.items() if facts.get("required")]
        return {
            "type": "object", **({"required": required} if required else {}),
            "properties": {name: self._schema(facts) for name, facts in fields.items()},
            "additionalProperties": False,
        }  # fmt: skip

    def _schema(self, facts: Facts) -> Record:
        out: Record = {"type": ["null", facts["type"]] if facts.get("null") else facts["type"]}
        if "fields" in facts:
            return self._once("Object", self._object(facts["fields"]))
        out |= {theirs: facts[ours] for ours, theirs in _WORDS.items() if ours in facts}
        if len(facts.get("enum", [])) > _SHORT and out["type"] == ["null", "string"]:
            return self._once("Enum", {"type": "string", "enum": facts["enum"]})
        if "enum" in facts:
            out["enum"] = [*facts["enum"], *([None] if facts.get("null") else [])]
        if "likely" in facts:
            out["x-likely"] = {_WORDS[name]: value for name, value in facts["likely"].items()}
        if facts.get("pattern") == AIR:
            out["pattern"] = PATTERN.replace("(?P<", "(?<")
        if facts.get("picture"):
            out["description"] = "A picture: an address, a data URL, or base64."
        if "items" in facts:
            out["items"] = self._schema(facts["items"])
        if "values" in facts:
            out["additionalProperties"] = self._schema(facts["values"])
        return out

    def _once(self, kind: str, schema: Record) -> Record:
        """A reference to a schema that stands once."""
        text = json.dumps(schema, sort_keys=True)
        name = self._names.setdefault(text, f"{kind}{len(self._names) + 1}")
        self.schemas[name] = schema
        return {"$ref": f"#/components/schemas/{name}"}


# -- GET /v2/services: what is offered -------------------------------------------------------------
def _every(context: Context) -> list[Record]:
    """A service for each way of each variant of each engine, and for the engine of tomorrow."""
    found: dict[str, Record] = {}
    for family in catalog.families():
        for variant in family.variants:
            for way in variant.ways:
                fixed = {way.form.alias(name): str(value) for name, value in way.fixed.items()}
                service = _service(context, way.form, fixed, f"{family.title} {variant.name}")
                gone = ["deprecated"] if variant.retired is not None else []
                service |= {
                    "tags": [family.name, *service["tags"], *gone],
                    "strengths": variant.best_for or "; ".join(family.best_for),
                    "weaknesses": variant.avoid_for or "; ".join(family.avoid_for),
                }
                found.setdefault(service["id"], service)
    if context.switches.tomorrow:
        new = (_service(context, form, {}, "Aurora sketch") for form in NEW_FORMS)
        found |= {service["id"]: service for service in new}
        # As it was seen on 2026-08-31 (its success was 48 %).
        found["image/grok/v1.0/createImage"]["status"] = "unavailable"
    return list(found.values())


def _service(context: Context, form: type[Wire], fixed: Mapping[str, str], name: str) -> Record:
    tags = sorted(form.tags().items(), key=lambda tag: (tag[0] != "engine", tag[0] == "operation"))
    parameters = {**dict(tags), **fixed}
    takes = ["text"] if picture_of(form) is None else ["text", "image"]
    return {
        "id": "/".join(("image", *(v.replace("/", "-") for v in parameters.values()))),
        "category": "image", "parameters": parameters, "step": "imageGen", "submit": _SUBMIT,
        "estimate": f"{_SUBMIT}?whatif=true", "name": name, "status": "available",
        "description": f"{name}, emulated by the sandbox.", "tags": list(form.operations()),
        "modalities": {"input": takes, "output": ["image"]},
        # What the sandbox itself does: every step takes as long, and none fails by itself.
        "metrics": {
            "window": "24h", "asOf": format_millis(context.clock()), "requests": 1,
            "successRate": 1, "canceledRate": 0, "userErrorRate": 0,
            "latencySeconds": dict.fromkeys(("p50", "p80", "p95"), context.seconds),
        },
    }  # fmt: skip


def list_services(context: Context, id: str) -> httpx.Response:
    """One service by its id, or a page of them."""
    services, query = _every(context), context.query
    if id:
        found = [service for service in services if service["id"] == id]
        return reply(200, found[0]) if found else problem(404)
    limit, offset = query.whole("limit", 50), query.whole("offset", 0)
    if limit < 1 or offset < 0:
        raise query.refuse("limit" if limit < 1 else "offset")
    if query.get("status") not in (None, *_STATES):
        raise query.refuse("status")
    asked = query.get("query", "").lower()
    found = [
        one
        for one in services
        if query.get("category") in (None, one["category"])
        and one["id"].startswith(query.get("prefix", ""))
        and set(query.get_list("tags")) <= set(one["tags"])
        and asked in " ".join((one["id"], one["description"], *one["tags"])).lower()
        and query.get("status") in (None, one["status"])
    ]
    page = found[offset : offset + limit]
    return reply(200, {"items": page, "totalCount": len(found), "limit": limit, "offset": offset})
