"""A page for people, made of the OpenAPI document; it loads nothing from anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STYLE = """\
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; font-size: 1.1rem; }
code, pre { font: 0.9rem/1.4 ui-monospace, monospace; }
pre { padding: 0.75rem; overflow-x: auto; border: 1px solid #8888; }
td { padding: 0.2rem 1.5rem 0.2rem 0; vertical-align: top; }
"""
#: What a browser may load for the page: its own style.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def render_page(document: Mapping[str, Any]) -> str:
    """The page of an OpenAPI document, as HTML."""
    info = document["info"]
    title = escape(info["title"])
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f"<title>{title}</title>\n<style>\n{_STYLE}</style>\n"
        f"<h1>{title} {escape(info['version'])}</h1>\n<p>{escape(info['description'])}</p>\n"
        '<p>Everything, with the fields of each request and answer: <a href="openapi.json">'
        "openapi.json</a>, for any tool that reads OpenAPI.</p>\n"
        + "".join(_render_operations(document))
        + "</html>\n"
    )


def _render_operations(document: Mapping[str, Any]) -> Iterator[str]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>\n"
            yield f"<p>{escape(operation['description'])}</p>\n"
            rows = [_render_parameter(parameter) for parameter in operation.get("parameters", ())]
            if rows:
                yield f"<table>\n{''.join(rows)}</table>\n"
            for content in operation.get("requestBody", {}).get("content", {}).values():
                for example in content.get("examples", {}).values():
                    yield f"<pre>{escape(json.dumps(example['value'], indent=2))}</pre>\n"


def _render_parameter(parameter: Mapping[str, Any]) -> str:
    name, where = escape(parameter["name"]), escape(parameter["in"])
    description = escape(parameter.get("description", ""))
    return f"<tr><td><code>{name}</code></td><td>{where}</td><td>{description}</td></tr>\n"
