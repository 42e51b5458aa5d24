"""Derive tests/wire_digest.json from the published OpenAPI document.

The digest holds facts only, no prose: for each image form its selectors and, for each field, type,
limits, enum, default, whether it is required and whether it may be null. It lets every limit be
checked where the document is not at hand.

    CIVITAI_OPENAPI=path/to/document.json python scripts/wire_digest.py          writes the digest
    CIVITAI_OPENAPI=path/to/document.json python scripts/wire_digest.py --check  compares only
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DIGEST = Path(__file__).resolve().parent.parent / "tests" / "engines" / "wire_digest.json"

# Every AIR field carries the same long expression; the digest names it, and keeps it once.
AIR = "air"
_FACTS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_items",
    "maxItems": "max_items",
    "default": "default",
    "enum": "enum",
    "format": "format",
    "readOnly": "read_only",
}


class Document:
    """The schemas of the document, with bases merged in and references followed."""

    def __init__(self, path: Path) -> None:
        self.schemas: dict[str, Any] = json.loads(path.read_text("utf-8"))["components"]["schemas"]
        self.enums: dict[str, list[str]] = {}
        self.objects: dict[str, Any] = {}
        self.patterns: set[str] = set()

    def digest(self) -> dict[str, Any]:
        forms = {
            " ".join(f"{k}={v}" for k, v in select.items()): self.fields(name)
            for select, name in self.leaves("ImageGenInput", {})
        }
        return {
            "air_pattern": sorted(self.patterns),
            "enums": self.enums,
            "forms": forms,
            "objects": self.objects,
        }

    def leaves(self, name: str, select: dict[str, str]) -> Iterator[tuple[dict[str, str], str]]:
        """Every form: the discriminators that select it, and its schema's name."""
        parts = self.schemas[name].get("allOf", [self.schemas[name]])
        chooser = next((p["discriminator"] for p in parts if "discriminator" in p), None)
        if not chooser or not chooser.get("mapping"):
            yield select, name
            return
        for value, ref in chooser["mapping"].items():
            yield from self.leaves(_tail(ref), {**select, chooser["propertyName"]: value})

    def fields(self, name: str) -> dict[str, Any]:
        properties, required = self.merged(name)
        return {
            field: {**self.facts(schema), **({"required": True} if field in required else {})}
            for field, schema in sorted(properties.items())
        }

    def merged(self, name: str) -> tuple[dict[str, Any], set[str]]:
        """Properties and required names, the bases' first; a narrower schema replaces a wider one,
        except that the wider one's default still says what leaving the field out means."""
        properties: dict[str, Any] = {}
        required: set[str] = set()
        for part in self.schemas[name].get("allOf", [self.schemas[name]]):
            if "$ref" in part:
                more, needed = self.merged(_tail(part["$ref"]))
            else:
                more, needed = part.get("properties", {}), set(part.get("required", []))
            for field, schema in more.items():
                before = properties.get(field, {}).get("default")
                if before in schema.get("enum", []) and "default" not in schema:
                    schema = {**schema, "default": before}
                properties[field] = schema
            required |= needed
        return properties, required

    def facts(self, schema: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in schema:
            target = self.schemas[_tail(schema["$ref"])]
            if "enum" in target:
                self.enums[_tail(schema["$ref"])] = target["enum"]
                # The document's null for "left out" can't be written on a reference.
                return {"type": "string", "null": True, "enum": _tail(schema["$ref"])}
            self.remember(_tail(schema["$ref"]))
            return {"type": "object", "object": _tail(schema["$ref"])}
        kinds = schema.get("type", "any")
        kinds = [kinds] if isinstance(kinds, str) else list(kinds)
        out: dict[str, Any] = {"type": next(k for k in kinds if k != "null")}
        if "null" in kinds:
            out["null"] = True
        out |= {ours: schema[theirs] for theirs, ours in _FACTS.items() if theirs in schema}
        # What nobody published: names for our own warnings, and no judge.
        likely = {ours: v for k, v in schema.get("x-likely", {}).items() if (ours := _FACTS.get(k))}
        for limits in (out, likely):
            if limits.get("min_length") == 0:
                del limits["min_length"]
        if likely:
            out["likely"] = likely
        if "pattern" in schema:
            self.patterns.add(re.sub(r"\(\?<(\w+)>", r"(?P<\1>", schema["pattern"]))
            out["pattern"] = AIR
        if "items" in schema:
            out["items"] = self.facts(schema["items"])
        if isinstance(schema.get("additionalProperties"), dict):
            out["values"] = self.facts(schema["additionalProperties"])
        return out

    def remember(self, name: str) -> None:
        if name not in self.objects:
            self.objects[name] = {}
            self.objects[name] = self.fields(name)


def text(digest: dict[str, Any]) -> str:
    """The digest as JSON with one line for each field, so that a change reads as one line."""
    lines = ["{", f' "air_pattern": {json.dumps(digest["air_pattern"])},']
    lines.append(f' "enums": {json.dumps(digest["enums"], sort_keys=True)},')
    for part in ("forms", "objects"):
        lines.append(f' "{part}": {{')
        last = list(digest[part])[-1:]
        for name, fields in digest[part].items():
            lines.append(f"  {json.dumps(name)}: {{")
            rows = [f"   {json.dumps(f)}: {json.dumps(facts)}" for f, facts in fields.items()]
            lines.append(",\n".join(rows))
            lines.append("  }" if [name] == last else "  },")
        lines.append(" }" if part == "objects" else " },")
    return "\n".join([*lines, "}"]) + "\n"


def _tail(ref: str) -> str:
    return ref.rsplit("/", 1)[-1]


def main() -> int:
    parser = argparse.ArgumentParser(description="Derive or check the digest of the wire forms.")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args()
    source = os.environ.get("CIVITAI_OPENAPI")
    if not source:
        print("Set CIVITAI_OPENAPI to the path of the published document.", file=sys.stderr)
        return 2
    fresh = text(Document(Path(source)).digest())
    if not arguments.check:
        DIGEST.write_text(fresh, "utf-8")
        return 0
    if not DIGEST.exists() or DIGEST.read_text("utf-8") != fresh:
        print(
            f"{DIGEST.name} differs from the document; run this without --check.", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
