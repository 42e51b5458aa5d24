"""Under every fault nothing is lost and nothing paid twice; the sandbox's accounts judge."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from benchmarks import client_faults as bench
from civitai_skill import AsyncCivitai, CivitaiError
from civitai_skill.sandbox import Sandbox, SandboxTransport


@pytest.fixture(scope="module", autouse=True)
def loaded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is read on first use is no part of a call's time."""
    bench.played(bench.CASES[0], tmp_path_factory.mktemp("first"), bench.sync)


def asynchronous(box: Sandbox, case: Any, out: Path) -> CivitaiError | None:
    async def generate() -> CivitaiError | None:
        async with AsyncCivitai(
            sandbox=box,
            transport=SandboxTransport(box),
            retry=bench.RETRY,
            home=out.parent / "home",
        ) as client:
            try:
                await client.generate(case.prompt, quantity=case.quantity, out=out, timeout=1.5)
            except CivitaiError as error:
                return error
        return None

    return asyncio.run(generate())


@pytest.mark.parametrize("case", bench.CASES, ids=lambda case: case.name)
def test_the_synchronous_client_comes_to_the_right_end(case: Any, tmp_path: Path) -> None:
    assert bench.played(case, tmp_path, bench.sync) == case.ends


@pytest.mark.parametrize("case", bench.CASES, ids=lambda case: case.name)
def test_the_asynchronous_client_comes_to_the_same_end(case: Any, tmp_path: Path) -> None:
    assert bench.played(case, tmp_path, asynchronous) == case.ends
