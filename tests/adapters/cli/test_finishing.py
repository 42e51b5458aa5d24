"""Finishing on the command line: flags of generate, the command finish, what each of them says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from civitai_skill.adapters.cli import main
from tests.support.pictures import picture


@pytest.fixture(autouse=True)
def in_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CIVITAI_SANDBOX", "1")
    monkeypatch.chdir(tmp_path)
    Path("photo.png").write_bytes(picture(size=(300, 200)))


def test_the_plan_is_told_with_its_price_before_anything_is_made(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["generate", "a cat", "--exact", "3000x200", "--json"]) == 0
    out, err = capsys.readouterr()
    _, price, plan, _, submitted, *_ = err.splitlines()
    assert price.startswith("Price: flux2 klein-4b, upscale: about 7 Buzz (3 to draw, 4 to upscale")
    assert plan.startswith("Plan: Exactly 3000x200: from 1568x672, upscaled to 3136x1344")
    assert submitted.startswith("Submitted")
    with Image.open(json.loads(out)["images"][0]["path"]) as made:
        assert made.size == (3000, 200)


def test_a_picture_is_finished_priced_or_converted(capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: str) -> Any:
        assert main(["finish", "photo.png", *words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert run("--upscale", "1", "--price")["service"]["total"] == 2
    assert run("--upscale", "1")["images"][0]["width"] == 600
    free = run("--format", "jpeg", "--quality", "70", "--width", "150", "--out", "small")
    assert (free["cost"]["total"], free["images"][0]["path"]) == (0, "small/photo.jpeg")
    said = run("--caption", "--auto-tags", "--rate")
    assert [sorted(words)[-1] for words in said["outputs"]] == ["picture", "tags", "picture"]
    assert run("--svg", "vtracer", "--svg-setting", "filterSpeckle=4")["images"][0][
        "path"
    ].endswith(".svg")
    assert main(["finish", "photo.png", "--json"]) == 2
    assert "nothing to be done" in capsys.readouterr().err
