"""The REST server under load: does anything fail, does memory grow?

    python benchmarks/servers.py [--connections 50] [--seconds 20]

A server over the sandbox runs in a process of its own; every connection sends one request after
another: prices, purchases with a key of their own, looks, lists, engines. Printed: requests,
answers by status, seconds at the 50th and 99th percentile, and the server's memory at the start,
in the middle and at the end. A short run is a test (tests/adapters/rest/test_server_process.py).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

IMAGE = "/v2/consumer/workflows/image"


@dataclass
class Figures:
    """What a run came to. `memory` is resident MiB, in the order of time."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    memory: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Seconds that this share of the requests stayed below."""
        return sorted(self.seconds)[int(share * (len(self.seconds) - 1))]


async def load(url: str, connections: int, seconds: float, process: int | None = None) -> Figures:
    """Keep that many connections busy for that long; watches the memory of a process."""
    figures = Figures()
    numbers = itertools.count()
    until = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=30) as client:

        async def send(method: str, path: str, **more: object) -> httpx.Response | None:
            started = time.perf_counter()
            try:
                answer = await client.request(method, path, **more)  # type: ignore[arg-type]
            except httpx.TransportError as error:
                figures.errors[type(error).__name__] += 1
                return None
            figures.seconds.append(time.perf_counter() - started)
            figures.statuses[answer.status_code] += 1
            return answer

        async def one() -> None:
            while time.monotonic() < until:
                n = next(numbers)
                body = {"prompt": f"fox {n}", "engine": "sd1", "width": 64, "height": 64}
                await send("POST", IMAGE, json=body, params={"whatif": "true"})
                key = {"Idempotency-Key": f"load-{n}"}
                bought = await send("POST", IMAGE, json=body, headers=key)
                if bought is not None and bought.is_success:
                    await send("GET", f"{IMAGE}/{bought.json()['id']}")
                await send("GET", IMAGE, params={"take": 2})
                await send("GET", "/engines/sd1")
                await send("GET", "/health/live")

        async def watch() -> None:
            while time.monotonic() < until:
                figures.memory.append(resident(process))
                await asyncio.sleep(seconds / 10)

        watching = [] if process is None else [watch()]
        await asyncio.gather(*watching, *(one() for _ in range(connections)))
        if process is not None:
            figures.memory.append(resident(process))
    return figures


def resident(process: int | None) -> float:
    """MiB that a process holds in memory."""
    with Path(f"/proc/{process}/statm").open() as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, int]]:
    """A REST server over a rich sandbox: its address and process id."""
    process = subprocess.Popen(
        [sys.executable, "-m", "civitai_skill", "rest", "--sandbox", "--port", "0"],
        env={**os.environ, "CIVITAI_SKILL_HOME": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        yield found[0], process.pid
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as text, served(Path(text)) as (url, process):
        run = asyncio.run(load(url, given.connections, given.seconds, process))
    count = len(run.seconds)
    print(f"{given.connections} connections for {given.seconds:g} s: {count} requests, "
          f"{count / given.seconds:.0f} a second")  # fmt: skip
    print(f"  answers {dict(run.statuses)}, broken {dict(run.errors)}")
    print(f"  seconds: {run.percentile(0.5):.3f} in the middle, {run.percentile(0.99):.3f} at 99%")
    print("  memory in MiB: " + ", ".join(f"{m:.0f}" for m in run.memory))


if __name__ == "__main__":
    main()
