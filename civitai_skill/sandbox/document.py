"""The document that the sandbox publishes: made from the wire forms that it takes, and no text of
the service's own.

Like the service's it chooses a form by one discriminator after another, each level in a schema of
its own; enums that several fields share stand once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from civitai_skill.engines.forms import Wire
from civitai_skill.engines.published.document import AIR, ROOT, Facts
from civitai_skill.engines.published.ours import fields_of
from civitai_skill.sandbox.tomorrow import forms
from civitai_skill.sandbox.wire import Record
from civitai_skill.schema.air import PATTERN

_WORDS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "min_length": "minLength",
    "max_length": "maxLength",
    "min_items": "minItems",
    "max_items": "maxItems",
    "default": "default",
    "format": "format",
    "read_only": "readOnly",
}
#: Enums of more values stand once.
_SHORT = 6


@cache
def published(tomorrow: bool) -> Record:
    """The document of a sandbox."""
    return make_document(forms(tomorrow))


def make_document(forms: Sequence[type[Wire]]) -> Record:
    """An OpenAPI document with a schema for every form."""
    maker = _Maker()
    maker.level(ROOT, [dict(form.tags()) for form in forms], list(forms), {})
    return {
        "openapi": "3.1.1",
        "info": {"title": "The sandbox of civitai-skill", "version": "v2"},
        "paths": {},
        "components": {"schemas": maker.schemas},
    }


class _Maker:
    def __init__(self) -> None:
        self.schemas: Record = {}

    def level(
        self, name: str, left: list[dict[str, str]], forms: list[type[Wire]], above: dict[str, str]
    ) -> None:
        """The schema of one level, and those below it. `left` is what still selects each form."""
        if not left[0]:
            (form,) = forms
            self.schemas[name] = self._object(fields_of(form))
            return
        # The engine first; then what all of them have, an operation last.
        shared = [tag for tag in left[0] if all(tag in tags for tags in left)]
        chosen = min(shared, key=lambda tag: (tag != "engine", tag == "operation"))
        mapping: Record = {}
        for value in dict.fromkeys(tags[chosen] for tags in left):
            words = (re.sub(r"\W", "", part) for part in (*above.values(), value))
            below = "".join(word[:1].upper() + word[1:] for word in words)
            mapping[value] = f"#/components/schemas/{below}{ROOT}"
            some = [i for i, tags in enumerate(left) if tags[chosen] == value]
            rest = [{k: v for k, v in left[i].items() if k != chosen} for i in some]
            inner = {**above, chosen: value}
            self.level(f"{below}{ROOT}", rest, [forms[i] for i in some], inner)
        self.schemas[name] = {
            "type": "object",
            "required": [chosen],
            "properties": {chosen: {"type": "string"}},
            "discriminator": {"propertyName": chosen, "mapping": mapping},
        }

    def _object(self, fields: dict[str, Facts]) -> Record:
        required = [name for name, facts in fields.items() if facts.get("required")]
        return {
            "type": "object",
            **({"required": required} if required else {}),
            "properties": {name: self._schema(facts) for name, facts in fields.items()},
            "additionalProperties": False,
        }

    def _schema(self, facts: Facts) -> Record:
        out: Record = {"type": ["null", facts["type"]] if facts.get("null") else facts["type"]}
        if "fields" in facts:
            return self._once("Object", self._object(facts["fields"]))
        out |= {theirs: facts[ours] for ours, theirs in _WORDS.items() if ours in facts}
        if len(facts.get("enum", [])) > _SHORT and out["type"] == ["null", "string"]:
            return self._once("Enum", {"type": "string", "enum": facts["enum"]})
        if "enum" in facts:
            out["enum"] = facts["enum"]
        if "likely" in facts:
            likely = facts["likely"]
            out["x-likely"] = {_WORDS[name]: value for name, value in likely.items()}
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
        alike: list[str] = [n for n in self.schemas if n.startswith(kind)]
        name: Any = next(
            (n for n in alike if json.dumps(self.schemas[n], sort_keys=True) == text), None
        )
        if name is None:
            name = f"{kind}{len(alike) + 1}"
            self.schemas[name] = schema
        return {"$ref": f"#/components/schemas/{name}"}
