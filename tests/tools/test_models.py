"""What finds models: tools, commands, functions; and a page's address as a picture, by each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from civitai_skill import (
    AsyncCivitai,
    Civitai,
    RequestInvalid,
    Toolbox,
    asearch_models,
    choose_engine,
)
from civitai_skill.adapters.cli import main
from civitai_skill.adapters.langchain import langchain_tools
from civitai_skill.client.model_functions import describe_model, search_models
from civitai_skill.tools.registry import DEFAULT
from tests.support.sandbox import fresh_sandbox

PAGE = "https://civitai.com/models"
PIXEL = "urn:air:sdxl:lora:civitai:9105@91051"
NAMES = ("civitai_search_models", "civitai_describe_model", "civitai_generate_image")


@pytest.fixture
def box(tmp_path: Path) -> Any:
    client = Civitai(sandbox=fresh_sandbox(), home=tmp_path / "home")
    with client, Toolbox(client, include=NAMES, out=tmp_path / "out") as opened:
        yield opened


def test_the_model_tools_are_there_for_who_includes_them(box: Toolbox) -> None:
    assert not set(NAMES[:2]) & set(DEFAULT)
    found = box.call(NAMES[0], {"query": "pixel", "type": "LORA", "engine": "sdxl"})
    (one,) = found.data["models"]
    assert one == {
        "air": PIXEL, "kind": "lora", "name": "Pixel Grid", "version": "v1.0",
        "base_model": "SDXL 1.0", "trigger_words": ["pixel art"], "about": "Aligned pixels.",
        "downloads": 45_000, "engines": ["sdxl"], "commercial_use": ["Image", "RentCivit"],
    }  # fmt: skip
    none = box.call(NAMES[0], {"query": "backstage"})
    assert (none.data["models"], none.failed) == ([], False)
    wrong = box.call(NAMES[0], {"type": "lycoris"})
    assert "lora" in wrong.data["error"]
    told = box.call(NAMES[1], {"model": f"{PAGE}/9101"}).data
    assert [v["engines"] for v in told["versions"]] == [["flux2"], ["flux1"], ["sdxl"], ["sd1"]]
    gone = box.call(NAMES[1], {"model": f"{PAGE}/9007"}).data
    assert (gone["can_generate"], gone["refused"]) == (False, "not enabled for generation")
    deleted = box.call(NAMES[1], {"model": "civitai:9008@90081"})
    assert (deleted.failed, deleted.data["buzz_spent"]) == (True, "no")


def test_tools_of_some_engines_find_and_take_only_what_those_take(tmp_path: Path) -> None:
    client = Civitai(sandbox=fresh_sandbox(), home=tmp_path)
    box = Toolbox(client, include=NAMES, engines=["flux1", "openai"], out=tmp_path / "out")
    with client, box:
        found = box.call(NAMES[0], {"query": "detail"}).data["models"]
        assert [one["engines"] for one in found] == [["flux1"]]
        other = box.call(NAMES[0], {"query": "detail", "engine": "sdxl"})
        assert "set up without this engine" in other.data["error"]
        refused = box.call(NAMES[2], {"prompt": "a fox", "loras": [{"air": PIXEL}]})
        assert "which sdxl takes" in refused.data["error"]


def test_a_page_becomes_a_picture_by_a_langchain_tool(tmp_path: Path) -> None:
    """The agent is told of a page, and passes it on."""
    client = Civitai(sandbox=fresh_sandbox(), home=tmp_path / "home")
    with client:
        (tool,) = (
            t for t in langchain_tools(client, out=tmp_path) if t.name == "civitai_generate_image"
        )
        args = {
            "prompt": "a fox", "loras": [{"air": f"{PAGE}/9105", "strength": 0.8}],
            "options": [{"name": "trigger", "value": "true"}],
        }  # fmt: skip
        asked = {"name": tool.name, "args": args, "id": "1", "type": "tool_call"}
        message = tool.invoke(asked)
    told = json.loads(message.content)
    assert (told["status"], told["engine"]) == ("succeeded", "sdxl base")
    assert Path(told["images"][0]["path"]).exists()
    assert any(PIXEL in note for note in told["notes"])


def test_a_page_becomes_a_picture_by_one_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIVITAI_SANDBOX", "1")

    def run(*words: str) -> tuple[int, Any, str]:
        code = main(list(words))
        out, err = capsys.readouterr()
        return code, json.loads(out), err

    page = f"{PAGE}/9101?modelVersionId=91012"
    code, made, err = run(
        "generate", "a fox", "--lora", page, "--out", str(tmp_path), "--timeout", "60"
    )
    assert (code, made["engine"], len(made["images"])) == (0, "sdxl", 1)
    assert err.count("Ink Wash XL 2: the prompt lacks its trigger words: inkwash style") == 1
    assert made["warnings"][0].endswith("To add them: --trigger.")
    assert err.count(f"Plan: {page} is Ink Wash XL 2") == 1
    code, price, _ = run("estimate", "a fox", "--lora", f"{page}=0.5", "--trigger")
    assert (code, price["engine"], price["service"]["total"] > 0) == (0, "sdxl", True)
    code, refused, _ = run("estimate", "a fox", "--lora", page, "--offline")
    assert (code, refused["error"]["problems"][0]["field"]) == (2, "loras.0.air")
    code, found, _ = run("models", "ink", "--engine", "flux1", "--type", "lora")
    assert (code, [m["base_model"] for m in found["models"]]) == (0, ["Flux.1 D"])
    code, one, _ = run("models", page)
    assert (code, one["name"], len(one["versions"])) == (0, "Ink Wash", 4)
    code, wrong, _ = run("models", "https://civitai.com/images/5")
    assert (code, wrong["error"]["problems"][0]["field"]) == (2, "model")


def test_choosing_takes_every_way_to_name_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ways = (PIXEL, f"{PAGE}/9105", "name:Pixel Grid", "civitai:9105@91051")
    for way in ways:
        assert main(["choose", "--air", way, "--sandbox", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["choices"][0]["arguments"]["loras"] == [{"air": PIXEL}]
        assert told.get("sandbox") is (None if way == PIXEL else True)
    assert main(["choose", "--air", "pixel", "--sandbox"]) == 2
    client = Civitai(sandbox=fresh_sandbox(), home=tmp_path)
    with client, Toolbox(client, out=tmp_path / "out") as box:
        found = box.call("civitai_choose_engine", {"air": ways[1]}).data["choices"]
        assert found[0]["arguments"]["loras"] == [{"air": PIXEL}]
    with pytest.raises(RequestInvalid, match="only leads to an AIR"):
        choose_engine(air=ways[1])


async def test_the_functions_are_the_clients_methods_and_need_no_key(tmp_path: Path) -> None:
    sandbox = fresh_sandbox()
    with Civitai(sandbox=sandbox, home=tmp_path) as client:
        assert search_models("pixel", client=client).models[0].air == PIXEL
        assert describe_model(PIXEL, client=client).chosen.triggers == ("pixel art",)
        with pytest.raises(RequestInvalid, match="bare name"):
            describe_model("pixel", client=client)
    async with AsyncCivitai(sandbox=sandbox, home=tmp_path / "a") as own:
        found = await asearch_models(type="vae", engine="sd1", client=own)
        assert [one.name for one in found.models] == ["Warm VAE"]
        told = await own.describe_model("name:Pixel Grid")
        assert told.as_dict()["page"].startswith(f"{PAGE}/9105")
