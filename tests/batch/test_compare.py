"""Comparisons: priced first, bought as one batch, once, and shown on one sheet."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from civitai_skill import Civitai, RequestInvalid, Toolbox
from civitai_skill.adapters.cli import main
from civitai_skill.batch.compare import compare
from civitai_skill.sandbox import Sandbox
from tests.support.mcp_server import Open
from tests.support.sandbox import charged

ENGINES = ["flux2", "sdxl:pony"]


def test_the_command_prices_buys_once_and_writes_a_sheet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CIVITAI_SANDBOX", "1")
    monkeypatch.chdir(tmp_path)

    def run(*words: str, code: int = 0) -> Any:
        assert main(["compare", *words]) == code
        return json.loads(capsys.readouterr().out)

    words = ["a lighthouse", "--engines", ",".join(ENGINES), "--out", "pics"]
    planned = run(*words, "--dry-run")
    assert (planned["price"], planned["dry_run"]) == (13, True)
    assert run(*words, "--max-buzz", "12", code=4)["error"]["code"] == "over_budget"
    made = run(*words, "--aspect-ratio", "3:2")
    assert [row["engine"] for row in made["compared"]] == ["flux2", "sdxl"]
    assert made["compared"][1]["variant"] == "pony"
    with Image.open(made["sheet"]) as sheet:
        assert sheet.width > sheet.height
    assert run(*words, "--aspect-ratio", "3:2")["new"] == 0
    files = [row["path"] for row in made["compared"]]
    shown = run("--picture", files[0], "--picture", files[1], "--out", "sheets")
    assert Path(shown["sheet"]).is_file()
    assert "sandbox" not in shown
    for wrong in (["a fox"], ["a fox", "--engines", "flux2"], ["--picture", files[0], "a fox"]):
        assert run(*wrong, code=2)["error"]["code"] == "request_invalid"


def test_what_fails_has_an_empty_place(tmp_path: Path) -> None:
    with Civitai(sandbox=Sandbox(), home=tmp_path / "home") as client:
        made = compare("[sandbox:failed] a fox", ENGINES, client=client, out=tmp_path)
        assert made.sheet is None
        assert {row["status"] for row in made.as_dict()["compared"]} == {"failed"}
        for engines in (["flux2"], ["flux2", "flux2"], ["flux2", "nonesuch"]):
            with pytest.raises(RequestInvalid):
                compare("a fox", engines, client=client, out=tmp_path)


@pytest.fixture
def asked(open_client: Open) -> Callable[..., Any]:
    return open_client


async def test_the_tool_asks_once_for_all_and_shows_the_sheet(
    asked: Callable[..., Any], sandbox: Sandbox, tmp_path: Path
) -> None:
    given = {"prompt": "a fox", "engines": ENGINES, "include_image": "thumbnail"}
    async with asked(answer="decline", ask_above=12, budget=50) as client:
        told = await client.call_tool("civitai-compare-images", given)
        assert "did not agree" in told.structured_content["message"]
        assert client.asked == [
            "A picture with each of flux2, sdxl:pony for 13 Buzz (simulated by the sandbox); 50 "
            "Buzz are left of the budget. Prompt: 'a fox'. Go on?"
        ]
    assert charged(sandbox) == 0
    async with asked(answer="accept", ask_above=12) as client:
        priced = await client.call_tool("civitai-compare-images", {**given, "estimate_only": True})
        assert priced.structured_content["buzz"] == 13
        made = await client.call_tool("civitai-compare-images", given)
        again = await client.call_tool("civitai-compare-images", given)
    assert [block.type for block in made.content] == ["text", "image"]
    assert Path(made.structured_content["sheet"]).is_file()
    assert made.structured_content["buzz"] == charged(sandbox) == 13
    assert again.structured_content["images"] == made.structured_content["images"]


def test_a_developer_narrows_the_engines(tmp_path: Path, sandbox: Sandbox) -> None:
    client = Civitai(sandbox=sandbox, home=tmp_path / "home")
    include = ["civitai_compare_images"]
    with Toolbox(client, include=include, engines=["flux2", "sdxl"], out=tmp_path) as box:
        refused = box.call(include[0], {"prompt": "a fox", "engines": ["flux2", "qwen"]})
        assert refused.failed
        assert "flux2, sdxl" in refused.data["error"]
        dear = box.call(include[0], {"prompt": "a", "engines": ENGINES, "max_buzz": 12})
        assert dear.data["code"] == "over_budget"
