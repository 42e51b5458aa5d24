"""Record the cassettes again.

    python scripts/record_cassettes.py                              all of them, with the sandbox
    CIVITAI_API_KEY=... python scripts/record_cassettes.py --live   says what it would cost
    CIVITAI_API_KEY=... python scripts/record_cassettes.py --live --yes

Live, the cheapest settings are used, and what can't be had on demand (failures, refusals, an empty
account) stays as the sandbox made it. Each file says at its top with what it was made.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import vcr

sys.path.insert(0, str(Path(__file__).resolve().parent))

from cassette_format import FOLDER, PICTURE, Readable, suspicions, vcr_config

from civitai_skill import AsyncCivitai, Civitai, CivitaiError, Retry
from civitai_skill.config import Settings

KEY = "a-key-that-is-never-recorded"
TAG = "cassette"
#: The cheapest picture: klein 4b, 4 steps.
CHEAPEST: dict[str, Any] = {"engine": "flux2", "quality": "draft"}
BUZZ = 2

#: A call on a client, or the seconds to let pass while recording.
Ask = Callable[[Any], Any] | float
Steps = Generator[Ask, Any, dict[str, Any]]


@dataclass(frozen=True)
class Scenario:
    """One cassette: what is done, what the sandbox is told before, what it costs live (Buzz)."""

    name: str
    steps: Callable[[Path], Steps]
    faults: tuple[dict[str, Any], ...] = ()
    live: bool = True
    buzz: int = 0
    key: str | None = None


# -- what is recorded ------------------------------------------------------------------------------
def _named(name: str) -> dict[str, Any]:
    return {**CHEAPEST, "seed": 7, "tags": [TAG], "external_id": f"cassette-{name}"}


def _estimate(out: Path) -> Steps:
    quote = yield lambda c: c.estimate("a red fox", seed=7, **CHEAPEST)
    return {"buzz": quote.total}


def _generate(out: Path) -> Steps:
    made = yield lambda c: c.generate("a red fox", out=out, **_named("generate"))
    saved = sum(path.is_file() for path in made.paths)
    return {"status": made.status, "saved": saved, "seeds": [p.seed for p in made.pictures]}


def _queued(out: Path) -> Steps:
    prompt = "a red fox at dusk"
    workflow = yield lambda c: c.submit(prompt, **_named("queued-1"))
    seen = [workflow.status]
    while not workflow.done:
        yield 0.7
        known = workflow.id
        workflow = yield lambda c, known=known: c.get(known)
        if workflow.status != seen[-1]:
            seen.append(workflow.status)
    return {"statuses": seen}


def _download(out: Path) -> Steps:
    workflow = yield lambda c: c.submit("a red fox", **_named("generate"))
    got = yield lambda c: c.download(workflow.id, out)
    return {"answered_at_once": workflow.done, "saved": len(got.paths)}


def _pages(out: Path) -> Steps:
    first = yield lambda c: c.page(tags=[TAG], take=1)
    second = yield lambda c: c.page(first.next, tags=[TAG], take=1)
    rows = [w.id for page in (first, second) for w in page.items]
    return {"rows": len(rows), "different": len(set(rows)), "more": first.next is not None}


def _cancel(out: Path) -> Steps:
    prompt = "a red fox, slowly [sandbox:slow=60]"
    workflow = yield lambda c: c.submit(prompt, **_named("cancel-1"))
    canceled = yield lambda c: c.cancel(workflow.id)
    return {"status": canceled.workflow.status, "refunded": canceled.refunded}


def _upload(out: Path) -> Steps:
    source = out / "source.png"
    source.write_bytes(PICTURE)
    # A source this small would travel inside the body.
    with mock.patch("civitai_skill.pricing.INLINE_BYTES", 0):
        quote = yield lambda c: c.estimate("bluer", images=[str(source)], seed=7, **CHEAPEST)
    return {"buzz": quote.total}


def _refused(call: Callable[[Any], Any]) -> Steps:
    try:
        yield call
    except CivitaiError as error:
        return {"error": error.code, "buzz_spent": error.spent}
    return {"error": None}


def _failed(out: Path) -> Steps:
    prompt = "a red fox [sandbox:failed]"
    return _refused(lambda c: c.generate(prompt, out=out, **_named("failed")))


def _blocked(out: Path) -> Steps:
    prompt = "a red fox [sandbox:blocked]"
    return _refused(lambda c: c.generate(prompt, out=out, **_named("blocked")))


def _rate_limited(out: Path) -> Steps:
    quote = yield lambda c: c.estimate("a red fox, soon", seed=7, **CHEAPEST)
    end = yield from _refused(lambda c: c.estimate("a red fox, later", seed=7, **CHEAPEST))
    return {"after_a_pause": quote.total, "at_last": end}


def _bad_key(out: Path) -> Steps:
    return _refused(lambda c: c.estimate("a red fox", seed=7, **CHEAPEST))


def _poor(out: Path) -> Steps:
    terms = {**_named("poor"), "currencies": ["yellow"]}
    return _refused(lambda c: c.submit("a red fox on credit", **terms))


SCENARIOS: tuple[Scenario, ...] = (
    Scenario("estimate", _estimate),
    Scenario("submit-and-wait", _generate, buzz=BUZZ),
    Scenario("queued-to-succeeded", _queued, buzz=BUZZ),
    Scenario("download", _download),
    Scenario("query-two-pages", _pages),
    Scenario("cancel", _cancel, buzz=BUZZ),
    Scenario("upload", _upload),
    Scenario("failed", _failed, live=False),
    Scenario("blocked", _blocked, live=False),
    Scenario(
        "rate-limited",
        _rate_limited,
        (
            {"on": "whatif", "kind": "status", "status": 429},
            {"on": "whatif", "kind": "status", "status": 429, "retry_after": 30, "skip": 1},
        ),
        live=False,
    ),
    Scenario(
        "bad-key",
        _bad_key,
        ({"on": "any", "kind": "status", "status": 401, "times": None},),
        key="not-a-key",
    ),
    Scenario("not-enough-buzz", _poor, live=False),
)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


# -- running them ----------------------------------------------------------------------------------
def settings(base_url: str, key: str = KEY) -> dict[str, Any]:
    """A client for a scenario; it gives up where it is told to wait longer than a second."""
    retry = Retry(first=0.001, cap=0.01, patience=1)
    return {"key": key, "base_url": base_url, "retry": retry, "ledger": False}


def run(scenario: Scenario, client: Civitai, out: Path, pause: float = 0.0) -> dict[str, Any]:
    """Do what a scenario says and give what came of it."""
    steps = scenario.steps(out)
    try:
        ask = next(steps)
        while True:
            if isinstance(ask, float):
                threading.Event().wait(ask * pause)
                ask = next(steps)
                continue
            try:
                value = ask(client)
            except CivitaiError as error:
                ask = steps.throw(error)
            else:
                ask = steps.send(value)
    except StopIteration as end:
        return dict(end.value)


async def arun(scenario: Scenario, client: AsyncCivitai, out: Path) -> dict[str, Any]:
    """The same without blocking; nothing is paused for, because it replays."""
    steps = scenario.steps(out)
    try:
        ask = next(steps)
        while True:
            if isinstance(ask, float):
                ask = next(steps)
                continue
            try:
                value = await ask(client)
            except CivitaiError as error:
                ask = steps.throw(error)
            else:
                ask = steps.send(value)
    except StopIteration as end:
        return dict(end.value)


def record(scenario: Scenario, base_url: str, key: str, made_with: str) -> dict[str, Any]:
    """Write one cassette; gives what came of it, which the file says too."""
    about = {"made_with": made_with, "recorded": f"{datetime.now(UTC):%Y-%m-%d}", "outcome": {}}
    recorder = vcr.VCR(record_mode="all")
    recorder.register_serializer("yaml", Readable(lambda: about))
    path = FOLDER / f"{scenario.name}.yaml"
    path.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as out:
        given = settings(base_url, scenario.key or key)
        with (
            Civitai(**given) as client,
            recorder.use_cassette(str(path), **vcr_config(base_url)),
        ):
            about["outcome"] = run(scenario, client, Path(out), pause=1.0)
    private = list(suspicions(path.read_text()))
    if private:
        path.unlink()
        sys.exit(f"{path.name} was not kept: {'; '.join(private)}")
    return about


@contextmanager
def sandbox_port() -> Iterator[str]:
    """The sandbox on a port of this machine; gives its address."""
    from civitai_skill.sandbox import Sandbox
    from civitai_skill.sandbox.port import listening

    ready, stop = threading.Event(), asyncio.Event()
    found: dict[str, Any] = {}

    async def serve() -> None:
        box = Sandbox(seconds_per_job=3, balance={"blue": 1000, "yellow": 0})
        async with listening(box) as address:
            found.update(address=address, loop=asyncio.get_running_loop())
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield found["address"]
    finally:
        found["loop"].call_soon_threadsafe(stop.set)
        thread.join()


def main(words: Sequence[str] | None = None) -> int:
    """Record; gives the exit code."""
    parser = argparse.ArgumentParser(description="Record the cassettes again.")
    parser.add_argument("names", nargs="*", help=f"only these: {', '.join(BY_NAME)}")
    parser.add_argument("--live", action="store_true", help="with the real service")
    parser.add_argument("--yes", action="store_true", help="yes, spend the Buzz")
    given = parser.parse_args(words)
    unknown = [name for name in given.names if name not in BY_NAME]
    if unknown:
        parser.error(f"there is no scenario {unknown[0]!r}; there are {', '.join(BY_NAME)}")
    chosen = [BY_NAME[name] for name in given.names] or list(SCENARIOS)
    FOLDER.mkdir(exist_ok=True)
    if given.live:
        return _record_live([s for s in chosen if s.live], given.yes)
    with sandbox_port() as address:
        for scenario in chosen:
            httpx.post(f"{address}/_sandbox/faults?replace=true", json=list(scenario.faults))
            about = record(scenario, address, KEY, "the sandbox, not the service")
            print(f"{scenario.name}: {about['outcome']}")
    return 0


def _record_live(chosen: list[Scenario], yes: bool) -> int:
    found = Settings.load(sandbox=False)
    key = found.require_key().reveal()
    most = sum(scenario.buzz for scenario in chosen)
    print(f"Recording {', '.join(s.name for s in chosen)} at {found.base_url}.")
    print(f"It spends about {most} Buzz of the account behind this key.")
    if not yes:
        print("Nothing was sent. Say --yes to go on.")
        return 2
    for scenario in chosen:
        about = record(scenario, found.base_url, key, "the service")
        print(f"{scenario.name}: {about['outcome']}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CivitaiError as error:
        sys.exit(f"{error.message} {error.hint}")
