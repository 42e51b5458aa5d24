"""The tools for LangChain and LangGraph.

    with langchain_tools(out="pictures") as tools:
        agent = create_agent(model, tools, system_prompt=system_message())

Each tool gives the model a small text, and the developer all of it as plain JSON data
(`ToolMessage.artifact`), which outlives a checkpointer: a Generation's `as_dict()` with paths, URLs
and seeds, a page's `items` as they came. An error comes back as a ToolMessage of status "error"
that says what to change; its artifact holds the pictures that came all the same, or the error.

In a graph that is streamed with `stream_mode="custom"`, a purchase tells where it stands as
`{"tool", "tool_call_id", "event", "message", ...}`. `review_purchases(tools)` asks a person before
anything is bought, with the price. `pictures=False` keeps pictures out of every message, for models
that take none in a tool's answer (OpenAI's Chat Completions).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Iterable, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any

try:
    from langchain_core.messages import SystemMessage, ToolMessage
    from langchain_core.tools import BaseTool, BaseToolkit, ToolException
    from langchain_core.utils.function_calling import convert_to_openai_tool
except ModuleNotFoundError as missing:
    from civitai_skill.errors import ConfigError, from_clone

    raise ConfigError(
        "langchain-core is not installed.", advice=from_clone("langchain")
    ) from missing

from pydantic import ConfigDict, Field, PrivateAttr, SecretStr

from civitai_skill.client import Event, Tell
from civitai_skill.errors import CivitaiError
from civitai_skill.tools.answers import Result, event_data, failure_result, to_plain
from civitai_skill.tools.guidance import guidance
from civitai_skill.tools.reading import arguments_error
from civitai_skill.tools.steps import Tool
from civitai_skill.tools.toolbox import Client, Closing, Toolbox, find_tool

__all__ = [
    "CivitaiTool",
    "CivitaiToolkit",
    "CivitaiTools",
    "guidance",
    "langchain_tools",
    "review_purchases",
    "system_message",
]

#: The id of the tool call that is being run; LangChain tells it to `run` alone.
_CALL: ContextVar[str | None] = ContextVar("tool_call_id", default=None)


class CivitaiTool(BaseTool):
    """One of the tools; made by `langchain_tools` or a CivitaiToolkit."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    response_format: str = "content_and_artifact"  # type: ignore[assignment]
    handle_tool_error: Any = None
    _box: Toolbox = PrivateAttr()
    _tool: Tool = PrivateAttr()

    def __init__(self, box: Toolbox, tool: Tool) -> None:
        super().__init__(
            name=tool.name,
            description=tool.description,
            args_schema=box.models[tool.name],
            handle_tool_error=partial(_failure_message, box, tool.name),
            handle_validation_error=partial(_failure_message, box, tool.name),
            metadata={"title": tool.title, "spends_buzz": tool.spends, **vars(tool.hints)},
        )
        self._box, self._tool = box, tool

    def __reduce__(self) -> Any:
        """Pickle the toolbox and what was changed since; see Toolbox.__reduce__."""
        fresh = CivitaiTool(self._box, self._tool)
        changed = {
            name: getattr(self, name)
            for name in type(self).model_fields
            if name != "args_schema" and not isinstance(getattr(self, name), partial)
            if getattr(self, name) != getattr(fresh, name)
        }
        return _restore_tool, (self._box, self._tool.name, changed)

    def run(self, *args: Any, tool_call_id: str | None = None, **given: Any) -> Any:
        """See BaseTool.run."""
        token = _CALL.set(tool_call_id)
        try:
            return super().run(*args, tool_call_id=tool_call_id, **given)
        finally:
            _CALL.reset(token)

    async def arun(self, *args: Any, tool_call_id: str | None = None, **given: Any) -> Any:
        """See BaseTool.arun."""
        token = _CALL.set(tool_call_id)
        try:
            return await super().arun(*args, tool_call_id=tool_call_id, **given)
        finally:
            _CALL.reset(token)

    def _run(self, *args: Any, **arguments: Any) -> tuple[str | list[dict[str, Any]], Any]:
        given = self._bind_arguments(args, arguments)
        return _build_content(self._box.call(self._tool.name, given, tell=self._tell()))

    async def _arun(self, *args: Any, **arguments: Any) -> tuple[str | list[dict[str, Any]], Any]:
        given = self._bind_arguments(args, arguments)
        return _build_content(await self._box.acall(self._tool.name, given, tell=self._tell()))

    def _tell(self) -> Tell | None:
        """What writes events to the stream of the graph that runs this; None outside of one."""
        graph: Any = sys.modules.get("langgraph.config")
        if graph is None:  # where it is not loaded, no graph is running
            return None
        try:
            write = graph.get_stream_writer()
        except (RuntimeError, KeyError):  # called outside of a graph
            return None
        about = {"tool": self.name, "tool_call_id": _CALL.get()}

        def tell(event: Event) -> None:
            write({**about, **event_data(event)})

        return tell

    def _bind_arguments(self, args: tuple[Any, ...], arguments: dict[str, Any]) -> dict[str, Any]:
        """LangChain hands a plain text on as it is; it means the first field."""
        fields = iter(self._box.models[self._tool.name].model_fields)
        arguments_by_name = {**dict(zip(fields, args, strict=False)), **arguments}
        return {n: v for n, v in arguments_by_name.items() if n not in ("run_manager", "config")}


def _restore_tool(box: Toolbox, name: str, changed: dict[str, Any]) -> CivitaiTool:
    tool = CivitaiTool(box, find_tool(name, box.tools))
    for field, value in changed.items():
        setattr(tool, field, value)
    return tool


class ToolFailed(ToolException):
    """An explained error, with the answer that tells it."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.text)
        self.result = result


def _failure_message(box: Toolbox, name: str, error: Any) -> Any:
    """The message of a failed call, which LangChain would give no artifact; a wrong argument
    (pydantic's error) is told with the name of the right one."""
    if isinstance(error, ToolFailed):
        result = error.result
    else:
        result = failure_result(arguments_error(box.models, name, error), box.fixed.max_buzz)
    call = _CALL.get()
    if call is None:
        return result.text
    artifact = to_plain(result.artifact)
    return ToolMessage(result.text, artifact=artifact, tool_call_id=call, name=name, status="error")


def _build_content(result: Result) -> tuple[str | list[dict[str, Any]], Any]:
    if result.failed:
        raise ToolFailed(result)
    content: str | list[dict[str, Any]] = result.text
    if result.thumbnails:
        content = [{"type": "text", "text": result.text}]
        for small in result.thumbnails:
            content.append({"type": "image", "base64": small.data, "mime_type": small.mime})
    return content, to_plain(result.artifact)


class CivitaiTools(list[CivitaiTool], Closing):
    """The tools of one toolbox, as a list. `with` and `async with` close the client that was made
    for them; one that was given stays open."""

    def __init__(self, box: Toolbox, tools: Iterable[CivitaiTool]) -> None:
        super().__init__(tools)
        self.box = box

    def close(self) -> None:
        """Close the client that was made for these tools."""
        self.box.close()


def langchain_tools(
    client: Client | None = None,
    include: Sequence[str] | None = None,
    *,
    key: SecretStr | str | None = None,
    **settings: Any,
) -> CivitaiTools:
    """Make the tools; what is said here no argument of a model overrides.

    `include` names them, the default five when left out. `settings` are those of Toolbox: out,
    max_buzz, engines, local_files, private_urls, tags, allow_mature_content, currencies, pictures,
    sandbox. Raises RequestInvalid or ConfigError.
    """
    box = Toolbox(client, include=include, key=key, **settings)
    return CivitaiTools(box, [CivitaiTool(box, tool) for tool in box.tools])


def write_definitions(box: Toolbox) -> list[dict[str, Any]]:
    """The tools of a box as LangChain binds them to a chat model."""
    return [convert_to_openai_tool(CivitaiTool(box, tool)) for tool in box.tools]


class CivitaiToolkit(BaseToolkit, Closing):
    """The tools as a toolkit: `CivitaiToolkit(key=..., out="pictures").get_tools()`.

    `client` is a Civitai or AsyncCivitai; left out, one is made from `key` and the environment.
    `settings` are further keywords of `langchain_tools`. `with` and `async with` close that client.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    client: Any = Field(default=None, exclude=True, repr=False)
    key: SecretStr | None = None
    include: list[str] | None = None
    out: str | os.PathLike[str] = "pictures"
    max_buzz: int | None = None
    settings: dict[str, Any] = Field(default={}, repr=False)
    _tools: CivitaiTools | None = PrivateAttr(default=None)

    def get_tools(self) -> list[BaseTool]:
        """The tools, in the order of `include`; every time the same."""
        if self._tools is None:
            own: dict[str, Any] = {"key": self.key, "out": self.out, "max_buzz": self.max_buzz}
            self._tools = langchain_tools(self.client, self.include, **own, **self.settings)
        return list(self._tools)

    def close(self) -> None:
        """Close the client that was made for these tools."""
        if self._tools is not None:
            self._tools.close()


def review_purchases(
    tools: Iterable[BaseTool],
    *,
    above: int = 0,
    decisions: Collection[str] = ("approve", "edit", "reject"),
) -> dict[str, Any]:
    """Write `HumanInTheLoopMiddleware(interrupt_on=...)`: a person is asked before a tool buys what
    costs more than `above` Buzz, and reads what it is, with which engine, how many, for how much.

    Asking for a price is never asked about. The price is the documented one, or else the service's,
    which is asked for it, for a few seconds, from the thread that runs the middleware.
    """
    ours = [tool for tool in tools if isinstance(tool, CivitaiTool) and tool._tool.spends]
    return {
        tool.name: {
            "allowed_decisions": list(decisions),
            "description": partial(_describe_purchase, tool),
            "when": partial(_needs_review, tool, above),
        }
        for tool in ours
    }


def _describe_purchase(tool: CivitaiTool, call: Any, state: Any = None, runtime: Any = None) -> str:
    """What a person is asked, with the arguments where they say more."""
    try:
        offer = tool._box.offer(tool._tool.name, call["args"])
    except CivitaiError as error:
        return f"{tool.name}, which will fail: {error.message} {error.advice}".strip()
    if offer is None:
        return f"{tool.name} only asks for the price."
    within = f" The limit is {offer.limit} Buzz." if (offer.price or 0) > offer.limit else ""
    return f"{offer}{within}\n{json.dumps(call['args'], ensure_ascii=False)}"


def _needs_review(tool: CivitaiTool, above: int, request: Any) -> bool:
    try:
        offer = tool._box.offer(tool._tool.name, request.tool_call["args"], enough=above)
    except CivitaiError:
        return True  # the person sees why
    return offer is not None and offer.costs and (offer.price is None or offer.price > above)


def system_message(engines: Sequence[str] | None = None, *, also: str = "") -> SystemMessage:
    """The guidance as a message for `create_agent(system_prompt=...)`; `also` is put before it."""
    return SystemMessage(f"{also}\n\n{guidance(engines)}".strip())
