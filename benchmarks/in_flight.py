"""Many generations at once: does the asynchronous client slow down?

    python benchmarks/in_flight.py [--count 500] [--seconds 10]

A sandbox in a process of its own serves a port; every generation is submitted, waited for and
downloaded. Printed beside its floor in the same run: the makespan over the time that one generation
takes alone, and the same with httpx's single pool instead of the divided ones.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from civitai_skill import AsyncCivitai


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def served(folder: Path, seconds: float) -> tuple[subprocess.Popen[bytes], str]:
    """Start a sandbox; gives the process and its address."""
    port = free_port()
    words = ["sandbox", "--port", str(port), "--seconds-per-job", str(seconds)]
    process = subprocess.Popen(
        [sys.executable, "-m", "civitai_skill", *words, "--balance", "blue=1000000"],
        env={"CIVITAI_SKILL_HOME": str(folder), "PATH": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    for _ in range(200):
        try:
            httpx.get(f"{url}/v2/services", params={"limit": 1})
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return process, url
    raise RuntimeError("the sandbox did not start")


async def makespan(url: str, count: int, folder: Path, *, one_pool: bool) -> float:
    """Seconds until the last of `count` generations is on disk."""
    limits = httpx.Limits(max_connections=None)
    transport = httpx.AsyncHTTPTransport(limits=limits) if one_pool else None
    started = time.perf_counter()
    async with AsyncCivitai("bench", base_url=url, home=folder, transport=transport) as client:
        made = [
            # One picture for all, by another guidance each: the sandbox draws it once, and
            # what is measured is the client and not the drawing.
            client.generate(
                "a fox",
                engine="sd1",
                width=64,
                height=64,
                steps=1,
                seed=7,
                guidance=1 + n / 100,
                out=folder / "out",
            )
            for n in range(count)
        ]
        await asyncio.gather(*made)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    print(f"{given.count} generations of jobs of {given.seconds:g} s over a port")
    for name, one_pool in (("divided pools", False), ("one pool", True)):
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            process, url = served(folder / "box", given.seconds)
            try:
                alone = asyncio.run(makespan(url, 1, folder / "a", one_pool=one_pool))
                together = asyncio.run(makespan(url, given.count, folder / "b", one_pool=one_pool))
            finally:
                process.terminate()
                process.wait()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"  {name}: {together:.2f} s together, {alone:.2f} s alone (the floor), "
              f"ratio {together / alone:.2f}; peak memory so far {memory:.0f} MiB")  # fmt: skip


if __name__ == "__main__":
    main()
