"""The page for people: the OpenAPI document as plain HTML, without scripts or a network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

#: Nothing is fetched for the page, and nothing on it runs.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"

_STYLE = """\
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color-scheme: light dark }
code, pre { font: 14px/1.4 ui-monospace, monospace }
pre { overflow-x: auto; padding: .75rem; border: 1px solid #8884; border-radius: .5rem }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0;
  border-bottom: 1px solid #8884 }
h2 { margin-top: 2.5rem; border-bottom: 2px solid #8886 }
"""


def page(document: Mapping[str, Any]) -> str:
    """The whole page for an OpenAPI document."""
    info = document["info"]
    title = escape(info["title"])
    parts = [
        f"<h1>{title} {escape(info['version'])}</h1>",
        *(f"<p>{escape(line)}</p>" for line in info["description"].strip().split("\n")),
        '<p>For machines: <a href="openapi.json">openapi.json</a></p>',
        *_operations(document),
        "<h2>Schemas</h2>",
        *_schemas(document),
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )


def _operations(document: Mapping[str, Any]) -> Iterator[str]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
            summary, more = operation.get("summary", ""), operation.get("description", "")
            yield f"<p><b>{escape(summary)}.</b> {escape(more)}</p>"
            yield from _parameters(operation.get("parameters", ()))
            for content in operation.get("requestBody", {}).get("content", {}).values():
                yield f"<p>Body: {_named(content['schema'])}</p>"
                for example in content.get("examples", {}).values():
                    yield f"<pre>{_json(example['value'])}</pre>"
            yield from _answers(operation["responses"])


def _parameters(parameters: Any) -> Iterator[str]:
    if parameters:
        yield "<table><tr><th>parameter</th><th>in</th><th>what</th><th>form</th></tr>"
        for one in parameters:
            yield _row(
                f"<code>{escape(one['name'])}</code>",
                escape(one["in"]),
                escape(one.get("description", "")),
                f"<code>{_json(one['schema'], indent=None)}</code>",
            )
        yield "</table>"


def _answers(responses: Mapping[str, Any]) -> Iterator[str]:
    yield "<table><tr><th>status</th><th>what</th><th>form</th></tr>"
    for status, answer in responses.items():
        forms = ", ".join(
            f"{escape(kind)} {_named(content.get('schema', {}))}".strip()
            for kind, content in answer.get("content", {}).items()
        )
        yield _row(escape(status), escape(answer.get("description", "")), forms)
    yield "</table>"


def _schemas(document: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in document["components"]["schemas"].items():
        yield f'<h3 id="{escape(name)}">{escape(name)}</h3><pre>{_json(schema)}</pre>'


def _named(schema: Mapping[str, Any]) -> str:
    """The names of the schemas that one is made of, as links."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    return " or ".join(_named(one) for one in schema.get("anyOf", ()))


def _row(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _json(value: Any, indent: int | None = 2) -> str:
    return escape(json.dumps(value, indent=indent))
