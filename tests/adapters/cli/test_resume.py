"""The command resume: everything that was left open, or only what is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from civitai_skill.adapters.cli import main
from civitai_skill.config import Settings
from tests.support.ledger import file_of


@pytest.fixture(autouse=True)
def _in_the_sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CIVITAI_SANDBOX", "1")
    monkeypatch.chdir(tmp_path)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any, str]:
    code = main([*words, "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out), err


def failed(capsys: pytest.CaptureFixture[str], prompt: str) -> str:
    code, told, _ = said(capsys, "generate", f"{prompt} [sandbox:failed]")
    assert code == 5
    return str(told["id"])


def purchases() -> int:
    with file_of(Settings.load(sandbox=True).ledger) as db:
        return int(db.execute("SELECT count(*) FROM runs").fetchone()[0])


def test_only_what_is_named_is_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    one, _ = failed(capsys, "one"), failed(capsys, "two")
    _, told, err = said(capsys, "get", one)
    assert f"`civitai-skill resume {one} --retry-failed`" in json.dumps(told) + err
    before = purchases()
    _, told, _ = said(capsys, "resume", one, "--retry-failed", "--max-buzz", "20")
    assert len(told["resumed"]) == 1
    assert purchases() == before + 1


@pytest.mark.parametrize(
    ("prompt", "why"),
    [
        ("a fox [sandbox:failed]", "it has failed"),
        ("a fox", "nothing is left to do"),
        ("", "does not know it"),
    ],
)
def test_what_can_not_be_finished_is_refused_by_name(
    prompt: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = str(said(capsys, "generate", prompt)[1]["id"]) if prompt else "no-such-id"
    open_one = failed(capsys, "another")
    before = purchases()
    code, told, err = said(capsys, "resume", open_one, name)
    assert code == 2
    assert purchases() == before
    code, told, err = said(capsys, "resume", name)
    assert (code, told["error"]["problems"][0]["given"]) == (2, f"'{name}'")
    assert why in err
