"""The command that prints the tools' definitions, for programs that register tools themselves."""

from __future__ import annotations

import argparse
import json
from typing import Any

from civitai_skill.adapters.cli import values
from civitai_skill.adapters.cli.output import Output
from civitai_skill.adapters.cli.request import load_settings

FORMS = ("openai", "responses", "anthropic", "gemini", "mcp", "langchain")


def add_tools(parser: argparse.ArgumentParser) -> None:
    values.set_examples(
        parser,
        "tools --for openai",
        "tools --for anthropic --all --out definitions",
        "tools --for responses --include civitai_generate_image --include civitai_choose_engine",
    )
    words = (
        "whose form: openai (chat, strict; the default), responses, anthropic, gemini, mcp as its "
        "server lists them, langchain as it binds them"
    )
    parser.add_argument("--for", choices=FORMS, default="openai", dest="form", help=words)
    which = parser.add_mutually_exclusive_group()
    words = "only this tool; repeatable (the default five; for mcp those of the server)"
    which.add_argument("--include", action="append", metavar="NAME", help=words)
    which.add_argument("--all", action="store_true", help="every tool that there is")


def tools(given: argparse.Namespace, output: Output) -> None:
    """Print the definitions as JSON; nothing is sent."""
    from civitai_skill.client import Civitai
    from civitai_skill.tools.registry import BY_NAME, SERVED
    from civitai_skill.tools.toolbox import Toolbox

    include = tuple(BY_NAME) if given.all else given.include
    if include is None and given.form == "mcp":
        include = SERVED
    with Civitai(settings=load_settings(given), ledger=False) as client:
        found = _write(given.form, Toolbox(client, include=include))
    output.answer(found, json.dumps(found, indent=2, ensure_ascii=False), given.out)


def _write(form: str, box: Any) -> list[dict[str, Any]]:
    if form == "mcp":
        from civitai_skill.adapters.mcp.schema import build_tools, extend_models

        box.models = extend_models(box.models)
        return [tool.model_dump(by_alias=True, exclude_none=True) for tool in build_tools(box)]
    if form == "langchain":
        from civitai_skill.adapters.langchain import write_definitions

        return write_definitions(box)
    from civitai_skill.adapters import functions

    match form:
        case "anthropic":
            return functions.anthropic_tools(box)
        case "gemini":
            return functions.gemini_tools(box)
        case _:
            return functions.openai_tools(box, api="chat" if form == "openai" else "responses")
