"""Record the cassettes again.

    python scripts/record_cassettes.py                              all of them, with the sandbox
    CIVITAI_API_KEY=... python scripts/record_cassettes.py --live   says what it would cost
    CIVITAI_API_KEY=... python scripts/record_cassettes.py --live --yes

Live, the cheapest settings are used, and what can't be had on demand stays as the sandbox made it.
What a cassette builds on is recorded with it. One that does not show what it should, or holds what
belongs to an account, is not kept: the old file stays, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import vcr
import yaml
from anyio.from_thread import start_blocking_portal
from cassette_scrub import suspicions, vcr_config
from PIL import Image

from civitai_skill import Civitai, CivitaiError, Retry
from civitai_skill.config import SERVICE_URL, Settings
from civitai_skill.sandbox import Sandbox
from civitai_skill.sandbox.port import listening

FOLDER = Path(__file__).resolve().parent.parent / "cassettes"
SANDBOX = "the sandbox, not the service"
STAND_IN = "a stand-in at another address, not the service"
TAG = "cassette"
#: The cheapest picture: klein 4b, 4 steps. It costs 2 Buzz.
CHEAPEST: dict[str, Any] = {"engine": "flux2", "quality": "draft", "seed": 7}
BUZZ = 2


# -- what is recorded ------------------------------------------------------------------------------
@dataclass(frozen=True)
class Place:
    """Where pictures go, how to let time pass, and what sets the keys of this run apart."""

    out: Path
    sleep: Callable[[float], None] = lambda seconds: None
    run: str = ""

    def named(self, name: str) -> dict[str, Any]:
        return {**CHEAPEST, "tags": [TAG], "external_id": f"cassette-{name}{self.run}"}


@dataclass(frozen=True)
class Scenario:
    """One cassette: what is done, how to see in its outcome that it shows what it should, what the
    sandbox is told before, which others it builds on, what it costs live (Buzz)."""

    name: str
    act: Callable[[Any, Place], Any]
    shows: Callable[[dict[str, Any]], Any]
    faults: tuple[dict[str, Any], ...] = ()
    live: bool = True
    buzz: int = 0
    key: str | None = None
    needs: tuple[str, ...] = ()

    def play(self, client: Any, place: Place) -> dict[str, Any]:
        """Do it; gives what came of it. `client` answers without waiting to be awaited."""
        try:
            outcome = self.act(client, place)
        except CivitaiError as error:
            return {"error": error.code, "spent": error.spent}
        return outcome if isinstance(outcome, dict) else {"error": None}


def _estimate(client: Any, place: Place) -> dict[str, Any]:
    return {"buzz": client.estimate("a red fox", **CHEAPEST).total}


def _generate(client: Any, place: Place) -> dict[str, Any]:
    made = client.generate("a red fox", out=place.out, **place.named("generate"))
    saved = sum(path.is_file() for path in made.paths)
    return {"status": made.status, "saved": saved, "seeds": [p.seed for p in made.pictures]}


def _queued(client: Any, place: Place) -> dict[str, Any]:
    workflow = client.submit("a red fox at dusk", **place.named("queued-1"))
    seen = [workflow.status]
    while not workflow.done:
        place.sleep(0.7)
        workflow = client.get(workflow.id)
        if workflow.status != seen[-1]:
            seen.append(workflow.status)
    return {"statuses": seen}


def _download(client: Any, place: Place) -> dict[str, Any]:
    workflow = client.submit("a red fox", **place.named("generate"))
    got = client.download(workflow.id, place.out)
    return {"answered_at_once": workflow.done, "saved": len(got.paths)}


def _pages(client: Any, place: Place) -> dict[str, Any]:
    first = client.page(tags=[TAG], take=1)
    second = client.page(first.next, tags=[TAG], take=1)
    rows = [w.id for page in (first, second) for w in page.items]
    return {"rows": len(rows), "different": len(set(rows)), "more": first.next is not None}


def _cancel(client: Any, place: Place) -> dict[str, Any]:
    prompt = "a red fox, slowly [sandbox:slow=60]"
    canceled = client.cancel(client.submit(prompt, **place.named("cancel-1")).id)
    return {"status": canceled.workflow.status, "refunded": canceled.refunded}


def _upload(client: Any, place: Place) -> dict[str, Any]:
    source = place.out / "source.png"
    Image.effect_noise((1024, 1024), 100).save(source)  # too large to travel inside the body
    return {"buzz": client.estimate("bluer", images=[str(source)], **CHEAPEST).total}


def _rate_limited(client: Any, place: Place) -> Any:
    quote = client.estimate("a red fox, soon", **CHEAPEST)
    try:
        client.estimate("a red fox, later", **CHEAPEST)
    except CivitaiError as error:
        return {"after_a_pause": quote.total, "error": error.code, "spent": error.spent}


def _ends(how: str) -> Callable[[Any, Place], Any]:
    prompt = f"a red fox [sandbox:{how}]"
    return lambda client, place: client.generate(prompt, out=place.out, **place.named(how))


def _poor(client: Any, place: Place) -> Any:
    return client.submit("a red fox on credit", **place.named("poor"), currencies=["yellow"])


_LIMITED = ("rate_limited", "no")
_429 = {"on": "whatif", "kind": "status", "status": 429}
_401 = {"on": "any", "kind": "status", "status": 401, "times": None}
SCENARIOS = (
    Scenario("estimate", _estimate, lambda o: o.get("buzz")),
    Scenario("submit-and-wait", _generate,
             lambda o: (o.get("status"), o.get("saved")) == ("succeeded", 1), buzz=BUZZ),
    Scenario("queued-to-succeeded", _queued,
             lambda o: o.get("statuses", [])[1:][-1:] == ["succeeded"], buzz=BUZZ),
    Scenario("download", _download, lambda o: o == {"answered_at_once": True, "saved": 1},
             needs=("submit-and-wait",)),
    Scenario("query-two-pages", _pages, lambda o: o == {"rows": 2, "different": 2, "more": True},
             needs=("submit-and-wait", "queued-to-succeeded")),
    Scenario("cancel", _cancel,
             lambda o: o.get("status") == "canceled" and o["refunded"] is not None, buzz=BUZZ),
    Scenario("upload", _upload, lambda o: o.get("buzz")),
    Scenario("failed", _ends("failed"),
             lambda o: o == {"error": "workflow_failed", "spent": "no"}, live=False),
    Scenario("blocked", _ends("blocked"), lambda o: o["error"] == "workflow_failed", live=False),
    Scenario("rate-limited", _rate_limited,
             lambda o: o.get("after_a_pause") and (o["error"], o["spent"]) == _LIMITED,
             (_429, {**_429, "retry_after": 30, "skip": 1}), live=False),
    Scenario("bad-key", lambda client, place: client.estimate("a red fox", **CHEAPEST),
             lambda o: o == {"error": "unauthorized", "spent": "no"}, (_401,), key="not-a-key"),
    Scenario("not-enough-buzz", _poor,
             lambda o: o == {"error": "not_enough_buzz", "spent": "no"}, live=False),
)  # fmt: skip
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


# -- recording -------------------------------------------------------------------------------------
def settings(base_url: str, key: str = "a-key-that-is-never-recorded") -> dict[str, Any]:
    """A client for a scenario; it gives up where it is told to wait longer than a second."""
    retry = Retry(first=0.001, cap=0.01, patience=1)
    return {"key": key, "base_url": base_url, "retry": retry, "ledger": False}


def record(scenario: Scenario, given: dict[str, Any], made_with: str, run: str) -> list[str]:
    """Write one cassette; gives why not, and leaves the old file, where it is not what it should
    be. The file says at its top with what it was made, and what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cassette.yaml"
        recording = vcr.use_cassette(str(path), record_mode="all", **vcr_config(given["base_url"]))
        with Civitai(**given) as client, recording:
            outcome = scenario.play(client, Place(Path(folder), time.sleep, run))
        about = {"made_with": made_with, "recorded": f"{datetime.now(UTC):%Y-%m-%d}"}
        text = yaml.safe_dump({**about, "outcome": outcome}, sort_keys=False) + path.read_text()
    print(f"{scenario.name}: {outcome}")
    if not scenario.shows(outcome):
        return [f"{name} is {value!r}" for name, value in outcome.items()]
    wrong = list(suspicions(text))
    if not wrong:
        (FOLDER / f"{scenario.name}.yaml").write_text(text)
    return wrong


def record_all(chosen: Sequence[Scenario], base_url: str, key: str, made_with: str) -> int:
    """Record one after the other; gives the exit code, 1 where any was not kept."""
    run = f"-run{secrets.token_hex(4)}"
    failed: list[str] = []
    for scenario in chosen:
        wrong = [f"it builds on {name}" for name in scenario.needs if name in failed]
        if not wrong:
            if made_with == SANDBOX:
                faults = list(scenario.faults)
                httpx.post(f"{base_url}/_sandbox/faults?replace=true", json=faults)
            wrong = record(scenario, settings(base_url, scenario.key or key), made_with, run)
        if wrong:
            failed.append(scenario.name)
            print(f"{scenario.name}: not kept: {'; '.join(wrong)}", file=sys.stderr)
    return 1 if failed else 0


@contextmanager
def sandbox_port() -> Iterator[str]:
    """The sandbox on a port of this machine; gives its address."""
    box = Sandbox(seconds_per_job=3, balance={"blue": 1000, "yellow": 0})
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(listening(box)) as address,
    ):
        yield address


def main(words: Sequence[str] | None = None) -> int:
    """Record; gives the exit code."""
    parser = argparse.ArgumentParser(description="Record the cassettes again.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only: {', '.join(BY_NAME)}")
    parser.add_argument("--live", action="store_true", help="with the real service")
    parser.add_argument("--yes", action="store_true", help="yes, spend the Buzz")
    given = parser.parse_args(words)
    if unknown := set(given.names) - set(BY_NAME):
        parser.error(f"there is no scenario {', '.join(unknown)}")
    names = {
        n for s in map(BY_NAME.__getitem__, given.names or BY_NAME) for n in (s.name, *s.needs)
    }
    chosen = [s for s in SCENARIOS if s.name in names and (s.live or not given.live)]
    if not given.live:
        with sandbox_port() as address:
            return record_all(chosen, address, "a-key", SANDBOX)
    found = Settings.load(sandbox=False)
    key = found.require_key().reveal()
    print(f"Recording {', '.join(s.name for s in chosen)} at {found.base_url}.")
    print(f"It spends about {sum(s.buzz for s in chosen)} Buzz of the account behind this key.")
    if not given.yes:
        print("Nothing was sent. Say --yes to go on.")
        return 2
    real = httpx.URL(found.base_url).host == httpx.URL(SERVICE_URL).host
    return record_all(chosen, found.base_url, key, "the service" if real else STAND_IN)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CivitaiError as error:
        sys.exit(f"{error.message} {error.hint}")
