"""A LangChain agent that chooses an engine, asks a person before it spends, and reports the path.

In your clone of civitai-skill:

    pip install '.[langchain]' langchain
    python examples/langchain_agent.py "a red fox, anime style"

Without more it runs in the sandbox with a scripted stand-in for the model, so it needs no key at
all; where no terminal can be asked, purchases of the sandbox are approved. With a real model and a
real key nothing is bought without a yes at the terminal, or --yes:

    CIVITAI_API_KEY=... python examples/langchain_agent.py --live \
        --model anthropic:claude-sonnet-4-5 "a red fox, anime style"
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from civitai_skill.adapters.langchain import langchain_tools, review_purchases, system_message


def main(words: Sequence[str] | None = None) -> str:
    """Run the agent once and give its last words."""
    given = _parsed(words)
    with langchain_tools(sandbox=not given.live or None, out=given.out, max_buzz=100) as tools:
        agent = create_agent(
            given.model or Scripted(),
            tools,
            system_prompt=system_message(also="You are a helpful illustrator."),
            # Whatever spends Buzz waits for a person, who is told the price; the rest runs at once.
            middleware=[HumanInTheLoopMiddleware(interrupt_on=review_purchases(tools))],
            checkpointer=InMemorySaver(),
        )
        config: Any = {"configurable": {"thread_id": "1"}}
        turn: Any = {"messages": [("user", given.prompt)]}
        while turn is not None:
            asked: list[dict[str, Any]] = []
            for mode, told in agent.stream(turn, config, stream_mode=["updates", "custom"]):
                if mode == "custom":
                    print(f"  {told['message']}")
                elif "__interrupt__" in told:
                    asked = told["__interrupt__"][0].value["action_requests"]
            decisions = [_decide(request, given.yes, given.live) for request in asked]
            turn = Command(resume={"decisions": decisions}) if asked else None
        answer = str(agent.get_state(config).values["messages"][-1].text)
    print(answer)
    return answer


def _decide(request: dict[str, Any], yes: bool, live: bool) -> dict[str, Any]:
    """Ask the person at the terminal; where there is none, only the sandbox's Buzz is spent."""
    print(f"The agent wants to buy: {request['description']}")
    if yes or (_asked() if sys.stdin.isatty() else not live):
        return {"type": "approve"}
    return {"type": "reject", "message": "The user does not want to spend Buzz on this."}


def _asked() -> bool:
    return input("Spend Buzz on it? [y/N] ").strip().lower() == "y"


class Scripted(BaseChatModel):
    """Stands in for a model: asks which engine, makes the picture, reports where it is."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=_next(messages))])


def _next(messages: list[BaseMessage]) -> AIMessage:
    last = messages[-1]
    if not isinstance(last, ToolMessage):
        return _call("civitai_choose_engine", needs=["anime", "cheapest"])
    try:
        told = json.loads(str(last.text))
    except ValueError:  # the person's own words
        return AIMessage(f"Nothing was made. {last.text}")
    if "choices" in told:
        prompt = next(m.text for m in messages if m.type == "human")
        return _call("civitai_generate_image", prompt=prompt, **told["choices"][0]["arguments"])
    if "error" in told:
        return AIMessage(f"It did not work: {told['error']}")
    picture = told["images"][0]
    return AIMessage(f"Made with {told['engine']} for {told['buzz']} Buzz: {picture['path']}")


def _call(name: str, **arguments: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": name}])


def _parsed(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A LangChain agent that makes a picture.")
    parser.add_argument("prompt", nargs="?", default="a red fox in the snow, anime style")
    parser.add_argument("--out", default="pictures", help="folder for the pictures (pictures)")
    parser.add_argument("--model", help="provider:name of a chat model; a script when left out")
    parser.add_argument("--live", action="store_true", help="the real service, not the sandbox")
    parser.add_argument("--yes", action="store_true", help="approve every purchase")
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
