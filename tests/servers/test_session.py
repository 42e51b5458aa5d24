"""Work that outlives its callers, and how it ends with its server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from civitai_skill import AsyncCivitai, CivitaiError, TransportFailed
from civitai_skill.purchase.events import Submitting
from civitai_skill.sandbox import Sandbox
from civitai_skill.servers.session import Caller, ServerSession, choose_folder


@pytest.fixture
async def session(sandbox: Sandbox, tmp_path: Path) -> ServerSession:
    return ServerSession(AsyncCivitai(sandbox=sandbox, home=tmp_path))


async def test_kept_work_ends_though_its_caller_left(session: ServerSession) -> None:
    ended = []

    async def work() -> None:
        await asyncio.sleep(0.05)
        ended.append(True)

    caller = asyncio.ensure_future(session.run_to_end(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    assert ended == []
    await session.close()
    assert ended == [True]


@pytest.mark.parametrize(
    ("error", "reported"),
    [(ZeroDivisionError("a defect"), True), (TransportFailed("the service's trouble"), False)],
)
async def test_a_defect_in_kept_work_is_reported_though_its_caller_left(
    session: ServerSession, error: Exception, reported: bool
) -> None:
    begun, left, told = asyncio.Event(), asyncio.Event(), []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: told.append(context.get("exception")))

    async def work() -> None:
        begun.set()
        await left.wait()
        raise error

    caller = asyncio.ensure_future(session.run_to_end(work()))
    await begun.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    left.set()
    await session.close()
    assert told == ([error] if reported else [])


async def test_the_end_waits_for_kept_work_only_so_long(session: ServerSession) -> None:
    session.grace = 0.05
    caller = asyncio.ensure_future(session.run_to_end(asyncio.sleep(60)))
    await asyncio.sleep(0.01)
    await asyncio.wait_for(session.close(), 5)
    with pytest.raises(TransportFailed, match="ended before") as caught:
        await caller
    assert caught.value.spent == "no"


async def test_the_end_tells_what_may_have_been_sent(session: ServerSession) -> None:
    waiting = Caller(session)
    assert waiting.stopped_error().spent == "no"
    waiting(Submitting("key"))
    cut_short = waiting.stopped_error()
    assert (cut_short.spent, cut_short.resumable) == ("unknown", True)
    session.grace = 0.05
    caller = asyncio.ensure_future(session.run_to_end(asyncio.sleep(60), waiting))
    await asyncio.sleep(0.01)
    await asyncio.wait_for(session.close(), 5)
    with pytest.raises(TransportFailed, match="ended before") as caught:
        await caller
    assert caught.value.spent == "unknown"


async def test_work_that_only_looks_is_dropped_at_the_end(session: ServerSession) -> None:
    looking = asyncio.ensure_future(session.run_until_stopped(asyncio.sleep(60, "seen")))
    await asyncio.sleep(0.01)
    session.stop()
    assert await asyncio.wait_for(looking, 5) is None
    await session.close()


async def test_work_that_is_done_first_gives_its_outcome_or_its_error(
    session: ServerSession,
) -> None:
    async def fail() -> None:
        raise TransportFailed("no")

    assert await session.run_until_stopped(asyncio.sleep(0, "seen")) == "seen"
    with pytest.raises(CivitaiError):
        await session.run_until_stopped(fail())
    with pytest.raises(CivitaiError):
        await session.run_to_end(fail())
    await session.close()


def test_pictures_go_where_they_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path)
    assert choose_folder(tmp_path / "state") == tmp_path / "pictures"
    assert not (tmp_path / "pictures").exists(), "nothing was made yet"
    monkeypatch.chdir("/proc")  # where not even root can write, as Claude Desktop starts one in /
    there = tmp_path / "user" / "Pictures" / "civitai-skill"
    assert choose_folder(tmp_path / "state") == there
    assert not there.exists()
    monkeypatch.setenv("HOME", "/proc/nobody")
    assert choose_folder(tmp_path / "state") == tmp_path / "state" / "pictures"
    assert choose_folder(Path("/proc/state")) == Path("/proc/pictures")
