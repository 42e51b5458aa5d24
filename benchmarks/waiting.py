"""Waiting for many workflows: a long-poll for each, against one query for their tag.

    python benchmarks/waiting.py

prints, for each number in flight: status requests, seconds from the end of a workflow until it was
noticed (median, worst), and the processor seconds that waiting took here. The sandbox runs in a
process of its own; workflows end one by one between 5 and 20 seconds after they were submitted.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path

import fleet

from civitai_skill import AsyncCivitai, Workflow
from civitai_skill.batch.watcher import WorkflowWatcher

NUMBERS = (4, 16, 100, 1000)
FIRST, LAST = 5.0, 20.0
TAG = "batch:waiting"


async def submitted(client: AsyncCivitai, number: int) -> list[Workflow]:
    """So many workflows, which end evenly between the first and the last second."""
    slots = asyncio.Semaphore(32)

    async def one(i: int) -> Workflow:
        ends = FIRST + (LAST - FIRST) * i / number
        async with slots:
            return await client.submit(
                f"fox {i} [sandbox:slow={ends:.2f}]", engine="sdxl", width=64, height=64,
                tags=(TAG,), allow_mature_content=False,
            )  # fmt: skip

    return list(await asyncio.gather(*(one(i) for i in range(number))))


async def waited(client: AsyncCivitai, few: int, number: int) -> tuple[int, list[float], float]:
    """Status requests, lateness of each (seconds), processor seconds."""
    found = await submitted(client, number)
    watch = WorkflowWatcher(client, TAG, few=few)
    late: list[float] = []

    async def one(workflow: Workflow) -> None:
        done = await watch.wait_for(workflow, 120.0)
        ended = datetime.fromisoformat(done.raw["completedAt"]).timestamp()
        late.append(time.time() - ended)

    began = time.process_time()
    looking = asyncio.create_task(watch.run())
    await asyncio.gather(*(one(workflow) for workflow in found))
    looking.cancel()
    return watch.requests, late, time.process_time() - began


async def measured(url: str, folder: Path) -> None:
    """Print the table."""
    print("| in flight | way | status requests | noticed late, median | worst | CPU |")
    print("|---|---|---|---|---|---|")
    for number in NUMBERS:
        for way, few in (("long-polls", 10**6), ("tagged query", 0)):
            key = f"{way}-{number}".replace(" ", "-")
            async with AsyncCivitai(key, base_url=url, home=folder / key, ledger=False) as client:
                requests, late, cpu = await waited(client, few, number)
            middle, worst = statistics.median(late), max(late)
            cells = (number, way, requests, f"{middle:.2f} s", f"{worst:.2f} s", f"{cpu:.1f} s")
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def main() -> None:
    """Serve a sandbox, and measure."""
    with tempfile.TemporaryDirectory() as folder, fleet.sandbox(Path(folder), 1.0) as box:
        asyncio.run(measured(box.url, Path(folder)))


if __name__ == "__main__":
    main()
