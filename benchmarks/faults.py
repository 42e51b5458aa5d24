"""The proof: nothing paid twice, nothing lost, whatever goes wrong. The sandbox's accounts judge.

    python benchmarks/faults.py            everything, at full size (about half an hour)
    python benchmarks/faults.py --small    the same, small (tests/purchase/test_faults.py)

1. Many generations while a quarter of all answers is faulty.
2. A batch that is killed (SIGKILL) at random moments, and started again each time.
3. Two processes on one batch at the same time.

The disk, the ledger, the clock and the ends of workflows: see tests/purchase/test_faults.py.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import fleet
from fleet import Verdict as Verdict

from civitai_skill.sandbox import Fault

SEED = 20261123


@dataclass(frozen=True)
class Size:
    """How much of it."""

    generations: int
    kills: int
    killed_rows: int
    shared_rows: int


FULL = Size(generations=5000, kills=200, killed_rows=50, shared_rows=500)
SMALL = Size(generations=120, kills=8, killed_rows=20, shared_rows=40)

#: Runs of the same command at most, until every row is finished.
_RUNS = 3

#: Drawn a little higher than the quarter that is wanted: not every answer can show every fault.
FAULTY = 0.285


def every_fault(chance: float) -> list[Fault]:
    """Each kind of fault, together hitting about `chance` of the answers of each kind of request.

    The first fault that matches acts, so each is drawn from what those before it left.
    """
    general: list[tuple[str, Fault]] = [
        (on, fault)
        for on in ("submit", "get", "query", "blob")
        for fault in (
            Fault("any", "status", status=429),
            Fault("any", "status", status=429, retry_after=0.05),
            Fault("any", "status", status=500),
            Fault("any", "status", status=502, body="html", committed=True),
            Fault("any", "reset"),
            Fault("any", "reset", committed=True),
            Fault("any", "status", status=200, body="html", committed=True),
            Fault("any", "stall", seconds=0.2),
        )
        if not (on == "blob" and fault.status == 200)
    ]
    blobs = [("blob", Fault("blob", kind)) for kind in ("truncated", "short", "wrong-type",
                                                        "expired")]  # fmt: skip
    found = []
    for on in ("submit", "get", "query", "blob"):
        kinds = [f for o, f in [*general, *blobs] if o == on]
        share = chance / len(kinds)
        for i, fault in enumerate(kinds):
            left = 1 - i * share
            number = len(found)
            found.append(replace(fault, on=on, times=None, chance=share / left,
                                 seed=SEED + number))  # type: ignore[arg-type]  # fmt: skip
    return found


def faulty_answers(number: int, folder: Path) -> tuple[Verdict, dict[str, object]]:
    """Many generations, a quarter of all answers faulty; the same command until all are there."""
    with fleet.sandbox(folder, 0.2) as box:
        box.script(every_fault(FAULTY))
        began = time.monotonic()
        given = {"given": fleet.rows(number), "out": str(folder / "out"), "in_flight": 200}
        told = fleet.read_report(fleet.batch(box, folder / "home", **given))
        # A row may meet nothing but faults in all of its tries. It is told as unfinished, and the
        # same command goes on with it.
        told["runs"] = 1
        while "unfinished" in told["statuses"] and told["runs"] < _RUNS:
            again = fleet.read_report(fleet.batch(box, folder / "home", **given))
            told |= {"statuses": again["statuses"], "runs": told["runs"] + 1}
        told["seconds"] = round(time.monotonic() - began, 1)
        seen, hit = box.faults()
        told["requests_per_row"] = round(seen / number, 2)
        told["faulty"] = round(hit / seen, 3)
        box.script([])
        verdict = fleet.judge(box, folder / "out", number)
    return verdict, told


def killed(kills: int, number: int, folder: Path) -> tuple[Verdict, dict[str, object]]:
    """A batch that is killed at random moments; batches follow each other until all kills are
    done."""
    chance = random.Random(SEED)
    done = batches = 0
    worst: Verdict | None = None
    with fleet.sandbox(folder, 0.3) as box:
        wanted = 0
        while done < kills:
            batches += 1
            wanted += number
            out = folder / f"out{batches}"
            given = {"given": fleet.rows(number, f"batch {batches}:"), "out": str(out),
                     "name": f"killed-{batches}", "in_flight": 10, "concurrency": 4}  # fmt: skip
            finished = False
            while not finished and done < kills:
                process = fleet.batch(box, folder / "home", **given)
                try:
                    process.wait(chance.uniform(0.3, 2.2))
                    finished = True
                except Exception:
                    process.kill()
                    done += 1
                process.communicate()
            fleet.read_report(fleet.batch(box, folder / "home", **given))
            verdict = fleet.judge(box, out, number)
            verdict = replace(verdict, charged=verdict.charged - (wanted - number))
            if worst is None or not verdict.clean:
                worst = verdict
    assert worst is not None
    return worst, {"kills": done, "batches": batches, "rows": wanted}


def two_at_once(number: int, folder: Path) -> tuple[Verdict, dict[str, object]]:
    """Two processes, one batch, one folder, one ledger."""
    with fleet.sandbox(folder, 0.3) as box:
        box.script(every_fault(FAULTY / 5))
        given = {"given": fleet.rows(number), "out": str(folder / "out"), "in_flight": 50}
        both = [fleet.batch(box, folder / "home", **given) for _ in range(2)]
        told = [fleet.read_report(process) for process in both]
        verdict = fleet.judge(box, folder / "out", number)
        submits = box.account()["submits"]
    return verdict, {"submits": submits, "statuses": [t["statuses"] for t in told]}


def main() -> int:
    """Run the proof and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", choices=("faulty", "killed", "two"))
    given = parser.parse_args()
    size = SMALL if given.small else FULL
    parts = {
        "faulty": lambda folder: faulty_answers(size.generations, folder),
        "killed": lambda folder: killed(size.kills, size.killed_rows, folder),
        "two": lambda folder: two_at_once(size.shared_rows, folder),
    }
    good = True
    for name, part in parts.items():
        if given.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                verdict, told = part(Path(folder))
            good = good and verdict.clean
            print(
                f"{name}: {'clean' if verdict.clean else 'NOT CLEAN'} {verdict} {told}", flush=True
            )
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
