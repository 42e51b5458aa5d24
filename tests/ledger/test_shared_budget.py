"""One budget for all processes: never exceeded, however many buy at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from civitai_skill import Civitai, run_batch
from civitai_skill.errors import OverBudget, RequestInvalid, WorkflowFailed
from civitai_skill.ledger.budget import Budget
from civitai_skill.ledger.ledger import Ledger
from civitai_skill.ledger.run import Run
from civitai_skill.sandbox import Fault, Sandbox

SIZE = {"engine": "sdxl", "width": 64, "height": 64}
PROCESSES = 8

_BUYER = """
import sys, time
from civitai_skill import Civitai, OverBudget
name, out = sys.argv[1:]
bought = 0
with Civitai(sandbox=True) as client:
    while time.time() < float(__import__("os").environ["BEGIN"]):
        time.sleep(0.01)
    for i in range(4):
        try:
            client.submit(f"{name} {i}", engine="sdxl", width=64, height=64)
            bought += 1
        except OverBudget:
            pass
print(bought)
"""


@pytest.mark.slow
def test_eight_processes_never_exceed_one_budget(clean_environment: Path) -> None:
    box = Sandbox(clean_environment / "sandbox.sqlite3")
    env = {**os.environ, "CIVITAI_BUDGET": "10/day", "BEGIN": str(time.time() + 3.0)}
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _BUYER, str(i), "out"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )
        for i in range(PROCESSES)
    ]
    told = [child.communicate(timeout=60) for child in children]

    assert [child.returncode for child in children] == [0] * PROCESSES, told
    assert sum(int(out) for out, _ in told) == 10
    assert sum(a["charged"] for a in box.accounts()) == 10
    ledger = Ledger(clean_environment / "sandbox-ledger.sqlite3")
    assert ledger.used_buzz(Budget(10, 86400.0, "day")) == 10


def test_threads_and_processes_of_one_ledger_take_turns(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from civitai_skill.ledger.ledger import Ledger\n"
        "from civitai_skill.ledger.run import Run\n"
        "ledger = Ledger(Path(sys.argv[1]))\n"
        "def one(i):\n"
        "    key = f'{sys.argv[2]}-{i}'\n"
        "    ledger.begin(Run(key, key, 'test', b'', 1, 1), again=True, budget=None)\n"
        "    ledger.close_run(key)\n"
        "with ThreadPoolExecutor(16) as pool: list(pool.map(one, range(50)))\n"
    )
    path = tmp_path / "ledger.sqlite3"
    children = [
        subprocess.Popen([sys.executable, "-c", script, str(path), str(i)]) for i in range(4)
    ]
    assert [child.wait(60) for child in children] == [0] * 4
    assert len(Ledger(path).history(limit=1000)) == 200


def test_a_batch_stops_at_the_budget_and_goes_on_when_it_was_raised(tmp_path: Path) -> None:
    box = Sandbox(tmp_path / "box.sqlite3", seconds_per_job=0.02)
    rows = [{"prompt": f"fox {i}", **SIZE} for i in range(5)]
    with Civitai(sandbox=box, home=tmp_path) as client:
        assert client.ledger is not None
        client.ledger.keep_setting("budget", "3/day")
        first = run_batch(rows, client=client, out=tmp_path / "out", in_flight=1)
        client.ledger.keep_setting("budget", "9/day")
        second = run_batch(rows, client=client, out=tmp_path / "out", in_flight=1)

    assert first.statuses == {"refused": 1, "succeeded": 3, "unsent": 1}
    assert second.good
    assert sum(a["charged"] for a in box.accounts()) == 5


def test_what_failed_gives_its_budget_back(tmp_path: Path) -> None:
    box = Sandbox(tmp_path / "box.sqlite3", seconds_per_job=0.02)
    box.script(Fault("submit", "fate", fate="failed", times=2))
    rows = [{"prompt": f"fox {i}", **SIZE} for i in range(4)]
    with Civitai(sandbox=box, home=tmp_path) as client:
        assert client.ledger is not None
        client.ledger.keep_setting("budget", "2/day")
        report = run_batch(rows, client=client, out=tmp_path / "out", in_flight=1)
        used = client.ledger.used_buzz(Budget(2, 86400.0, "day"))

    assert report.statuses == {"failed": 2, "succeeded": 2}
    assert used == 2


def test_a_key_that_is_known_is_not_counted_twice(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    budget = Budget(3, 86400.0, "day")
    run = Run("k", "r1:k", "batch", b"{}", 1, 3)

    assert ledger.begin(run, again=True, budget=budget).fresh
    assert not ledger.begin(run, again=True, budget=budget).fresh
    ledger.drop("k", "refused")
    assert ledger.begin(run, again=True, budget=budget).fresh
    with pytest.raises(OverBudget):
        ledger.begin(Run("l", "r1:l", "batch", b"{}", 1, 1), again=True, budget=budget)


def test_a_purchase_that_another_process_took_up_is_not_dropped(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    ledger.begin(Run("k", "r1:k", "batch", b"{}", 1, 3), again=True, budget=None)
    ledger.record_submitted("k", "1-2", 3)
    ledger.drop("k", "no connection")

    run = ledger.run("k")
    assert run is not None
    assert (run.state, run.cost) == ("open", 3)


def test_results_tell_the_cost_that_was_kept(tmp_path: Path) -> None:
    box = Sandbox(tmp_path / "box.sqlite3", seconds_per_job=0.02)
    rows = [{"prompt": "fox", "quantity": 2, **SIZE}, {"prompt": "x [sandbox:failed]", **SIZE}]
    with Civitai(sandbox=box, home=tmp_path) as client:
        run_batch(rows, client=client, out=tmp_path / "out")
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines]

    charged = sum(a["charged"] - a["refunded"] for a in box.accounts())
    assert [(line["cost"], line["refunded"]) for line in told] == [(charged, 0), (0, 1)]


def test_a_second_try_of_what_moderation_stopped_is_refused(tmp_path: Path) -> None:
    box = Sandbox(tmp_path / "box.sqlite3", seconds_per_job=0.02)
    box.script(Fault("submit", "fate", fate="failed", reason="Prompt blocked as it violates TOS"))
    with Civitai(sandbox=box, home=tmp_path) as client:
        assert client.ledger is not None
        with pytest.raises(WorkflowFailed):
            client.generate("a fox", out=tmp_path / "out", **SIZE)
        (run,) = client.ledger.failed()
        with pytest.raises(RequestInvalid, match="never sent twice"):
            client.resume(run)
    assert sum(a["submits"] for a in box.accounts()) == 1
