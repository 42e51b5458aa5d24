"""The LangChain adapter: the standard tests for every tool, and what they do not ask."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from langchain_core.tools import BaseTool, ToolException
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests
from pydantic import SecretStr

from civitai_skill import Civitai, RequestInvalid
from civitai_skill.adapters.langchain import (
    CivitaiTool,
    CivitaiToolkit,
    guidance,
    langchain_tools,
    system_message,
)
from civitai_skill.sandbox import Sandbox
from civitai_skill.tools.registry import DEFAULT, TOOLS

GENERATE = "civitai_generate_image"
#: The standard tests make their tools where no fixture reaches; it goes when the process ends.
FOLDER = TemporaryDirectory()


@cache
def tools() -> dict[str, CivitaiTool]:
    """Every tool, over one sandbox for all standard tests."""
    home = Path(FOLDER.name)
    client = Civitai(sandbox=Sandbox(seconds_per_job=0.02), home=home, ledger=False)
    made = langchain_tools(client, [tool.name for tool in TOOLS], out=home / "out")
    return {tool.name: tool for tool in made}


@cache
def workflow_id() -> str:
    return str(json.loads(tools()["civitai_submit_image"].invoke({"prompt": "a fox"}))["id"])


class OverTheSandbox:
    """What the standard tests ask of a tool."""

    named: str
    example: dict[str, Any]

    @property
    def tool_constructor(self) -> BaseTool:
        return tools()[self.named]

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {n: workflow_id() if v is ... else v for n, v in self.example.items()}


def standard(name: str, **example: Any) -> tuple[type, type]:
    members = {"named": name, "example": example}
    unit = type("Unit", (OverTheSandbox, ToolsUnitTests), dict(members))
    return unit, type("Integration", (OverTheSandbox, ToolsIntegrationTests), dict(members))


TestGenerate, TestGenerateRuns = standard(GENERATE, prompt="a red fox", engine="z-image")
TestGet, TestGetRuns = standard("civitai_get_image", id=...)
TestQuery, TestQueryRuns = standard("civitai_query_images", take=3)
TestCancel, TestCancelRuns = standard("civitai_cancel_image", id=...)
TestChoose, TestChooseRuns = standard("civitai_choose_engine", needs=["photo"])
TestSubmit, TestSubmitRuns = standard("civitai_submit_image", prompt="a red fox")
TestEstimate, TestEstimateRuns = standard("civitai_estimate_image", prompt="a red fox")
TestCompare, TestCompareRuns = standard(
    "civitai_compare_images", prompt="a red fox", engines=["flux2", "sdxl"]
)
TestModels, TestModelsRuns = standard("civitai_search_models", query="ink", type="lora")
TestModel, TestModelRuns = standard("civitai_describe_model", model="civitai:12345@67890")
TestRemix, TestRemixRuns = standard(
    "civitai_remix_image", source="a red fox\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5"
)
TestFinish, TestFinishRuns = standard(
    "civitai_finish_image", images=["https://example.org/fox.png"], caption=True
)


def test_the_standard_tests_cover_every_tool() -> None:
    covered = {c.named for c in globals().values() if isinstance(c, type) and hasattr(c, "named")}
    assert covered == {tool.name for tool in TOOLS}


# -- beyond the standard tests ---------------------------------------------------------------------
@pytest.fixture
def client(tmp_path: Path) -> Civitai:
    return Civitai(sandbox=Sandbox(seconds_per_job=0.02), home=tmp_path / "home")


@pytest.fixture
def generate(client: Civitai, tmp_path: Path) -> CivitaiTool:
    tool, _ = langchain_tools(client, [GENERATE], out=tmp_path / "out", max_buzz=50)
    return tool


def call(**arguments: Any) -> dict[str, Any]:
    return {"name": GENERATE, "args": arguments, "id": "1", "type": "tool_call"}


def test_the_model_reads_text_and_the_developer_gets_the_objects(generate: CivitaiTool) -> None:
    message = generate.invoke(call(prompt="a fox"))
    assert message.status == "success"
    assert json.loads(message.content)["id"] == message.artifact["id"]
    assert Path(message.artifact["images"][0]["path"]).is_file()
    assert message.artifact["images"][0]["url"]


@pytest.mark.parametrize("name", [tool.name for tool in TOOLS])
def test_an_artifact_is_plain_data_that_a_checkpointer_keeps(name: str) -> None:
    example = {"prompt": "a fox"} if "prompt" in tools()[name].args else {}
    example |= {"id": workflow_id()} if "id" in tools()[name].args else {}
    call = {"name": name, "args": example, "id": "1", "type": "tool_call"}
    artifact = tools()[name].invoke(call).artifact
    assert artifact
    assert json.loads(json.dumps(artifact)) == artifact


def test_a_failed_call_has_its_pictures_in_the_artifact(generate: CivitaiTool) -> None:
    asked = call(prompt="a fox [sandbox:partial]", quantity=3)
    for message in (generate.invoke(asked), asyncio.run(generate.ainvoke(asked))):
        assert (message.status, message.tool_call_id) == ("error", "1")
        paths = [image["path"] for image in message.artifact["images"]]
        assert any(path and Path(path).is_file() for path in paths)
        assert None in paths
    refused = generate.invoke(call(prompt="a fox", quantity=0))
    assert refused.artifact["code"] == "request_invalid"
    assert json.loads(generate.invoke({"prompt": "a fox", "engine": "seedream"}))["code"]


def test_async_does_not_hold_a_thread(
    generate: CivitaiTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the sync way was taken")

    monkeypatch.setattr(CivitaiTool, "_run", forbidden)
    message = asyncio.run(generate.ainvoke(call(prompt="a fox")))
    assert message.status == "success"


def test_an_explained_error_is_a_message_of_status_error(generate: CivitaiTool) -> None:
    message = generate.invoke(call(prompt="a fox", engine="seedream"))
    assert message.status == "error"
    assert "the limit is 50" in json.loads(message.content)["error"]


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))]
)
def test_a_copied_tool_works_as_the_first(tmp_path: Path, again: Any) -> None:
    made = langchain_tools(Civitai(sandbox=True, home=tmp_path / "home"), out=tmp_path, max_buzz=7)
    made[0].tags, made[0].handle_tool_error = ["mine"], False
    copied = again(list(made))
    assert [tool.name for tool in copied] == list(DEFAULT)
    assert len({id(tool._box) for tool in copied}) == 1
    assert copied[0].args_schema.model_json_schema() == made[0].args_schema.model_json_schema()
    assert (copied[0].tags, copied[0].handle_tool_error) == (["mine"], False)
    told = json.loads(copied[0].invoke({"prompt": "a fox"}))
    assert Path(told["images"][0]["path"]).parent == tmp_path
    with pytest.raises(ToolException, match="limit is 7"):
        copied[0].invoke({"prompt": "a fox", "quantity": 3})


def test_a_pickled_tool_has_no_key_and_takes_that_of_its_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tool = langchain_tools(key="very-secret")[0]
    kept = pickle.dumps(tool)
    assert b"very-secret" not in kept
    assert "No Civitai key is set" in pickle.loads(kept).invoke({"prompt": "a fox"})
    monkeypatch.setenv("CIVITAI_API_KEY", "from-there")
    assert pickle.loads(kept)._box._given.settings.key.reveal() == "from-there"


def test_a_way_to_the_service_that_only_this_process_knows_is_not_pickled() -> None:
    own = Civitai("key", transport=httpx.MockTransport(lambda _: httpx.Response(200)), ledger=False)
    with pytest.raises(TypeError, match="transport of its own"):
        pickle.dumps(langchain_tools(own)[0])


def test_the_client_that_was_made_is_closed_and_one_that_was_given_is_not(
    client: Civitai, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIVITAI_SANDBOX", "1")

    async def use(made: Any) -> Any:
        async with made as tools:
            return tools

    with langchain_tools(out=tmp_path) as tools:
        assert [tool.name for tool in tools] == list(DEFAULT)
    kit = CivitaiToolkit(out=tmp_path)
    with kit as opened:
        assert opened.get_tools() == kit.get_tools()
        own = kit.get_tools()[0]._box
    for box in (tools.box, own, asyncio.run(use(langchain_tools(out=tmp_path))).box):
        assert box._given._http.is_closed
    with langchain_tools(client):
        pass
    assert not client._http.is_closed


def test_without_pictures_no_message_holds_one(client: Civitai, tmp_path: Path) -> None:
    generate, look = langchain_tools(client, [GENERATE], out=tmp_path, pictures=False)
    assert "include_image" not in {**generate.args, **look.args}
    refused = generate.invoke(call(prompt="a fox", include_image="thumbnail"))
    assert "include_image: there is no such field" in refused.content
    assert isinstance(generate.invoke(call(prompt="a fox")).content, str)


def test_a_developer_may_have_the_exception_instead(generate: CivitaiTool) -> None:
    generate.handle_tool_error = False
    with pytest.raises(ToolException, match="the limit is 50"):
        generate.invoke(call(prompt="a fox", engine="seedream"))


def test_a_wrong_argument_is_named_with_what_is_accepted(generate: CivitaiTool) -> None:
    for message in (
        generate.invoke(call(prompt="a fox", quantity=0, cfg_scale=3)),
        asyncio.run(generate.ainvoke(call(prompt="a fox", quantity=0, cfg_scale=3))),
    ):
        said = json.loads(message.content)["error"]
        assert message.status == "error"
        assert "quantity: not accepted (given 0). Accepted: 1 or more." in said
        assert "cfg_scale: there is no such field (given 3)" in said
        assert "Nearest that works: 'guidance'" in said


def test_a_thumbnail_is_a_block_beside_the_text(generate: CivitaiTool) -> None:
    message = generate.invoke(call(prompt="a fox", include_image="thumbnail"))
    text, picture = message.content
    assert text["type"] == "text"
    assert (picture["type"], picture["mime_type"]) == ("image", "image/jpeg")
    assert picture["base64"] not in text["text"]


def test_plain_text_means_the_prompt(generate: CivitaiTool) -> None:
    assert json.loads(generate.invoke("a plain fox"))["status"] == "succeeded"


def test_hints_stand_in_the_metadata(client: Civitai) -> None:
    found = {t.name: t.metadata for t in langchain_tools(client)}
    assert list(found) == list(DEFAULT)
    assert found[GENERATE] == {
        "title": "Make pictures",
        "spends_buzz": True,
        "read_only": False,
        "destructive": False,
        "idempotent": False,
        "open_world": True,
    }
    assert found["civitai_cancel_image"]["destructive"] is True
    assert found["civitai_choose_engine"]["open_world"] is False


def test_a_key_is_never_shown(tmp_path: Path) -> None:
    kit = CivitaiToolkit(key=SecretStr("very-secret"), out=tmp_path)
    made = kit.get_tools()
    assert "very-secret" not in repr(kit) + repr(made) + str(kit.model_dump())
    from_environment = langchain_tools(key=SecretStr("very-secret"))
    assert "very-secret" not in repr(from_environment)


def test_a_key_comes_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIVITAI_API_TOKEN", "from-there")
    tool, _ = langchain_tools(include=[GENERATE])
    assert tool._box._given.settings.key.reveal() == "from-there"


def test_a_toolkit_gives_the_tools(client: Civitai, tmp_path: Path) -> None:
    kit = CivitaiToolkit(
        client=client,
        include=["civitai_generate_image", "civitai_choose_engine"],
        out=str(tmp_path),
        max_buzz=10,
        settings={"engines": ["sdxl"]},
    )
    generate, choose, look = kit.get_tools()
    assert look.name == "civitai_get_image"
    assert json.loads(choose.invoke({"needs": ["photo"]}))["choices"][0]["engine"] == "sdxl"
    assert json.loads(generate.invoke({"prompt": "a fox", "quantity": 2}))["code"] == "over_budget"


def test_an_unknown_tool_is_refused_when_the_tools_are_made(client: Civitai) -> None:
    with pytest.raises(RequestInvalid, match="Nearest that works: 'civitai_cancel_image'"):
        langchain_tools(client, ["civitai_cancle_image"])


def test_the_guidance_comes_as_a_message() -> None:
    message = system_message(["sdxl"], also="You draw.")
    assert message.type == "system"
    assert message.content == f"You draw.\n\n{guidance(['sdxl'])}"
