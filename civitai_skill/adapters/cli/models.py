"""The command that finds checkpoints and LoRAs, and tells all about one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from civitai_skill.adapters.cli import values
from civitai_skill.adapters.cli.output import Output
from civitai_skill.schema.references import is_reference

if TYPE_CHECKING:
    from civitai_skill.client import ModelDescription, Resource


def add_models(parser: argparse.ArgumentParser) -> None:
    values.set_examples(
        parser,
        "models watercolour --type lora --engine sdxl",
        "models --type checkpoint --sort downloads --take 20",
        "models https://civitai.com/models/9101",
    )
    parser.add_argument("query", nargs="?", default="", metavar="QUERY",
                        help="words of a name; or, for all about one model, its AIR, page address, "
                        "civitai:ID@VERSION, a file hash, name:TEXT")  # fmt: skip
    kinds = "checkpoint, lora, embedding or vae"
    parser.add_argument("--type", metavar="T", help=kinds)
    parser.add_argument("--engine", metavar="NAME", help="only what this engine takes")
    parser.add_argument("--sort", default="relevance", metavar="S",
                        help="relevance, downloads, rating or newest")  # fmt: skip
    parser.add_argument("--mature", action="store_true", help="mature models too")
    values.add_shared(parser, "--take", 10, default=10)


def models(given: argparse.Namespace, output: Output) -> None:
    """Models that can be generated with, or all about one; nothing is spent."""
    client = output.open_client(given)
    if is_reference(given.query):
        described = client.describe_model(given.query, mature=given.mature)
        output.answer(described.as_dict(), _describe(described), given.out)
        return
    found = client.search_models(
        given.query, type=given.type, engine=given.engine, sort=given.sort, mature=given.mature,
        take=given.take,
    )  # fmt: skip
    text = "\n".join(line for one in found.models for line in _lines(one))
    output.answer(found.as_dict(), text or "Nothing fits.", given.out)


def _lines(one: Resource) -> list[str]:
    """A model in a few lines."""
    takers = ", ".join(str(taker) for taker in one.takers) or "no engine here"
    lines = [
        f"{one.label}: {one.kind} for {takers} ({one.base_model or 'base model not said'})",
        f"  {one.air}",
    ]
    if one.triggers:
        lines.append(f"  trigger words: {' | '.join(one.triggers)}")
    facts = [f"by {one.creator}"] if one.creator else []
    facts += [f"{one.downloads} downloads"] if one.downloads is not None else []
    facts += ["mature"] if one.mature else []
    facts += [f"early access until {one.early_access}"] if one.early_access else []
    facts += [f"its author asks a fee ({one.fee})"] if one.fee else []
    facts += [f"not said: {', '.join(one.missing)}"] if one.missing else []
    lines += [f"  {'; '.join(facts)}"] if facts else []
    return [*lines, f"  {one.about}"] if one.about else lines


def _describe(described: ModelDescription) -> str:
    """One model in full."""
    one = described.chosen
    lines = _lines(one)
    if one.refusal:
        lines.insert(1, f"  can't be generated with: {one.refusal}")
    licence = one.licence.as_dict()
    lines += [f"  {name.replace('_', ' ')}: {_said(value)}" for name, value in licence.items()]
    lines += [f"  {one.page}"] if one.page else []
    for version in described.as_dict().get("versions", []):
        takers = ", ".join(version.get("engines", [])) or "no engine here"
        if version.get("can_generate") is False:
            takers = "not enabled for generation"
        lines.append(
            f"  version {version.get('name', '?')}: {version['model']}, "
            f"{version.get('base_model', '?')}, {takers}"
        )
    return "\n".join(lines)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) or "none"
