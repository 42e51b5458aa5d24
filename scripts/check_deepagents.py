"""Let deepagents load the skills: does it list them all, and disclose a skill's tools once read?

    python scripts/check_deepagents.py SKILLS_FOLDER

Needs deepagents and this project with its langchain extra in one environment. A scripted model
reads each skill in a conversation of its own; what it was offered before and after is compared with
the skill's `include_tools`. Then one disclosed tool makes a picture in the sandbox.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from deepagents.backends import FilesystemBackend
from deepagents.middleware.filesystem import FilesystemMiddleware
from deepagents.middleware.skills import SkillsMiddleware
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from civitai_skill.adapters.langchain import langchain_tools


class Scripted(BaseChatModel):
    """A model that says its lines and notes which tools it was offered for each."""

    lines: list[AIMessage]
    offered: list[set[str]] = Field(default_factory=list)
    heard: list[str] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        self.offered.append({_name(tool) for tool in tools})
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.heard.append(str([message.content for message in messages]))
        return ChatResult(generations=[ChatGeneration(message=self.lines.pop(0))])


def _name(tool: Any) -> str:
    if isinstance(tool, dict):
        return str(tool.get("name") or tool.get("function", {}).get("name"))
    return str(getattr(tool, "name", tool))


def call(name: str, **arguments: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"call-{name}"}])


def talk(
    skills: Path, out: Path, include: set[str], *lines: AIMessage
) -> tuple[Scripted, list[BaseMessage]]:
    """One conversation with an agent that has the skills and their tools."""
    model = Scripted(lines=[*lines, AIMessage("done")])
    backend = FilesystemBackend(root_dir=str(skills), virtual_mode=False)
    tools = langchain_tools(sandbox=True, out=str(out), include=sorted(include))
    agent = create_agent(
        model,
        middleware=[
            FilesystemMiddleware(backend=backend),
            SkillsMiddleware(backend=backend, sources=[str(skills)], tools=tools),
        ],
    )
    said = agent.invoke({"messages": [("user", "Make me a picture of a fox.")]})
    return model, said["messages"]


def main(folder: str) -> int:
    skills = Path(folder).resolve()
    wanted = {
        path.parent.name: set(_front(path)["metadata"]["include_tools"].split())
        for path in sorted(skills.glob("*/SKILL.md"))
    }
    assert wanted, f"no skills in {skills}"
    every = set().union(*wanted.values())
    with tempfile.TemporaryDirectory() as scratch:
        for name, tools in wanted.items():
            read = call("read_file", file_path=str(skills / name / "SKILL.md"))
            model, _ = talk(skills, Path(scratch), every, read)
            assert all(skill in model.heard[0] for skill in wanted), "a skill is not listed"
            before, after = (_ours(offered) for offered in model.offered[:2])
            assert (before, after) == (set(), tools), (name, before, after)
            print(f"{name}: listed; reading it discloses {', '.join(sorted(after))}")
        generating = next(
            name for name, tools in wanted.items() if "civitai_generate_image" in tools
        )
        _, said = talk(
            skills,
            Path(scratch),
            every,
            call("read_file", file_path=str(skills / generating / "SKILL.md")),
            call("civitai_generate_image", prompt="a red fox in fresh snow", quality="draft"),
        )
        answer = next(m for m in reversed(said) if isinstance(m, ToolMessage))
        assert answer.status == "success", answer.content
        pictures = [path for path in Path(scratch).rglob("*") if path.is_file()]
        assert pictures, "no picture was saved"
        print(f"a disclosed tool made {pictures[0].name} in the sandbox")
    return 0


def _ours(offered: set[str]) -> set[str]:
    return {name for name in offered if name.startswith("civitai_")}


def _front(path: Path) -> dict[str, Any]:
    front: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8").split("---")[1])
    return front


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
