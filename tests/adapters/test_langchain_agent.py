"""A real agent loop over the sandbox: choose, generate, err, correct, report."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from civitai_skill import Civitai
from civitai_skill.adapters.langchain import (
    CivitaiTool,
    langchain_tools,
    review_purchases,
    system_message,
)
from civitai_skill.sandbox import Sandbox
from civitai_skill.sandbox.site import catalogue
from tests.support.paths import ROOT

EXAMPLE = ROOT / "examples" / "langchain_agent.py"
GENERATE = "civitai_generate_image"
ASKED = {"messages": [("user", "a fox poster, please")]}

Turn = Callable[[list[BaseMessage]], AIMessage]


class Scripted(BaseChatModel):
    """A chat model that says what its script says, seeing what a real one would see."""

    turns: list[Turn]
    seen: list[list[BaseMessage]] = []

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.seen.append(messages)
        turn = self.turns[sum(message.type == "ai" for message in messages)]
        return ChatResult(generations=[ChatGeneration(message=turn(messages))])


def call(name: str, **arguments: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"call-{name}"}])


def told(messages: list[BaseMessage]) -> dict[str, Any]:
    """What the last tool answered, as a model reads it."""
    last = messages[-1]
    assert isinstance(last, ToolMessage)
    found: dict[str, Any] = json.loads(str(last.content))
    return found


def chooses(messages: list[BaseMessage]) -> AIMessage:
    return call("civitai_choose_engine", needs=["poster", "text_in_picture"])


def generates_too_dear(messages: list[BaseMessage]) -> AIMessage:
    arguments = told(messages)["choices"][0]["arguments"]
    return call(GENERATE, prompt="a fox poster", quantity=3, **arguments)


def corrects_itself(messages: list[BaseMessage]) -> AIMessage:
    assert told(messages)["code"] == "over_budget"
    return call("civitai_choose_engine", needs=["poster"], max_buzz=60)


def generates(messages: list[BaseMessage]) -> AIMessage:
    return call(GENERATE, prompt="a fox poster", **told(messages)["choices"][0]["arguments"])


def reports(messages: list[BaseMessage]) -> AIMessage:
    return AIMessage(f"Here it is: {told(messages)['images'][0]['path']}")


SCRIPT: list[Turn] = [chooses, generates_too_dear, corrects_itself, generates, reports]


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(seconds_per_job=0.02)


@pytest.fixture
def tools(sandbox: Sandbox, tmp_path: Path) -> list[CivitaiTool]:
    client = Civitai(sandbox=sandbox, home=tmp_path / "home")
    return langchain_tools(client, out=tmp_path / "out", max_buzz=60)


def check(messages: list[BaseMessage], tmp_path: Path) -> None:
    path = Path(str(messages[-1].content).removeprefix("Here it is: "))
    assert path.is_file()
    assert path.parent == tmp_path / "out"
    answers = [m for m in messages if isinstance(m, ToolMessage)]
    assert [m.status for m in answers] == ["success", "error", "success", "success"]
    assert [image["path"] for image in answers[-1].artifact["images"]] == [str(path)]


def test_an_agent_chooses_errs_corrects_itself_and_reports(
    tools: list[CivitaiTool], tmp_path: Path
) -> None:
    model = Scripted(turns=SCRIPT)
    agent = create_agent(model, tools, system_prompt=system_message())
    check(agent.invoke(ASKED)["messages"], tmp_path)
    assert model.seen[0][0].type == "system"


PAGE = "https://civitai.com/models/9101"
PASTED = (
    "a lighthouse, storm\nNegative prompt: fog\n"
    "Steps: 24, Sampler: Euler a, CFG scale: 6, Seed: 41, Size: 512x768, "
    f"Model hash: {catalogue.hashes(catalogue.MadeVersion(90041, '', ''))['AutoV2']}"
)


def remixes(messages: list[BaseMessage]) -> AIMessage:
    return call("civitai_remix_image", source=PASTED)


def draws_with_the_page(messages: list[BaseMessage]) -> AIMessage:
    return call(GENERATE, **told(messages)["quoted"]["arguments"], loras=[{"air": PAGE}])


def test_an_agent_goes_from_a_page_and_a_pasted_text_to_the_picture(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    client = Civitai(sandbox=sandbox, home=tmp_path / "home")
    tools = langchain_tools(client, include=[GENERATE, "civitai_remix_image"], out=tmp_path / "out")
    agent = create_agent(Scripted(turns=[remixes, draws_with_the_page, reports]), tools)
    state = agent.invoke({"messages": [("user", f"this with {PAGE}: {PASTED}")]})
    path = Path(str(state["messages"][-1].content).removeprefix("Here it is: "))
    made = client.remix(path).request
    assert [lora.air for lora in made.loras] == ["urn:air:sd1:lora:civitai:9101@91011"]
    assert (made.engine, made.seed, made.steps, made.guidance) == ("sd1", 41, 24, 6)
    assert (made.negative_prompt, made.width, made.height) == ("fog", 512, 768)


def test_an_agent_does_so_without_blocking_too(tools: list[CivitaiTool], tmp_path: Path) -> None:
    agent = create_agent(Scripted(turns=SCRIPT), tools)
    state = asyncio.run(agent.ainvoke(ASKED))
    check(state["messages"], tmp_path)


def test_an_agent_streams_each_step(tools: list[CivitaiTool], tmp_path: Path) -> None:
    agent = create_agent(Scripted(turns=SCRIPT), tools)
    steps = [next(iter(update)) for update in agent.stream(ASKED, stream_mode="updates")]
    assert steps == ["model", "tools"] * 4 + ["model"]

    async def main() -> list[BaseMessage]:
        found: list[BaseMessage] = []
        async for update in agent.astream(ASKED, stream_mode="updates"):
            for part in update.values():
                found += part["messages"]
        return found

    check(asyncio.run(main()), tmp_path)


@pytest.mark.parametrize(
    ("decision", "submits"),
    [({"type": "approve"}, 1), ({"type": "reject", "message": "too dear"}, 0)],
)
def test_a_person_is_asked_before_buzz_is_spent(
    tools: list[CivitaiTool], sandbox: Sandbox, decision: dict[str, Any], submits: int
) -> None:
    script: list[Turn] = [
        lambda messages: call(GENERATE, prompt="a fox"),
        lambda messages: AIMessage("done"),
    ]
    spending = review_purchases(tools)
    assert list(spending) == [GENERATE]
    agent = create_agent(
        Scripted(turns=script),
        tools,
        middleware=[HumanInTheLoopMiddleware(interrupt_on=spending)],
        checkpointer=InMemorySaver(),
    )
    config: Any = {"configurable": {"thread_id": "1"}}
    (pause,) = agent.invoke(ASKED, config)["__interrupt__"]
    (request,) = pause.value["action_requests"]
    assert request["args"] == {"prompt": "a fox"}
    question = "1 picture with flux2 klein-4b for 3 Buzz (simulated by the sandbox). Prompt: 'a f"
    assert request["description"].startswith(question)
    assert sum(account["submits"] for account in sandbox.accounts()) == 0
    state = agent.invoke(Command(resume={"decisions": [decision]}), config)
    assert state["messages"][-1].content == "done"
    assert sum(account["submits"] for account in sandbox.accounts()) == submits


@pytest.mark.parametrize(
    ("arguments", "above", "asked"),
    [
        ({"prompt": "a fox"}, 3, False),
        ({"prompt": "a fox"}, 2, True),
        ({"prompt": "a fox", "estimate_only": True}, 0, False),
        ({"prompt": "a fox", "engine": "nothing"}, 0, True),
    ],
)
def test_only_what_costs_more_than_was_said_is_asked_about(
    tools: list[CivitaiTool], arguments: dict[str, Any], above: int, asked: bool
) -> None:
    review = review_purchases(tools, above=above)[GENERATE]
    request = SimpleNamespace(tool_call={"name": GENERATE, "args": arguments})
    assert review["when"](request) is asked
    if arguments.get("engine"):
        assert "will fail" in review["description"](request.tool_call, {}, None)


def test_a_purchase_tells_where_it_stands_in_the_custom_stream(tools: list[CivitaiTool]) -> None:
    script: list[Turn] = [
        lambda messages: call(GENERATE, prompt="a fox"),
        lambda messages: AIMessage("done"),
    ]
    agent = create_agent(Scripted(turns=script), tools)
    told = list(agent.stream(ASKED, stream_mode="custom"))

    async def later() -> list[Any]:
        again = create_agent(Scripted(turns=script), tools)
        return [event async for event in again.astream(ASKED, stream_mode="custom")]

    for events in (told, asyncio.run(later())):
        kinds = [event["event"] for event in events]
        assert {"priced", "submitting", "submitted", "picture"} <= set(kinds)
        assert all(event["tool"] == GENERATE and event["message"] for event in events)
        assert {event["tool_call_id"] for event in events} == {f"call-{GENERATE}"}
        assert json.loads(json.dumps(events)) == events


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("langchain_agent", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    return module


def test_the_example_runs(example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    answer = example.main(["a red fox", "--yes"])
    path = Path(answer.rpartition(": ")[2])
    assert path.is_file()
    assert answer.startswith("Made with anima turbo for 3 Buzz: pictures")
    said = capsys.readouterr().out
    assert "The agent wants to buy: 1 picture with anima turbo for 3 Buzz (simulated" in said
    assert "  submitted as " in said


def test_the_example_takes_a_no(example: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example, "_decide", lambda *given: {"type": "reject", "message": "No."})
    assert example.main(["a red fox"]).startswith("Nothing was made. ")


@pytest.mark.parametrize(("live", "type"), [(True, "reject"), (False, "approve")])
def test_the_example_buys_nothing_live_that_nobody_could_be_asked_about(
    example: Any, monkeypatch: pytest.MonkeyPatch, live: bool, type: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    request = {"name": GENERATE, "args": {"prompt": "a fox"}, "description": "1 picture"}
    assert example._decide(request, yes=False, live=live)["type"] == type
    assert example._decide(request, yes=True, live=live)["type"] == "approve"
