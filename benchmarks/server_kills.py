"""Servers and clients that are killed at random, over a service that fails: does anybody pay twice?

    python benchmarks/server_kills.py [--server rest] [--purchases 100] [--seconds 600]

A REST or MCP server stands before a sandbox that fails a quarter of its answers, and is killed
(SIGKILL, or SIGTERM, by turns of chance) and started again all the time. Its clients give up after
random times and repeat the same request until they have an answer. Printed: purchases, what was
charged, tries, kills, pictures that are not whole.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from socket import create_server

import fleet
import httpx
from PIL import Image

from civitai_skill.sandbox import Sandbox
from civitai_skill.sandbox.port import listening

ROOT = Path(__file__).resolve().parent.parent
IMAGE = "/v2/consumer/workflows/image"
TOOL = "civitai-generate-image"
VERSION = "2026-07-28"
PRICE = 1
SERVERS = {"rest": ["rest"], "mcp": ["mcp", "--http"]}
#: Clients at the same time.
CLIENTS = 6


@dataclass
class Figures:
    """What a run came to."""

    purchases: int = 0
    charged: int = 0
    tries: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    #: Answers to the same purchase that name different workflows, or pictures that are broken.
    wrong: list[str] = field(default_factory=list)
    unanswered: int = 0
    tracebacks: int = 0


class Run:
    """One server before one sandbox, in a folder."""

    def __init__(self, name: str, folder: Path, seed: int) -> None:
        self.name, self.folder = name, folder
        self.chance = random.Random(seed)
        self.figures = Figures()
        self.url = ""
        self._process: asyncio.subprocess.Process | None = None
        with create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]

    async def start(self, service: str) -> None:
        """Start the server and wait until it is ready."""
        words = [*SERVERS[self.name], "--port", str(self._port)]
        words += ["--out", str(self.folder / "out")] if self.name == "mcp" else []
        clean = {k: v for k, v in os.environ.items() if not k.startswith("CIVITAI_")}
        own = {"CIVITAI_BASE_URL": service, "CIVITAI_API_KEY": "a-key-of-the-benchmark",
               "CIVITAI_SKILL_HOME": str(self.folder / "home"),
               "PYTHONPATH": str(ROOT)}  # fmt: skip
        with (self.folder / "log").open("a") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "civitai_skill", *words, env={**clean, **own},
                cwd=self.folder, stdout=asyncio.subprocess.PIPE, stderr=log,
            )  # fmt: skip
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode()
        self.url = next(word for word in line.split() if word.startswith("http"))

    async def kill(self, number: signal.Signals) -> None:
        """End the server and wait for its end."""
        assert self._process is not None
        self.figures.kills[number.name] += 1
        self._process.send_signal(number)
        await self._process.wait()

    async def kill_at_random(self, service: str) -> None:
        """Kill the server again and again."""
        while True:
            await asyncio.sleep(self.chance.uniform(0.2, 3.0))
            number = self.chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))
            await self.kill(number)
            await self.start(service)

    async def buy(self, n: int) -> None:
        """Ask for one picture until it is there."""
        told: set[str] = set()
        while True:
            self.figures.tries += 1
            patience = self.chance.choice((0.3, 1.0, 3.0, 30.0))
            try:
                found = await self._ask(f"fox {n}", patience)
            except httpx.HTTPError:
                await asyncio.sleep(0.1)
                continue
            told.update(found[:1])
            if len(found) > 1:
                break
            await asyncio.sleep(0.1)
        if len(told) != 1:
            self.figures.wrong.append(f"fox {n}: {sorted(told)}")
        self.figures.purchases += 1
        if self.name == "mcp":
            try:
                with Image.open(found[1]) as picture:
                    picture.load()
            except OSError as error:
                self.figures.wrong.append(f"fox {n}: {error}")

    async def _ask(self, prompt: str, patience: float) -> list[str]:
        """The workflow's id where it is told, and its picture once it is there."""
        async with httpx.AsyncClient(timeout=patience) as web:
            request = {"prompt": prompt, "engine": "sd1", "width": 64, "height": 64}
            if self.name == "rest":
                answer = await web.post(self.url + IMAGE, json=request, params={"wait": 20})
                told = answer.json()
                done = answer.status_code == 200 and told["status"] == "succeeded"
                return [told["id"], "there"][: 1 + done] if answer.is_success else []
            key = "io.modelcontextprotocol/"
            meta = {f"{key}protocolVersion": VERSION, f"{key}clientCapabilities": {}}
            params = {"name": TOOL, "arguments": request, "_meta": meta}
            call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            headers = {"MCP-Protocol-Version": VERSION, "Mcp-Method": "tools/call",
                       "Mcp-Name": TOOL,
                       "Accept": "application/json, text/event-stream"}  # fmt: skip
            answer = await web.post(self.url, json=call, headers=headers)
            told = (answer.json().get("result") or {}).get("structuredContent") or {}
            paths = [image["path"] for image in told.get("images", []) if "path" in image]
            return [told["id"], *paths] if told.get("id") else []


async def run(name: str, folder: Path, purchases: int, seconds: float, seed: int = 1) -> Figures:
    """Buy that many pictures, for so many seconds at most."""
    box = Sandbox(seconds_per_job=0.1, balance={"blue": 10**9, "green": 0, "yellow": 0})
    box.script(*fleet.quarter_of_faults(seed))
    made = Run(name, folder, seed)
    left = asyncio.Queue[int]()
    for n in range(purchases):
        left.put_nowait(n)

    async def work() -> None:
        while not left.empty():
            await made.buy(left.get_nowait())

    async with listening(box) as service:
        await made.start(service)
        killing = asyncio.ensure_future(made.kill_at_random(service))
        buying = asyncio.gather(*(work() for _ in range(CLIENTS)))
        await asyncio.wait([buying, killing], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in (killing, buying):
            task.cancel()
        outcomes = await asyncio.gather(killing, buying, return_exceptions=True)
        await made.kill(signal.SIGKILL)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    figures = made.figures
    figures.charged = sum(int(account["charged"]) for account in box.accounts())
    figures.unanswered = purchases - figures.purchases
    figures.tracebacks = (folder / "log").read_text().count("Traceback")
    box.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", choices=SERVERS, action="append")
    parser.add_argument("--purchases", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for name in given.server or SERVERS:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            known = run(name, Path(folder), given.purchases, given.seconds, given.seed)
            found = asyncio.run(known)
        print(f"{name}: {found.purchases} purchases in {time.monotonic() - began:.0f} s, "
              f"{found.charged} Buzz charged (price {PRICE}), {found.tries} tries, "
              f"kills {dict(found.kills)}, unanswered {found.unanswered}, "
              f"tracebacks {found.tracebacks}, wrong {found.wrong}")  # fmt: skip


if __name__ == "__main__":
    main()
