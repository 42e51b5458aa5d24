"""The tools for LangChain and LangGraph.

    agent = create_agent(model, langchain_tools(out="pictures"), system_prompt=system_message())

Each tool gives the model a small text, and the developer all of it as plain JSON data
(`ToolMessage.artifact`), which outlives a checkpointer: a Generation's `as_dict()` with paths, URLs
and seeds, a page's `items` as they came. An error comes back as a ToolMessage of status "error"
that says what to change; its artifact holds the pictures that came all the same, or the error.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any

try:
    from langchain_core.messages import SystemMessage, ToolMessage
    from langchain_core.tools import BaseTool, BaseToolkit, ToolException
except ModuleNotFoundError as missing:
    from civitai_skill.errors import ConfigError, from_clone

    raise ConfigError(
        "langchain-core is not installed.", advice=from_clone("langchain")
    ) from missing

from pydantic import ConfigDict, Field, PrivateAttr, SecretStr

from civitai_skill.tools.answers import Result, failure_result, to_plain
from civitai_skill.tools.guidance import guidance
from civitai_skill.tools.reading import arguments_error
from civitai_skill.tools.registry import Tool
from civitai_skill.tools.toolbox import Client, Toolbox

__all__ = ["CivitaiTool", "CivitaiToolkit", "guidance", "langchain_tools", "system_message"]


#: The id of the tool call that is being run; LangChain tells it to `run` alone.
_CALL: ContextVar[str | None] = ContextVar("tool_call_id", default=None)


class CivitaiTool(BaseTool):
    """One of the tools; made by `langchain_tools` or a CivitaiToolkit."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    response_format: str = "content_and_artifact"  # type: ignore[assignment]
    handle_tool_error: Any = None
    _box: Toolbox = PrivateAttr()

    def __init__(self, box: Toolbox, tool: Tool) -> None:
        super().__init__(
            name=tool.name,
            description=tool.description,
            args_schema=box.models[tool.name],
            handle_tool_error=partial(_failure_message, box, tool.name),
            handle_validation_error=partial(_failure_message, box, tool.name),
            metadata={"title": tool.title, "spends_buzz": tool.spends, **vars(tool.hints)},
        )
        self._box = box

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
        return _build_content(self._box.call(self.name, self._bind_arguments(args, arguments)))

    async def _arun(self, *args: Any, **arguments: Any) -> tuple[str | list[dict[str, Any]], Any]:
        return _build_content(
            await self._box.acall(self.name, self._bind_arguments(args, arguments))
        )

    def _bind_arguments(self, args: tuple[Any, ...], arguments: dict[str, Any]) -> dict[str, Any]:
        """LangChain hands a plain text on as it is; it means the first field."""
        fields = iter(self._box.models[self.name].model_fields)
        arguments_by_name = {**dict(zip(fields, args, strict=False)), **arguments}
        return {n: v for n, v in arguments_by_name.items() if n not in ("run_manager", "config")}


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
    return ToolMessage(
        result.text,
        artifact=to_plain(result.artifact),
        tool_call_id=call,
        name=name,
        status="error",
    )


def _build_content(result: Result) -> tuple[str | list[dict[str, Any]], Any]:
    if result.failed:
        raise ToolFailed(result)
    if not result.thumbnails:
        return result.text, to_plain(result.artifact)
    blocks: list[dict[str, Any]] = [{"type": "text", "text": result.text}]
    for small in result.thumbnails:
        blocks.append({"type": "image", "base64": small.data, "mime_type": small.mime})
    return blocks, to_plain(result.artifact)


def langchain_tools(
    client: Client | None = None,
    include: Sequence[str] | None = None,
    *,
    key: SecretStr | str | None = None,
    **settings: Any,
) -> list[CivitaiTool]:
    """Make the tools; what is said here no argument of a model overrides.

    `include` names them, the default five when left out. `settings` are those of Toolbox: out,
    max_buzz, engines, local_files, private_urls, tags, allow_mature_content, currencies, sandbox.
    Raises RequestInvalid or ConfigError.
    """
    box = Toolbox(client, include=include, key=key, **settings)
    return [CivitaiTool(box, tool) for tool in box.tools]


class CivitaiToolkit(BaseToolkit):
    """The tools as a toolkit: `CivitaiToolkit(key=..., out="pictures").get_tools()`.

    `client` is a Civitai or AsyncCivitai; left out, one is made from `key` and the environment.
    `settings` are further keywords of `langchain_tools`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    client: Any = Field(default=None, exclude=True, repr=False)
    key: SecretStr | None = None
    include: list[str] | None = None
    out: str | os.PathLike[str] = "pictures"
    max_buzz: int | None = None
    settings: dict[str, Any] = Field(default={}, repr=False)

    def get_tools(self) -> list[BaseTool]:
        """The tools, in the order of `include`."""
        return list(
            langchain_tools(
                self.client,
                self.include,
                key=self.key,
                out=self.out,
                max_buzz=self.max_buzz,
                **self.settings,
            )
        )


def system_message(engines: Sequence[str] | None = None, *, also: str = "") -> SystemMessage:
    """The guidance as a message for `create_agent(system_prompt=...)`; `also` is put before it."""
    return SystemMessage(f"{also}\n\n{guidance(engines)}".strip())
