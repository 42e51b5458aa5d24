"""What the benchmarks share: a sandbox on a port in its own process, and its accounts as judge."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from civitai_skill.sandbox import Fault

ROOT = Path(__file__).resolve().parent.parent
KEY = "benchmark"

_SERVE = """
import sys
from pathlib import Path
from civitai_skill.sandbox import Sandbox
from civitai_skill.sandbox.port import serve
from civitai_skill.servers.access import open_listener, ready_line
balance = {"blue": 10**9, "green": 0, "yellow": 0}
box = Sandbox(Path(sys.argv[1]), seconds_per_job=float(sys.argv[2]), balance=balance)
listener = open_listener("127.0.0.1", 0)
serve(box, listener, ready_line("sandbox", listener))
"""

_BATCH = """
import json, resource, sys
from civitai_skill import Civitai, run_batch
from civitai_skill.api.service import Retry
given = json.load(open(sys.argv[1]))
retry = Retry(first=0.05, cap=0.5, patience=10.0, tries=10)
with Civitai(retry=retry) as client:
    report = run_batch(client=client, max_buzz=10**8, timeout=600, **given)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"statuses": report.statuses, "status_requests": report.status_requests,
                  "peak_mib": round(peak / 1024, 1)}))
"""


@dataclass(frozen=True)
class Box:
    """A sandbox that listens on a port of this machine."""

    url: str
    pid: int

    def script(self, faults: Sequence[Fault]) -> None:
        """Let these go wrong from now on, in place of what was scripted before."""
        body = [vars(fault) for fault in faults]
        url, params = f"{self.url}/_sandbox/faults", {"replace": "true"}
        httpx.post(url, params=params, json=body, timeout=30).raise_for_status()

    def faults(self) -> tuple[int, int]:
        """Requests that the scripted faults saw, and how many they hit."""
        answer = httpx.get(f"{self.url}/_sandbox/faults", timeout=60).json()["faults"]
        firsts: dict[str, int] = {}
        for fault in answer:
            firsts.setdefault(fault["on"], fault["seen"])
        return sum(firsts.values()), sum(fault["hit"] for fault in answer)

    def account(self) -> dict[str, Any]:
        """What the sandbox charged."""
        headers = {"Authorization": f"Bearer {KEY}"}
        answer = httpx.get(f"{self.url}/_sandbox/accounts", headers=headers, timeout=60)
        accounts = answer.json()["accounts"]
        return accounts[0] if accounts else {"workflows": 0, "workflowsCharged": 0, "charged": 0,
                                             "refunded": 0, "submits": 0}  # fmt: skip


@contextmanager
def sandbox(folder: Path, seconds_per_job: float) -> Iterator[Box]:
    """Serve a sandbox from a process of its own while the block runs."""
    words = [sys.executable, "-c", _SERVE, str(folder / "box.sqlite3"), str(seconds_per_job)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment()) as served:
        try:
            assert served.stdout is not None
            url = next(w for w in served.stdout.readline().split() if w.startswith("http"))
            yield Box(url, served.pid)
        finally:
            served.send_signal(signal.SIGINT)
            served.wait(30)


def quarter_of_faults(seed: int) -> list[Fault]:
    """A quarter of all answers fails: lost after the service took it, refused, cut off."""
    return [
        Fault("submit", "reset", committed=True, chance=0.15, times=None, seed=seed),
        Fault("any", "status", status=503, chance=0.1, times=None, seed=seed + 1),
        Fault("any", "reset", chance=0.05, times=None, seed=seed + 2),
    ]


def environment(**more: str) -> dict[str, str]:
    """The environment of a child: this checkout, no settings of the user's."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CIVITAI_")}
    return {**clean, "PYTHONPATH": str(ROOT), **more}


def batch(box: Box, home: Path, **given: Any) -> subprocess.Popen[str]:
    """Start a batch in a process of its own; it prints a line of JSON when it has ended."""
    asked = home.parent / f"{uuid.uuid4().hex}.json"
    asked.write_text(json.dumps(given))
    words = [sys.executable, "-c", _BATCH, str(asked)]
    env = environment(CIVITAI_API_KEY=KEY, CIVITAI_BASE_URL=box.url, CIVITAI_SKILL_HOME=str(home))
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )


def read_report(process: subprocess.Popen[str], timeout: float = 3600.0) -> dict[str, Any]:
    """Wait for a batch, and read what it printed."""
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err[-3000:]
    told: dict[str, Any] = json.loads(out.splitlines()[-1])
    return told


def rows(number: int, words: str = "a fox") -> list[dict[str, Any]]:
    """So many cheap rows."""
    size = {"engine": "sdxl", "width": 64, "height": 64}
    return [{"prompt": f"{words} {i}", **size} for i in range(number)]


@dataclass(frozen=True)
class Verdict:
    """The three zeros and what they are counted from."""

    wanted: int
    charged: int
    lost: int
    broken: int
    leftovers: int
    lines: int

    @property
    def clean(self) -> bool:
        right = self.charged == self.wanted == self.lines
        return right and not (self.lost or self.broken or self.leftovers)


def judge(box: Box, out: Path, wanted: int) -> Verdict:
    """Count by the sandbox's accounts, and decode every picture in results.jsonl."""
    told = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    named = [out / p["path"] for result in told for p in result["pictures"]]
    broken = 0
    for path in named:
        try:
            with Image.open(path) as picture:
                picture.load()
        except OSError:
            broken += 1
    pictures = {p for p in out.iterdir() if p.suffix in (".jpeg", ".png", ".webp")}
    others = [p for p in out.iterdir() if p.suffix not in (".jpeg", ".json", ".jsonl")]
    account = box.account()
    return Verdict(
        wanted=wanted,
        charged=account["workflowsCharged"],
        lost=wanted - len(set(named) & pictures),
        broken=broken,
        leftovers=len(others) + len(pictures - set(named)),
        lines=len(told) if [r["row"] for r in told] == list(range(1, wanted + 1)) else -1,
    )
