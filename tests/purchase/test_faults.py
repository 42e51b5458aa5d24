"""The proof, small: nothing paid twice, nothing lost. benchmarks/faults.py runs it at full size."""

from __future__ import annotations

import importlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from civitai_skill import Civitai, run_batch
from civitai_skill.api.service import Retry
from civitai_skill.errors import ConfigError, RequestInvalid
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.sandbox import Sandbox
from civitai_skill.storage import files
from tests.support.paths import ROOT

SIZE = {"engine": "sdxl", "width": 64, "height": 64}
ROWS = [{"prompt": f"fox {i}", **SIZE} for i in range(3)]
RETRY = Retry(first=0.005, cap=0.02, tries=3)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield importlib.import_module("faults")
    for name in ("faults", "fleet"):
        sys.modules.pop(name, None)


# -- over a real port --------------------------------------------------------------------
@pytest.mark.slow
def test_many_generations_while_a_quarter_of_all_answers_is_faulty(
    bench: Any, tmp_path: Path
) -> None:
    verdict, told = bench.faulty_answers(40, tmp_path)
    assert verdict == bench.Verdict(40, 40, 0, 0, 0, 40)
    assert 0.15 < told["faulty"] < 0.4


@pytest.mark.slow
def test_a_batch_that_is_killed_and_started_again(bench: Any, tmp_path: Path) -> None:
    verdict, told = bench.killed(3, 12, tmp_path)
    assert verdict == bench.Verdict(12, 12, 0, 0, 0, 12)
    assert told["kills"] == 3


@pytest.mark.slow
def test_two_processes_on_one_batch(bench: Any, tmp_path: Path) -> None:
    verdict, told = bench.two_at_once(20, tmp_path)
    assert verdict == bench.Verdict(20, 20, 0, 0, 0, 20)
    assert told["statuses"] == [{"succeeded": 20}, {"succeeded": 20}]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="forks, and signals of POSIX")
def test_commands_and_programs_that_are_killed_pay_once() -> None:
    """At random instants and at named points; each is repeated until it has its answer."""
    bench = str(ROOT / "benchmarks" / "client_kills.py")
    words = ["--way", "generate", "--way", "python", "--purchases", "4", "--seconds", "60"]
    done = subprocess.run(
        [sys.executable, bench, *words], capture_output=True, text=True, timeout=150, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": 4 purchases in") == 2


# -- the machine -------------------------------------------------------------------------
@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path / "box.sqlite3", seconds_per_job=0.02)


@pytest.fixture
def run(box: Sandbox, tmp_path: Path) -> Callable[..., Any]:
    def one(rows: Any = ROWS, **settings: Any) -> Any:
        with Civitai(sandbox=box, home=tmp_path / "home", retry=RETRY) as client:
            return run_batch(rows, client=client, out=tmp_path / "out", **settings)

    return one


def workflows(box: Sandbox) -> int:
    return sum(account["workflows"] for account in box.accounts())


def test_a_full_disk_stops_the_batch_and_loses_nothing(
    run: Callable[..., Any], box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files.os.fsync
    with monkeypatch.context() as full:

        def refuse(descriptor: int) -> None:
            if os.fstat(descriptor).st_size > 1000:
                raise OSError(28, "No space left on device")
            real(descriptor)

        full.setattr(files.os, "fsync", refuse)
        with pytest.raises(ConfigError, match="results can't be written") as refused:
            run(in_flight=1)
    assert "nothing is bought twice" in refused.value.hint
    assert workflows(box) == 1  # what can't be written is not bought

    report = run()
    assert report.good
    assert workflows(box) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no such permissions there")
def test_a_folder_that_can_t_be_written_is_told_before_anything_is_bought(
    box: Sandbox, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    closed.write_text("a file, not a folder")
    with (
        Civitai(sandbox=box, home=tmp_path / "home") as client,
        pytest.raises(RequestInvalid) as refused,
    ):
        run_batch(ROWS, client=client, out=closed / "out")
    assert refused.value.field == "out"
    assert workflows(box) == 0


def test_a_corrupted_ledger_is_told_before_anything_is_bought(
    run: Callable[..., Any], box: Sandbox, tmp_path: Path
) -> None:
    assert run().good
    for path in (tmp_path / "home").glob("*ledger*"):
        path.write_bytes(b"not a database" * 100)
    (tmp_path / "out" / "results.jsonl").unlink()
    with pytest.raises(ConfigError, match="ledger"):
        run()
    assert workflows(box) == 3

    for path in (tmp_path / "home").glob("*ledger*"):
        path.unlink()
    assert run().good  # the service knows the keys
    assert workflows(box) == 3


def test_a_ledger_that_stays_locked_is_told_and_nothing_is_bought(
    run: Callable[..., Any], box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run().good
    monkeypatch.setattr("civitai_skill.storage.sqlite.PATIENCE", 0.05)
    (path,) = (tmp_path / "home").glob("*ledger.sqlite3")
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        refused = run(name="another")
        assert not refused.good
        assert "locked" in str([result.error for result in refused.results])
        other.execute("ROLLBACK")
    other.close()
    assert workflows(box) == 3
    assert run(name="another").good


def test_a_clock_that_jumps_back_pays_nothing_twice(
    run: Callable[..., Any], box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = [{"prompt": f"fox {i} [sandbox:slow=1]", **SIZE} for i in range(3)]
    first = run(slow, timeout=0.1)
    assert first.statuses == {"running": 3}
    monkeypatch.setattr(Ledger.__init__, "__defaults__", (lambda: 1_000_000.0,))
    second = run(slow)

    assert second.good
    assert workflows(box) == 3


def test_what_a_killed_run_was_writing_is_removed_by_the_next(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from civitai_skill.storage.files import write_temporary\n"
        "with write_temporary(Path(sys.argv[1]), b'half'): os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(out)], check=False, timeout=60)
    (left,) = out.iterdir()
    os.utime(left, (1.0, 1.0))

    with files.write_temporary(out, b"somebody else's") as living:
        os.utime(living, (1.0, 1.0))
        assert run().good
        assert living.exists()
    assert not left.exists()
