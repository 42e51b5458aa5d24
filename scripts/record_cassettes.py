"""Record the cassettes again.

    python scripts/record_cassettes.py                              all of them, with the sandbox
    CIVITAI_API_KEY=... python scripts/record_cassettes.py --live   says what it would cost
    CIVITAI_API_KEY=... python scripts/record_cassettes.py --live --yes

Live, the cheapest settings are used, and what can't be had on demand (failures, refusals, an empty
account) stays as the sandbox made it. Each file says at its top with what it was made. What a
cassette builds on is recorded with it, and one that does not show what it should is not kept: the
old file stays, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import vcr

sys.path.insert(0, str(Path(__file__).resolve().parent))

from cassette_format import FOLDER, PICTURE, RUN, Readable, suspicions, urlhost, vcr_config

from civitai_skill import AsyncCivitai, Civitai, CivitaiError, Retry
from civitai_skill.config import SERVICE_URL, Settings

KEY = "a-key-that-is-never-recorded"
TAG = "cassette"
#: The cheapest picture: klein 4b, 4 steps.
CHEAPEST: dict[str, Any] = {"engine": "flux2", "quality": "draft"}
BUZZ = 2

_SANDBOX = "the sandbox, not the service"
_STAND_IN = "a stand-in at another address, not the service"

#: A call on a client, or the seconds to let pass while recording.
Ask = Callable[[Any], Any] | float
Steps = Generator[Ask, Any, dict[str, Any]]


@dataclass(frozen=True)
class Place:
    """Where pictures go, and what sets the keys of this run apart from those of any other."""

    out: Path
    run: str = ""

    def named(self, name: str) -> dict[str, Any]:
        return {**CHEAPEST, "seed": 7, "tags": [TAG], "external_id": f"cassette-{name}{self.run}"}


@dataclass(frozen=True)
class Scenario:
    """One cassette: what is done, what must come of it, what the sandbox is told before, which
    others it builds on, what it costs live (Buzz).

    What must come of it are values, or questions about them.
    """

    name: str
    steps: Callable[[Place], Steps]
    shows: Mapping[str, Any]
    faults: tuple[dict[str, Any], ...] = ()
    live: bool = True
    buzz: int = 0
    key: str | None = None
    needs: tuple[str, ...] = ()

    def missed(self, outcome: Mapping[str, Any]) -> list[str]:
        """Where an outcome is not as it must be."""
        return [
            f"{name} is {outcome.get(name)!r}"
            for name, wanted in self.shows.items()
            if not (wanted(outcome.get(name)) if callable(wanted) else wanted == outcome.get(name))
        ]


# -- what is recorded ------------------------------------------------------------------------------
def _estimate(place: Place) -> Steps:
    quote = yield lambda c: c.estimate("a red fox", seed=7, **CHEAPEST)
    return {"buzz": quote.total}


def _generate(place: Place) -> Steps:
    made = yield lambda c: c.generate("a red fox", out=place.out, **place.named("generate"))
    saved = sum(path.is_file() for path in made.paths)
    return {"status": made.status, "saved": saved, "seeds": [p.seed for p in made.pictures]}


def _queued(place: Place) -> Steps:
    prompt = "a red fox at dusk"
    workflow = yield lambda c: c.submit(prompt, **place.named("queued-1"))
    seen = [workflow.status]
    while not workflow.done:
        yield 0.7
        known = workflow.id
        workflow = yield lambda c, known=known: c.get(known)
        if workflow.status != seen[-1]:
            seen.append(workflow.status)
    return {"statuses": seen}


def _download(place: Place) -> Steps:
    workflow = yield lambda c: c.submit("a red fox", **place.named("generate"))
    got = yield lambda c: c.download(workflow.id, place.out)
    return {"answered_at_once": workflow.done, "saved": len(got.paths)}


def _pages(place: Place) -> Steps:
    first = yield lambda c: c.page(tags=[TAG], take=1)
    second = yield lambda c: c.page(first.next, tags=[TAG], take=1)
    rows = [w.id for page in (first, second) for w in page.items]
    return {"rows": len(rows), "different": len(set(rows)), "more": first.next is not None}


def _cancel(place: Place) -> Steps:
    prompt = "a red fox, slowly [sandbox:slow=60]"
    workflow = yield lambda c: c.submit(prompt, **place.named("cancel-1"))
    canceled = yield lambda c: c.cancel(workflow.id)
    return {"status": canceled.workflow.status, "refunded": canceled.refunded}


def _upload(place: Place) -> Steps:
    source = place.out / "source.png"
    source.write_bytes(PICTURE)
    # A source this small would travel inside the body.
    with mock.patch("civitai_skill.purchase.price.INLINE_BYTES", 0):
        quote = yield lambda c: c.estimate("bluer", images=[str(source)], seed=7, **CHEAPEST)
    return {"buzz": quote.total}


def _refused(call: Callable[[Any], Any]) -> Steps:
    try:
        yield call
    except CivitaiError as error:
        return {"error": error.code, "buzz_spent": error.spent}
    return {"error": None}


def _failed(place: Place) -> Steps:
    prompt = "a red fox [sandbox:failed]"
    return _refused(lambda c: c.generate(prompt, out=place.out, **place.named("failed")))


def _blocked(place: Place) -> Steps:
    prompt = "a red fox [sandbox:blocked]"
    return _refused(lambda c: c.generate(prompt, out=place.out, **place.named("blocked")))


def _rate_limited(place: Place) -> Steps:
    quote = yield lambda c: c.estimate("a red fox, soon", seed=7, **CHEAPEST)
    end = yield from _refused(lambda c: c.estimate("a red fox, later", seed=7, **CHEAPEST))
    return {"after_a_pause": quote.total, "at_last": end}


def _bad_key(place: Place) -> Steps:
    return _refused(lambda c: c.estimate("a red fox", seed=7, **CHEAPEST))


def _poor(place: Place) -> Steps:
    terms = {**place.named("poor"), "currencies": ["yellow"]}
    return _refused(lambda c: c.submit("a red fox on credit", **terms))


def _some(value: Any) -> bool:
    return value is not None


def _passes_on(statuses: Any) -> bool:
    return len(statuses) > 1 and statuses[-1] == "succeeded"


SCENARIOS: tuple[Scenario, ...] = (
    Scenario("estimate", _estimate, {"buzz": _some}),
    Scenario("submit-and-wait", _generate, {"status": "succeeded", "saved": 1}, buzz=BUZZ),
    Scenario("queued-to-succeeded", _queued, {"statuses": _passes_on}, buzz=BUZZ),
    Scenario(
        "download", _download, {"answered_at_once": True, "saved": 1}, needs=("submit-and-wait",)
    ),
    Scenario(
        "query-two-pages",
        _pages,
        {"rows": 2, "different": 2, "more": True},
        needs=("submit-and-wait", "queued-to-succeeded"),
    ),
    Scenario("cancel", _cancel, {"status": "canceled", "refunded": _some}, buzz=BUZZ),
    Scenario("upload", _upload, {"buzz": _some}),
    Scenario("failed", _failed, {"error": "workflow_failed", "buzz_spent": "no"}, live=False),
    Scenario("blocked", _blocked, {"error": "workflow_failed"}, live=False),
    Scenario(
        "rate-limited",
        _rate_limited,
        {"after_a_pause": _some, "at_last": {"error": "rate_limited", "buzz_spent": "no"}},
        (
            {"on": "whatif", "kind": "status", "status": 429},
            {"on": "whatif", "kind": "status", "status": 429, "retry_after": 30, "skip": 1},
        ),
        live=False,
    ),
    Scenario(
        "bad-key",
        _bad_key,
        {"error": "unauthorized", "buzz_spent": "no"},
        ({"on": "any", "kind": "status", "status": 401, "times": None},),
        key="not-a-key",
    ),
    Scenario(
        "not-enough-buzz", _poor, {"error": "not_enough_buzz", "buzz_spent": "no"}, live=False
    ),
)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


# -- running them ----------------------------------------------------------------------------------
def settings(base_url: str, key: str = KEY) -> dict[str, Any]:
    """A client for a scenario; it gives up where it is told to wait longer than a second."""
    retry = Retry(first=0.001, cap=0.01, patience=1)
    return {"key": key, "base_url": base_url, "retry": retry, "ledger": False}


def run(
    scenario: Scenario, client: Civitai, out: Path, pause: float = 0.0, run: str = ""
) -> dict[str, Any]:
    """Do what a scenario says and give what came of it."""
    steps = scenario.steps(Place(out, run))
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
    steps = scenario.steps(Place(out))
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


def record(
    scenario: Scenario, base_url: str, key: str, made_with: str, run_key: str
) -> dict[str, Any]:
    """Write one cassette; gives what came of it, which the file says too.

    Raises NotKept, and leaves the old file, where it is not what it should be.
    """
    about = {"made_with": made_with, "recorded": f"{datetime.now(UTC):%Y-%m-%d}", "outcome": {}}
    recorder = vcr.VCR(record_mode="all")
    recorder.register_serializer("yaml", Readable(lambda: about))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cassette.yaml"
        given = settings(base_url, scenario.key or key)
        with (
            Civitai(**given) as client,
            recorder.use_cassette(str(path), **vcr_config(base_url)),
        ):
            try:
                about["outcome"] = run(scenario, client, Path(folder), 1.0, run_key)
            except CivitaiError as error:
                raise NotKept(f"{error.message} {error.hint}") from None
        missed = scenario.missed(about["outcome"]) or list(suspicions(path.read_text()))
        if missed:
            raise NotKept("; ".join(missed))
        shutil.copyfile(path, FOLDER / f"{scenario.name}.yaml")
    return about


class NotKept(Exception):
    """A recording is not what it should be."""


def record_all(chosen: Sequence[Scenario], base_url: str, key: str, made_with: str) -> int:
    """Record one after the other; gives the exit code, 1 where any was not kept."""
    run_key = RUN.format(secrets.token_hex(4))
    failed: list[str] = []
    for scenario in chosen:
        lacking = [name for name in scenario.needs if name in failed]
        try:
            if lacking:
                raise NotKept(f"it builds on {', '.join(lacking)}")
            if made_with == _SANDBOX:
                faults = list(scenario.faults)
                httpx.post(f"{base_url}/_sandbox/faults?replace=true", json=faults)
            about = record(scenario, base_url, key, made_with, run_key)
        except NotKept as why:
            failed.append(scenario.name)
            print(f"{scenario.name}: not kept: {why}", file=sys.stderr)
        else:
            print(f"{scenario.name}: {about['outcome']}")
    return 1 if failed else 0


def with_needs(chosen: Sequence[Scenario]) -> list[Scenario]:
    """Those chosen and what they build on, in the order of recording."""
    names = {name for scenario in chosen for name in (scenario.name, *scenario.needs)}
    return [scenario for scenario in SCENARIOS if scenario.name in names]


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
    chosen = with_needs([BY_NAME[name] for name in given.names] or SCENARIOS)
    FOLDER.mkdir(exist_ok=True)
    if given.live:
        return _record_live([s for s in chosen if s.live], given.yes)
    with sandbox_port() as address:
        return record_all(chosen, address, KEY, _SANDBOX)


def _record_live(chosen: list[Scenario], yes: bool) -> int:
    found = Settings.load(sandbox=False)
    key = found.require_key().reveal()
    most = sum(scenario.buzz for scenario in chosen)
    real = urlhost(found.base_url) == urlhost(SERVICE_URL)
    print(f"Recording {', '.join(s.name for s in chosen)} at {found.base_url}.")
    print(f"It spends about {most} Buzz of the account behind this key.")
    if not yes:
        print("Nothing was sent. Say --yes to go on.")
        return 2
    return record_all(chosen, found.base_url, key, "the service" if real else _STAND_IN)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CivitaiError as error:
        sys.exit(f"{error.message} {error.hint}")
