"""Commands and programs that are killed at random, over a service that fails: who pays twice?

    python benchmarks/client_kills.py [--way generate] [--purchases 500] [--seconds 600]

`generate`, `batch` and Python buy from a sandbox that fails a quarter of its answers. Their
processes (forks of this one, which has loaded everything) are killed by SIGKILL, SIGTERM or SIGINT
at random instants, or kill themselves at a named point: before or after a write to the ledger, a
request, a picture's rename, a flush of the answer. The same is repeated until it has its answer.
Printed: purchases, what was charged, processes, kills, exit codes, pictures that are not whole.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fleet
import httpx
from PIL import Image

from civitai_skill import Civitai, CivitaiError
from civitai_skill.adapters.cli import main as run_command
from civitai_skill.adapters.cli.streams import Stream
from civitai_skill.storage import sqlite

REQUEST = {"engine": "sd1", "width": 64, "height": 64}
WORDS = ["--engine", "sd1", "--width", "64", "--height", "64"]
PRICE = 1
#: Processes at the same time, and the rows of a batch.
SLOTS, ROWS = 6, 25
#: How a process that was not killed may end: with its answer, or without one and with a reason.
GOOD_CODES = {0, 6, 7, 8, 128 + signal.SIGINT, 128 + signal.SIGTERM}
KINDS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@dataclass
class Figures:
    """What a run came to."""

    purchases: int = 0
    charged: int = 0
    processes: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    tracebacks: int = 0
    unanswered: int = 0
    wrong: list[str] = field(default_factory=list)
    log: str = field(default="", repr=False)

    @property
    def clean(self) -> bool:
        """Was each paid for once, and answered?"""
        faults = self.unanswered or self.tracebacks or self.wrong
        return not faults and self.charged == self.purchases * PRICE


# -- in the process that is killed -----------------------------------------------------------------
def die_at(n: int) -> None:
    """Let this process kill itself at the n-th of the named points."""
    left = [n]

    def pass_point() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def guard(owner: Any, name: str) -> None:
        real: Callable[..., Any] = getattr(owner, name)

        def guarded(*given: Any, **named: Any) -> Any:
            pass_point()
            found = real(*given, **named)
            pass_point()
            return found

        setattr(owner, name, guarded)

    transaction = sqlite.Storage.transaction

    @contextlib.contextmanager
    def guarded(*given: Any, **named: Any) -> Iterator[Any]:
        pass_point()
        with transaction(*given, **named) as db:
            yield db
            pass_point()
        pass_point()

    sqlite.Storage.transaction = guarded  # type: ignore[method-assign, assignment]
    guard(httpx.HTTPTransport, "handle_request")
    guard(httpx.AsyncHTTPTransport, "handle_async_request")
    for name in ("replace", "link", "rename"):
        guard(os, name)
    guard(Stream, "flush")


def in_child(folder: Path, answer: Path, point: int | None, work: Callable[[], int]) -> int:
    """Fork; the child does the work with its output in files. Gives its process id."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        return pid
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # deaf, from a background job
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        os.chdir(folder)
        for number, path, mode in ((1, answer, "wb"), (2, folder / "log", "ab")):
            with path.open(mode) as file:
                os.dup2(file.fileno(), number)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        if point is not None:
            die_at(point)
        code = work()
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


# -- the three ways --------------------------------------------------------------------------------
@dataclass
class Job:
    """Something that is repeated until it has its answer."""

    name: str
    rows: int
    work: Callable[[], int]
    #: The pictures that the answer in a file names; None where it is not whole.
    read: Callable[[Path], list[Path] | None]


def by_generate(folder: Path, n: int) -> Job:
    out = folder / "out"
    words = ["generate", f"fox {n}", *WORDS, "--json", "--quiet", "--out", str(out)]

    def work() -> int:
        sys.argv[1:] = words
        return run_command()  # as a process of its own, which hears signals

    def read(answer: Path) -> list[Path] | None:
        try:
            told = json.loads(answer.read_text())
        except (OSError, ValueError):
            return None
        paths = [Path(image["path"]) for image in told.get("images", []) if image.get("path")]
        return paths if told.get("status") == "succeeded" and paths else None

    return Job(f"fox {n}", 1, work, read)


def by_batch(folder: Path, n: int) -> Job:
    out, asked = folder / f"out{n}", folder / f"rows{n}.jsonl"
    asked.write_text("".join(json.dumps({"prompt": f"fox {n}.{i}", **REQUEST}) + "\n"
                             for i in range(ROWS)))  # fmt: skip

    def work() -> int:
        sys.argv[1:] = ["batch", str(asked), "--out", str(out), "--json", "--quiet"]
        return run_command()

    def read(answer: Path) -> list[Path] | None:
        try:
            told = json.loads(answer.read_text())
        except (OSError, ValueError):
            return None
        if told.get("statuses") != {"succeeded": ROWS}:
            return None
        lines = (out / "results.jsonl").read_text().splitlines()
        return [out / p["path"] for line in lines for p in json.loads(line)["pictures"]]

    return Job(f"batch {n}", ROWS, work, read)


def by_python(folder: Path, n: int) -> Job:
    def work() -> int:
        try:
            with Civitai() as client:
                made = client.generate(f"fox {n}", **REQUEST, out=folder / "out")
                print(json.dumps([str(path) for path in made.paths]), flush=True)
        except CivitaiError as error:
            return error.exit_code
        return 0

    def read(answer: Path) -> list[Path] | None:
        try:
            return [Path(path) for path in json.loads(answer.read_text())]
        except (OSError, ValueError):
            return None

    return Job(f"fox {n}", 1, work, read)


WAYS = {"generate": by_generate, "batch": by_batch, "python": by_python}


# -- the one that kills ----------------------------------------------------------------------------
@dataclass
class Running:
    """A process at work; `ends` is when it is killed."""

    job: Job
    answer: Path
    kind: signal.Signals
    ends: float


def run(way: str, folder: Path, purchases: int, seconds: float, seed: int = 1) -> Figures:
    """Buy that many pictures, for so many seconds at most."""
    chance, figures = random.Random(seed), Figures()
    rows = ROWS if way == "batch" else 1
    left = [WAYS[way](folder, n) for n in range(purchases // rows)]
    running: dict[int, Running] = {}
    until = time.monotonic() + seconds
    with fleet.sandbox(folder, 0.05) as box:
        box.script(fleet.quarter_of_faults(seed))
        for name in [name for name in os.environ if name.startswith("CIVITAI_")]:
            del os.environ[name]
        os.environ |= {"CIVITAI_BASE_URL": box.url, "CIVITAI_API_KEY": fleet.KEY,
                       "CIVITAI_SKILL_HOME": str(folder / "home")}  # fmt: skip
        while (left or running) and time.monotonic() < until:
            while left and len(running) < SLOTS:
                job = left.pop()
                answer = folder / f"answer-{figures.processes}"
                figures.processes += 1
                # A third at a named point, a third at an instant, a third in peace.
                point = chance.randint(1, 50 + 10 * rows) if chance.random() < 0.33 else None
                wait = chance.uniform(0, 0.8 + rows / 12) if chance.random() < 0.5 else seconds
                pid = in_child(folder, answer, point, job.work)
                ends = time.monotonic() + wait
                running[pid] = Running(job, answer, chance.choice(KINDS), ends)
            pid, status = os.waitpid(-1, os.WNOHANG) if running else (0, 0)
            if pid in running:
                _settle(running.pop(pid), status, left, figures, chance)
                continue
            for other, one in running.items():
                if time.monotonic() > one.ends:
                    os.kill(other, one.kind)
                    figures.kills[one.kind.name] += 1
                    one.ends = float("inf")
            time.sleep(0.005)
        for pid in running:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        figures.unanswered = sum(job.rows for job in left)
        figures.unanswered += sum(one.job.rows for one in running.values())
        figures.charged = box.account()["charged"]
    figures.log = (folder / "log").read_text(errors="replace")
    figures.tracebacks = figures.log.count("Traceback")
    return figures


def _settle(one: Running, status: int, left: list[Job], figures: Figures,
            chance: random.Random) -> None:  # fmt: skip
    """Take a process's answer, or have its job done once more."""
    code = os.waitstatus_to_exitcode(status)
    figures.codes[code] += 1
    if code not in GOOD_CODES and code >= 0:
        figures.wrong.append(f"{one.job.name}: exit {code}")
    found = one.job.read(one.answer)
    if found is None:
        if code == 0:
            figures.wrong.append(f"{one.job.name}: exit 0 without an answer")
        left.insert(chance.randint(0, len(left)), one.job)
        return
    if len(found) != one.job.rows:
        figures.wrong.append(f"{one.job.name}: {len(found)} pictures")
    for path in found:
        try:
            with Image.open(path) as picture:
                picture.load()
        except OSError as error:
            figures.wrong.append(f"{one.job.name}: {error}")
    figures.purchases += one.job.rows


def main() -> int:
    clean = True
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--way", choices=WAYS, action="append")
    parser.add_argument("--purchases", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for way in given.way or WAYS:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            found = run(way, Path(folder), given.purchases, given.seconds, given.seed)
        print(f"{way}: {found.purchases} purchases in {time.monotonic() - began:.0f} s, "
              f"{found.charged} Buzz charged (price {PRICE}), {found.processes} processes, "
              f"signals {dict(found.kills)}, exit codes {dict(sorted(found.codes.items()))}, "
              f"unanswered {found.unanswered}, tracebacks {found.tracebacks}, "
              f"wrong {found.wrong}", flush=True)  # fmt: skip
        if found.tracebacks:
            print(found.log[found.log.index("Traceback") :][:5000], flush=True)
        clean = clean and found.clean
    return 0 if clean else 1


if __name__ == "__main__":
    raise SystemExit(main())
