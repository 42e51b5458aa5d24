"""`civitai-skill tools`: the definitions, in each form, as the adapters write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from civitai_skill.adapters.cli import main
from civitai_skill.adapters.cli.tools import FORMS
from civitai_skill.adapters.functions import anthropic_tools, gemini_tools, openai_tools
from civitai_skill.tools.registry import BY_NAME, DEFAULT, SERVED


def names(form: str, told: list[dict[str, Any]]) -> list[str]:
    inner = [tool["function"] if form in ("openai", "langchain") else tool for tool in told]
    return [tool["name"].replace("-", "_") for tool in inner]


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_printed(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["tools", "--for", form]) == 0
    told = json.loads(capsys.readouterr().out)
    assert names(form, told) == list(SERVED if form == "mcp" else DEFAULT)
    expected: dict[str, Any] = {
        "openai": openai_tools(),
        "responses": openai_tools(api="responses"),
        "anthropic": anthropic_tools(),
        "gemini": gemini_tools(),
    }
    assert told == expected.get(form, told)

    assert main(["tools", "--for", form, "--all", "--out", "there"]) == 0
    assert names(form, json.loads(capsys.readouterr().out)) == list(BY_NAME)
    (written,) = (tmp_path / "there").iterdir()
    assert names(form, json.loads(written.read_text())) == list(BY_NAME)


def test_chosen_tools_are_printed_and_an_unknown_one_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["tools", "--include", "query_images", "--json"]) == 0
    assert names("openai", json.loads(capsys.readouterr().out)) == ["civitai_query_images"]
    assert main(["tools", "--include", "query_image", "--json"]) == 2
    assert "civitai_query_images" in capsys.readouterr().err
