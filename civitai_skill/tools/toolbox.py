"""A toolbox: tools, what the developer fixed, and the clients that run them, sync and async."""

from __future__ import annotations

import difflib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Self, TypeVar

import anyio.to_thread
from pydantic import create_model

from civitai_skill.client.clients import AsyncCivitai, Civitai
from civitai_skill.config import Settings
from civitai_skill.engines.published.kept import followed
from civitai_skill.errors import CivitaiError, ConfigError, Problem, RequestInvalid
from civitai_skill.purchase.events import Tell
from civitai_skill.tools.answers import LOOK, SANDBOX, Result, failure_result, next_call
from civitai_skill.tools.arguments import Arguments
from civitai_skill.tools.fixed import ToolSettings, make_settings
from civitai_skill.tools.offer import Offer, make_offer
from civitai_skill.tools.reading import read_arguments, read_body, restate_error, to_object
from civitai_skill.tools.registry import BY_NAME, DEFAULT
from civitai_skill.tools.steps import Ask, Local, Steps, Tool

Client = Civitai | AsyncCivitai
T = TypeVar("T")


class Closing(ABC):
    """What `with` and `async with` close."""

    @abstractmethod
    def close(self) -> None:
        """Close the client that was made for it; one that was given stays open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await anyio.to_thread.run_sync(self.close)


class Toolbox(Closing):
    """The tools as one developer set them up.

    `client` is a Civitai or an AsyncCivitai; sync calls and async calls both work with either. Left
    out, one is made from `key`, `sandbox` and the environment. `include` names the tools, the
    default five when left out; civitai_get_image comes along with whatever spends, because its
    answers lead there. The other keywords are those of `make_settings`: out, max_buzz, engines,
    local_files, private_urls, tags, allow_mature_content, currencies, pictures, wait (seconds that
    a call waits which does not say). `max_buzz` is the client's own limit when left out. Raises
    RequestInvalid for an unknown tool or engine, ConfigError for an unusable key.
    """

    def __init__(
        self,
        client: Client | None = None,
        *,
        include: Sequence[str] | None = None,
        key: Any = None,
        sandbox: Any = None,
        max_buzz: int | None = None,
        **settings: Any,
    ) -> None:
        if client is not None and (key is not None or sandbox is not None):
            raise ConfigError(
                "A client was given, and a key or a sandbox beside it.",
                advice="Say key and sandbox to the client, or leave the client out.",
            )
        self._given = client or Civitai(key, sandbox=sandbox)
        self._owned = client is None
        followed.set(self._given.settings.engines_file)
        self._sync: Civitai | None = self._given if isinstance(self._given, Civitai) else None
        self._lock = threading.Lock()
        limit = self._given.settings.max_buzz if max_buzz is None else max_buzz
        self.tools: tuple[Tool, ...] = _add_look_tool(
            [find_tool(name) for name in (DEFAULT if include is None else include)]
        )
        self.by_name: Mapping[str, Tool] = {tool.name: tool for tool in self.tools}
        self.fixed: ToolSettings = make_settings(
            limit,
            service=self._given.settings.base_url,
            tools=[tool.name for tool in self.tools],
            **settings,
        )
        #: The argument models, narrowed to what was fixed.
        self.models: Mapping[str, type[Arguments]] = make_models(self.tools, self.fixed)

    def __repr__(self) -> str:
        return f"Toolbox({self._given!r}, {len(self.tools)} tools)"

    def __copy__(self) -> Self:
        """Itself: hosts copy their tools, and a copy buys under the same limits and ledger."""
        return self

    def __deepcopy__(self, memo: object) -> Self:
        """See __copy__."""
        return self

    def __reduce__(self) -> Any:
        """Pickle what was set up, without the key: where it is loaded, the environment has one."""
        if self._given.has_own_transport:
            raise TypeError("a client with a transport of its own is not pickled")
        own = self._given.settings
        here = Settings.load(sandbox=own.sandbox)
        # What only follows this process's environment follows the other's where it is loaded.
        given = {
            name: None if getattr(own, name) == getattr(here, name) else getattr(own, name)
            for name in ("base_url", "home", "max_buzz", "ledger")
        }
        kept = None if self._given.ledger is not None else False
        fixed = replace(self.fixed, tell=None)
        return _restore, (type(self._given), {**given, "sandbox": own.sandbox}, kept, fixed)

    def close(self) -> None:
        """Close the client that was made here; one that was given stays open."""
        if self._sync is not None and (self._owned or self._sync is not self._given):
            self._sync.close()

    def callables(self, *, asynchronous: bool = False) -> list[Callable[..., Any]]:
        """Give the tools as plain functions whose arguments are spelled out, annotated and told in
        the docstring, for frameworks that take functions. Each answers with JSON text, errors
        included; asynchronous, each is a coroutine function.
        """
        from civitai_skill.tools.callables import make_callable

        return [make_callable(self, tool, asynchronous=asynchronous) for tool in self.tools]

    # -- calls -------------------------------------------------------------------------------------
    def read(self, name: str, arguments: Any) -> Arguments:
        """Read the arguments of a tool, by the registry's name. Raises RequestInvalid."""
        raw = arguments if isinstance(arguments, dict) else to_object(arguments)
        if raw.get("body") is not None:
            with_body = read_body(self.models, name, raw)
            if with_body is not None:
                return with_body
        return read_arguments(self.models, name, raw)

    def call(self, name: str, arguments: Any, *, tell: Tell | None = None) -> Result:
        """Run a tool. `arguments` is an object, its JSON text, or what `read` gave; `tell` hears
        every event on the way. Never raises a CivitaiError: the answer then explains it."""
        try:
            return self._drive(self._steps(name, arguments, tell))
        except CivitaiError as error:
            return self.keep(failure_result(error, self.fixed.max_buzz, self.fixed.tools))

    async def acall(self, name: str, arguments: Any, *, tell: Tell | None = None) -> Result:
        """See call."""
        try:
            return await self._adrive(self._steps(name, arguments, tell))
        except CivitaiError as error:
            return self.keep(failure_result(error, self.fixed.max_buzz, self.fixed.tools))

    def offer(self, name: str, arguments: Any, *, enough: int = 0) -> Offer | None:
        """Say what a call would buy; None where nothing. Spends nothing; above `enough` Buzz, and
        where no price is documented, the service is asked for its own. Raises CivitaiError."""
        return self._drive(self._offer_steps(name, arguments, enough))

    async def aoffer(self, name: str, arguments: Any, *, enough: int = 0) -> Offer | None:
        """See offer."""
        return await self._adrive(self._offer_steps(name, arguments, enough))

    # -- the two drivers ---------------------------------------------------------------------------
    def _drive(self, steps: Generator[Ask | Local, Any, T]) -> T:
        client = self._sync
        try:
            ask = next(steps)
            while True:
                try:
                    if isinstance(ask, Local):
                        value = ask.run()
                    else:
                        client = client or self._client()
                        value = ask(client)
                except CivitaiError as error:
                    ask = steps.throw(error)
                else:
                    ask = steps.send(value)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    async def _adrive(self, steps: Generator[Ask | Local, Any, T]) -> T:
        # A connection belongs to the event loop that opened it, and hosts run tools on several
        # loops one after the other; so unless one was given, each call has a client of its own.
        given = self._given if isinstance(self._given, AsyncCivitai) else None
        client = given
        try:
            ask = next(steps)
            while True:
                try:
                    if isinstance(ask, Local):
                        value = await anyio.to_thread.run_sync(ask.run)
                    else:
                        client = client or AsyncCivitai.like(self._given)
                        value = await ask(client)
                except CivitaiError as error:
                    ask = steps.throw(error)
                else:
                    ask = steps.send(value)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        finally:
            if client is not None and client is not given:
                await client.close()

    def _offer_steps(
        self, name: str, arguments: Any, enough: int
    ) -> Generator[Ask | Local, Any, Offer | None]:
        tool = find_tool(name, self.tools)
        given = arguments if isinstance(arguments, Arguments) else self.read(tool.name, arguments)
        if not tool.spends:
            return None
        offer = yield from make_offer(self.fixed, given, enough)
        simulated = self._given.settings.sandbox
        return None if offer is None else replace(offer, simulated=simulated)

    def _steps(self, name: str, arguments: Any, tell: Tell | None = None) -> Steps:
        followed.set(self._given.settings.engines_file)
        tool = self.by_name.get(str(name)) or find_tool(name, self.tools)
        fixed = replace(self.fixed, tell=tell)
        given = arguments if isinstance(arguments, Arguments) else self.read(tool.name, arguments)
        try:
            result = yield from tool.steps(fixed, given)
        except RequestInvalid as error:
            raise restate_error(error, given) from None
        except CivitaiError as error:
            result = failure_result(error, self.fixed.max_buzz, self.fixed.tools)
        return self.keep(result, getattr(given, "folder", None))

    def keep(self, result: Result, folder: str | None = None) -> Result:
        """An answer whose next look saves to the folder that this call named, and waits as was
        fixed; it says so where it comes from the sandbox."""
        data = dict(result.data)
        following = data.get("next")
        if following is not None and following["tool"] == LOOK:
            how = {"wait_seconds": self.fixed.wait, "folder": folder}
            more = {name: value for name, value in how.items() if value is not None}
            data["next"] = next_call(LOOK, **following["arguments"] | more)
        if self._given.settings.sandbox:
            data["sandbox"] = True
            for name in {"error", "message"} & data.keys():
                if SANDBOX not in data[name]:
                    data[name] = f"{data[name]} {SANDBOX}"
        return replace(result, data=data)

    def _client(self) -> Civitai:
        with self._lock:
            if self._sync is None:
                self._sync = Civitai.like(self._given)
            return self._sync


def _restore(
    kind: type[Client], given: dict[str, Any], ledger: bool | None, fixed: ToolSettings
) -> Toolbox:
    """A toolbox that was pickled, with a client and a key of this process."""
    client = kind(settings=Settings.load(**given), ledger=ledger)
    box = Toolbox(client, include=fixed.tools, max_buzz=fixed.max_buzz)
    box.fixed, box.models = fixed, make_models(box.tools, fixed)
    box._owned = True
    return box


def make_models(
    tools: Sequence[Tool], fixed: ToolSettings | None = None
) -> dict[str, type[Arguments]]:
    """The argument models of tools that are offered together, narrowed to what was fixed.

    What the first tool with a prompt explains, the others need not explain again: a model pays for
    every word of it with every message.
    """
    found = {t.name: t.arguments if fixed is None else fixed.narrow(t.arguments) for t in tools}
    first, *others = [n for n, model in found.items() if "prompt" in model.model_fields] or [""]
    for name in others:
        found[name] = _leave_to(first, found[first], found[name])
    return found


def _leave_to(first: str, explained: type[Arguments], model: type[Arguments]) -> type[Arguments]:
    """The model without the words that the first tool has already said; its prompt says where."""
    fields: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        other = explained.model_fields.get(name)
        if other is not None and field.description and field.description == other.description:
            fields[name] = copy(field)
            fields[name].description = None
    if not fields:
        return model
    own = "" if "prompt" in fields else f"{model.model_fields['prompt'].description} "
    fields["prompt"] = copy(model.model_fields["prompt"])
    fields["prompt"].description = f"{own}What is not explained is as in {first}."
    kept: dict[str, Any] = {name: (field.annotation, field) for name, field in fields.items()}
    return create_model(model.__name__, __base__=model, **kept)


def _add_look_tool(chosen: list[Tool]) -> tuple[Tool, ...]:
    """The chosen tools, and the one that looks at what they bought."""
    if any(tool.spends for tool in chosen) and all(tool.name != LOOK for tool in chosen):
        chosen = [*chosen, find_tool(LOOK)]
    return tuple(chosen)


def find_tool(name: str, among: Sequence[Tool] = tuple(BY_NAME.values())) -> Tool:
    """A tool by name, with or without the prefix. Raises RequestInvalid with the nearest."""
    known = {tool.name: tool for tool in among}
    wanted = str(name)[:100]
    for spelling in (wanted, f"civitai_{wanted}"):
        if spelling in known:
            return known[spelling]
    close = difflib.get_close_matches(wanted, known, 1, 0.5)
    accepted = "one of " + ", ".join(known)
    near = close[0] if close else None
    raise RequestInvalid(Problem("tool", name, accepted, near, "there is no such tool here"))
