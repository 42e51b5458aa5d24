"""Whether Buzz was spent is told truly, also where the second half of a purchase goes wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from civitai_skill import Civitai, CivitaiError, TransportFailed
from civitai_skill.adapters.cli import main
from civitai_skill.api import changes
from civitai_skill.api.service import Retry
from civitai_skill.errors.next_steps import Look
from civitai_skill.purchase.events import Submitted
from civitai_skill.sandbox import Fault, Sandbox

RETRY = Retry(first=0.005, cap=0.02)
SIZE = {"engine": "sdxl", "width": 64, "height": 64}


@pytest.fixture
def box(clean_environment: Path) -> Sandbox:
    return Sandbox(clean_environment / "sandbox.sqlite3", seconds_per_job=0.02)


@pytest.fixture
def client(box: Sandbox) -> Iterator[Civitai]:
    with Civitai(sandbox=box, retry=RETRY) as client:
        yield client


@pytest.fixture
def held(client: Civitai, tmp_path: Path) -> str:
    """A workflow whose mature picture is held back."""
    with pytest.raises(CivitaiError) as caught:
        client.generate("a fox [sandbox:mature]", out=tmp_path, allow_mature_content=False, **SIZE)
    return str(caught.value.result.id)


@pytest.mark.parametrize(
    ("fault", "spent"),
    [
        (Fault("cancel", "reset", committed=True, times=None), "unknown"),
        (Fault("cancel", "status", committed=True, times=None), "unknown"),
        (Fault("cancel", "status", status=403), "no"),
        (Fault("cancel", "refuse", times=None), "no"),
        (Fault("get", "status", skip=1, times=None), "yes"),
    ],
)
def test_a_release_that_went_wrong_says_what_may_have_been_paid(
    fault: Fault, spent: str, client: Civitai, held: str, box: Sandbox
) -> None:
    box.script(fault)
    with pytest.raises(CivitaiError) as wrong:
        client.release(held)

    assert wrong.value.spent == spent
    assert (Look(held) in wrong.value.next) == (spent != "no")


def test_an_interrupted_release_may_be_paid(
    held: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*given: Any, **more: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(changes, "update", interrupted)
    code = main(["release", held, "--sandbox"])
    out, err = capsys.readouterr()

    assert (code, json.loads(out)["error"]["spent"]) == (130, "unknown")
    assert f"Look at it with `civitai-skill get {held} --wait --sandbox`" in err


def test_a_release_whose_answer_has_no_place_is_not_begun(
    held: str, client: Civitai, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    code = main(["release", held, "--sandbox", "--out", str(tmp_path / "file")])

    assert (code, json.loads(capsys.readouterr().out)["error"]["spent"]) == (2, "no")
    assert client.get(held).allow_mature_content is not True


def test_a_release_whose_answer_is_lost_was_paid(
    held: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out" / "release.json").mkdir(parents=True)
    code = main(["release", held, "--sandbox", "--out", str(tmp_path / "out")])
    error = json.loads(capsys.readouterr().out)["error"]

    assert (code, error["code"], error["spent"]) == (8, "answer_lost", "yes")
    assert f"`civitai-skill get {held} --wait --sandbox`" in error["hint"]


def test_pictures_that_can_not_be_saved_yet_are_no_success(
    client: Civitai, capsys: pytest.CaptureFixture[str]
) -> None:
    ident = client.submit("a fox [sandbox:stuck]", **SIZE).id or ""
    assert main(["get", ident, "--sandbox"]) == 0
    capsys.readouterr()
    assert main(["get", ident, "--sandbox", "--out", "pics"]) == 6
    out, err = capsys.readouterr()

    assert f"civitai-skill get {ident} --wait --out pics --sandbox" in err
    assert json.loads(out)["id"] == ident


def test_a_folder_that_goes_while_the_picture_is_made_does_not_deny_the_purchase(
    client: Civitai, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def replaced(event: Any) -> None:
        if isinstance(event, Submitted):
            out.rmdir()
            out.write_text("a file")

    with pytest.raises(TransportFailed) as lost:
        client.generate("a fox", out=out, tell=replaced, **SIZE)
    bought = lost.value.result.id
    assert lost.value.spent == "yes"
    assert Look(bought, save=True) in lost.value.next

    out.unlink()
    assert client.generate("a fox", out=out, **SIZE).id == bought
