"""Under every fault nothing is lost and nothing paid twice; the sandbox's accounts judge."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from civitai_skill import AsyncCivitai, CivitaiError
from civitai_skill.sandbox import Sandbox, SandboxTransport

_PATH = Path(__file__).parents[1] / "benchmarks" / "client_faults.py"
_spec = importlib.util.spec_from_file_location("client_faults", _PATH)
assert _spec is not None
assert _spec.loader is not None
bench: Any = importlib.util.module_from_spec(_spec)
sys.modules["client_faults"] = bench
_spec.loader.exec_module(bench)


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
