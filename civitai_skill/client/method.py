"""A method of both clients, written once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from civitai_skill.api.drivers import adrive, drive
from civitai_skill.api.service import Flow

if TYPE_CHECKING:
    from civitai_skill.client.base import BaseClient
    from civitai_skill.client.clients import AsyncCivitai, Civitai

P = ParamSpec("P")
T = TypeVar("T")


class method(Generic[P, T]):
    """A method of both clients, made of the flow behind it: the synchronous client runs it to its
    end, the asynchronous one awaits that. Either has the flow's own signature and docstring."""

    def __init__(self, flow: Callable[Concatenate[Any, P], Flow[T]]) -> None:
        @wraps(flow)
        def call(client: Civitai, *args: P.args, **given: P.kwargs) -> T:
            return drive(flow(client, *args, **given), client._http)

        @wraps(flow)
        async def acall(client: AsyncCivitai, *args: P.args, **given: P.kwargs) -> T:
            return await adrive(flow(client, *args, **given), client._http)

        given = str(flow.__annotations__["return"]).removeprefix("Flow[").removesuffix("]")
        shown = inspect.signature(flow).replace(return_annotation=given)
        for made in (call, acall):
            made.__annotations__ = {**flow.__annotations__, "return": given}
            vars(made)["__signature__"] = shown
        self._made: dict[bool, Any] = {False: call, True: acall}

    @overload
    def __get__(self, client: Civitai, kind: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncCivitai, kind: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, client: None, kind: type) -> Callable[..., Any]: ...
    def __get__(self, client: Any, kind: type[BaseClient]) -> Any:
        made = self._made[kind.asynchronous]
        return made if client is None else MethodType(made, client)
