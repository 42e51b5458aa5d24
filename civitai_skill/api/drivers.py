"""The two drivers: they run a flow's requests, pauses and work, and decide nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, NoReturn, TypeVar

import anyio
import anyio.to_thread
import httpx

from civitai_skill.api.send import asend, send
from civitai_skill.api.service import Flow, Together, Work
from civitai_skill.errors import ConfigError

T = TypeVar("T")

#: Flows that run together at a time.
_AT_ONCE = 6


def refuse_closed() -> NoReturn:
    """Refuse a call of a client that was closed, before anything is written down."""
    raise ConfigError("This client was closed.", advice="Make a new one for further calls.")


def drive(flow: Flow[T], http: httpx.Client, sleep: Callable[[float], None] = time.sleep) -> T:
    """Run a flow to its end on this thread. Raises ConfigError where the client is closed."""
    if http.is_closed:
        refuse_closed()
    outcome: Any = None
    with closing(flow):
        try:
            while True:
                failed = isinstance(outcome, Exception)
                step = flow.throw(outcome) if failed else flow.send(outcome)
                try:
                    if isinstance(step, httpx.Request):
                        outcome = send(http, step)
                    elif isinstance(step, Work):
                        outcome = step.run()
                    elif isinstance(step, Together):
                        outcome = _drive_all(step.flows, http, sleep)
                    else:
                        sleep(step)
                        outcome = None
                except Exception as error:
                    outcome = error
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def _drive_all(
    flows: Sequence[Flow[Any]], http: httpx.Client, sleep: Callable[[float], None]
) -> list[Any]:
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        return list(pool.map(lambda flow: drive(flow, http, sleep), flows))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


async def adrive(flow: Flow[T], http: httpx.AsyncClient) -> T:
    """Run a flow to its end in this task; work goes to a thread. See `drive`."""
    if http.is_closed:
        refuse_closed()
    outcome: Any = None
    with closing(flow):
        try:
            while True:
                failed = isinstance(outcome, Exception)
                step = flow.throw(outcome) if failed else flow.send(outcome)
                try:
                    if isinstance(step, httpx.Request):
                        outcome = await asend(http, step)
                    elif isinstance(step, Work):
                        outcome = await anyio.to_thread.run_sync(step.run)
                    elif isinstance(step, Together):
                        outcome = await _adrive_all(step.flows, http)
                    else:
                        await anyio.sleep(step)
                        outcome = None
                except Exception as error:
                    outcome = error
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


async def _adrive_all(flows: Sequence[Flow[Any]], http: httpx.AsyncClient) -> list[Any]:
    found: list[Any] = [None] * len(flows)
    turn = anyio.Semaphore(_AT_ONCE)

    async def run(n: int, flow: Flow[Any]) -> None:
        async with turn:
            try:
                found[n] = await adrive(flow, http)
            except Exception as error:
                found[n] = error

    async with anyio.create_task_group() as group:
        for n, flow in enumerate(flows):
            group.start_soon(run, n, flow)
    failed = next((one for one in found if isinstance(one, Exception)), None)
    if failed is not None:
        raise failed
    return found
