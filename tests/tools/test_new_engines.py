"""An engine that no file of ours has: its name is in the tools' schemas when those are made, and it
makes pictures by the toolbox, LangChain, MCP and the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.utils.function_calling import convert_to_openai_tool
from PIL import Image

from civitai_skill import Civitai
from civitai_skill.adapters.cli import main
from civitai_skill.adapters.functions import openai_tools
from civitai_skill.adapters.langchain import langchain_tools
from civitai_skill.engines.catalog import NAMES
from civitai_skill.sandbox import Sandbox, Switches
from civitai_skill.tools.toolbox import Toolbox
from tests.support.mcp_server import GENERATE, opener

AURORA = "comfy/aurora/sketch"
ASKED = {"prompt": "a fox", "engine": AURORA, "aspect_ratio": "3:4",
         "options": [{"name": "mood", "value": "wild"}]}  # fmt: skip


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(switches=Switches(tomorrow=True), seconds_per_job=0.02)


def engine_of(schema: Any) -> dict[str, Any]:
    found: dict[str, Any] = schema["properties"]["engine"]
    return found


def size_of(told: Any) -> tuple[int, int]:
    with Image.open(told["images"][0]["path"]) as picture:
        return picture.size


def test_a_toolbox_offers_what_was_fetched_before_it_was_made(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    client = Civitai(sandbox=sandbox, home=tmp_path / "home")
    before = Toolbox(client, out=tmp_path)
    client.refresh_engines()
    after = Toolbox(client, out=tmp_path)

    offered = [
        engine_of(box.models["civitai_generate_image"].model_json_schema())["enum"]
        for box in (before, after)
    ]
    assert offered == [list(NAMES), [*NAMES, AURORA]]
    refused = before.call("civitai_generate_image", ASKED)
    assert "set up without this engine" in json.dumps(refused.data)
    made = after.call("civitai_generate_image", ASKED)
    assert size_of(made.data) == (768, 1024)
    assert "known only from" in json.dumps(made.data["warnings"])
    narrow = Toolbox(client, out=tmp_path, engines=["flux2"])
    assert "set up without" in json.dumps(narrow.call("civitai_generate_image", ASKED).data)

    schemas = json.dumps(openai_tools(after))
    assert AURORA in schemas
    assert len(schemas) <= 12_000
    (tool,) = langchain_tools(client, ["civitai_generate_image"], out=tmp_path)[:1]
    bound = convert_to_openai_tool(tool)["function"]["parameters"]
    assert f"{AURORA}: new, without guidance" in engine_of(bound)["description"]
    told = json.loads(tool.invoke({**ASKED, "prompt": "an owl"}))
    assert size_of(told) == (768, 1024)
    client.close()


async def test_an_mcp_server_offers_it_and_makes_pictures_with_it(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    with Civitai(sandbox=sandbox, home=tmp_path / "home") as client:
        client.refresh_engines()
    async with opener(sandbox, tmp_path)() as connected:
        tools = {tool.name: tool for tool in (await connected.list_tools()).tools}
        assert engine_of(tools[GENERATE].input_schema)["enum"][-1] == AURORA
        made = await connected.call_tool(GENERATE, ASKED)
    assert not made.is_error
    assert size_of(made.structured_content) == (768, 1024)


def test_the_command_line_refreshes_lists_and_buys(
    sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    # The command's own sandbox, with the switch.
    monkeypatch.setattr("civitai_skill.sandbox.Sandbox", lambda memory: sandbox, raising=False)

    def run(*words: str) -> tuple[int, Any]:
        code = main([*words, "--sandbox", "--json"])
        return code, json.loads(capsys.readouterr().out)

    code, found = run("engines", "--refresh")
    assert (code, found["new"], found["forms"]) == (0, [AURORA], 127)
    assert found["changed"][0]["field"] == "glow"
    code, listed = run("engines")
    assert listed[-1]["name"] == AURORA
    assert run("engines", AURORA)[1]["unfamiliar"].startswith("the sandbox's published document")
    code, made = run(
        "generate", "a fox", "--engine", AURORA, "--option", "imageSize=poster", "--out",
        str(tmp_path),
    )  # fmt: skip
    assert (code, made["images"][0]["height"]) == (0, 1152)
    assert run("query", "--take", "1")[1]["items"][0]["engine"] == AURORA
    assert main(["engines", "flux2", "--refresh", "--sandbox"]) == 2
