"""scripts/check_api.py: our rules against the service's, shown over the sandbox."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from civitai_skill import Civitai, Retry
from civitai_skill.engines import catalog
from civitai_skill.engines.published.ours import forms
from civitai_skill.sandbox import Fault, Sandbox
from civitai_skill.sandbox.document import make_document
from tests.support.paths import ROOT
from tests.support.scripts import load

CHECK = load("scripts/check_api.py")


def test_every_form_agrees_with_the_sandbox(tmp_path: Path) -> None:
    with Civitai(sandbox=Sandbox(), home=tmp_path) as client:
        rows = CHECK.compare(client, None, lambda form: None)

    assert [r for r in rows if not r.agrees] == []
    assert {(r.engine, r.form) for r in rows} == {
        (family.name, way.form.__name__)
        for family in catalog.families()
        for variant in family.variants
        for way in variant.ways
    }


def test_what_differs_is_shown(tmp_path: Path) -> None:
    box = Sandbox()
    box.script(Fault("whatif", "status", status=400))
    with Civitai(sandbox=box, retry=Retry(first=0.01, cap=0.02), home=tmp_path) as client:
        rows = CHECK.compare(client, "z-image", lambda form: None)

    assert [(r.accepted, r.agrees) for r in rows] == [
        (False, False),
        *[(True, True)] * 3,
    ]


def test_it_prints_its_table_and_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    out = tmp_path / "report"
    code = CHECK.main(["--live", "--sandbox", "--engine", "z-image", "--out", str(out)])

    assert code == 0
    told = capsys.readouterr().out
    assert "2 of 4 agree. 2 have no p" in told
    assert told.strip() in (out / "check_api.md").read_text()
    data = json.loads((out / "check_api.json").read_text())
    assert data["service"] == "the sandbox"
    assert [row["agrees"] for row in data["rows"]] == [True] * 4


def test_a_disagreement_ends_with_5(
    clean_environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    box = Sandbox(clean_environment / "sandbox.sqlite3")
    box.script(Fault("whatif", "status", status=400))

    assert CHECK.main(["--live", "--sandbox", "--engine", "z-image"]) == 5
    agree = [row["agrees"] for row in json.loads(capsys.readouterr().out)["rows"]]
    assert agree == [False, True, True, True]


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [(["--live"], "config", 3), (["--live", "--sandbox", "--engine", "no"], "request_invalid", 2)],
)
def test_what_can_not_be_asked_is_said(
    words: list[str], code: str, exit_code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert CHECK.main(words) == exit_code
    assert json.loads(capsys.readouterr().out)["error"]["code"] == code


# -- a document ------------------------------------------------------------------------------------
def test_the_published_document_has_no_more_than_our_files(
    document: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert CHECK.main([str(document), "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "125 of 125 forms\n\nNothing moved.\n"
    assert json.loads((tmp_path / "check_api.json").read_text()) == {
        "forms": 125,
        "known": 125,
        "changes": [],
    }


def test_what_moved_in_a_document_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_document(forms())
    schemas = made["components"]["schemas"]
    engines = schemas["ImageGenInput"]["discriminator"]["mapping"]
    grok = schemas["GrokV20CreateImageImageGenInput"]["properties"]
    del engines["seedream"]
    engines["aurora"] = "#/components/schemas/Aurora"
    schemas["Aurora"] = {"type": "object", "properties": {"prompt": {"type": "string"}}}
    grok["glow"] = {"type": "number"}
    grok["quality"]["enum"] = ["low", "ultra"]
    grok["quantity"] |= {"maximum": 8}
    del grok["resolution"]
    path = tmp_path / "document.json"
    path.write_text(json.dumps(made))

    assert CHECK.main([str(path)]) == 1
    told = capsys.readouterr().out
    form = "engine=grok version=v2.0 operation=createImage"
    assert told.startswith("124 of 125 forms\n")
    assert set(told.splitlines()[4:]) == {
        "| engine=aurora |  | new form |  |  |",
        "| engine=seedream |  | form is gone |  |  |",
        f"| {form} | glow | new field |  | number |",
        f"| {form} | quality | new value |  | ultra |",
        f"| {form} | quality | value is gone | medium |  |",
        f"| {form} | quantity | maximum | 4 | 8 |",
        f"| {form} | resolution | field is gone | 1k, 2k |  |",
    }


@pytest.mark.parametrize("text", ["<html>", "[]", '{"components": {"schemas": {}}}'])
def test_what_is_no_document_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "document.json"
    path.write_text(text)
    assert CHECK.main([str(path)]) == 2
    assert "DOCUMENT" in capsys.readouterr().err


def test_the_weekly_workflow_runs_it_and_may_change_nothing() -> None:
    text = (ROOT / ".github" / "workflows" / "check-api.yml").read_text()
    assert "python scripts/check_api.py document.json --out report" in text
    assert "cron:" in text
    assert "permissions:\n  contents: read\n" in text
    assert "write" not in text


def test_nothing_is_asked_without_being_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        CHECK.main([])
    assert "--live" in capsys.readouterr().err
