"""What a tool is, and what its work is made of: calls on a client, work on this machine."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from civitai_skill.tools.answers import Result
from civitai_skill.tools.arguments import Arguments
from civitai_skill.tools.fixed import ToolSettings


@dataclass(frozen=True)
class Local:
    """Work on this machine; the async driver runs it on a thread."""

    run: Callable[[], Any]


#: A call on a client: sync it gives the value, async an awaitable of it.
Ask = Callable[[Any], Any]
Steps = Generator[Ask | Local, Any, Result]


@dataclass(frozen=True)
class Hints:
    """What a host may assume; every door shows all four."""

    read_only: bool
    destructive: bool
    idempotent: bool
    open_world: bool


@dataclass(frozen=True)
class Tool:
    """One tool. `spends` says that a call may cost Buzz; `default` and `served` whether it comes
    without being named, to a developer and over MCP."""

    name: str
    title: str
    description: str
    arguments: type[Arguments]
    steps: Callable[[ToolSettings, Any], Steps]
    hints: Hints
    spends: bool = False
    default: bool = True
    served: bool = False
