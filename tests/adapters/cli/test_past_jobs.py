"""What was begun, bought and failed, as the command line tells it afterwards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from civitai_skill import Civitai
from civitai_skill.client import parse_since
from tests.adapters.cli.test_commands import Ran
from tests.adapters.cli.test_commands import run as run  # a fixture


def test_what_is_running_is_listed_and_stopped_at_once(run: Callable[..., Ran]) -> None:
    run("generate", "a done fox")
    begun = [
        run("generate", f"[sandbox:slow=60] {name}", "--no-wait", "--tag", name).json["id"]
        for name in ("a heron", "an otter")
    ]

    listed = run("query", "--running").json["items"]
    assert [row["id"] for row in listed] == begun[::-1]
    assert run("cancel").code == run("cancel", begun[0], "--all-running").code == 2
    one = run("cancel", "--all-running", "--tag", "a heron").json
    assert (one["id"], one["refunded"]) == (begun[0], 3)
    assert run("cancel", "--all-running").json["id"] == begun[1]
    assert run("query", "--running").json["items"] == []
    assert run("cancel", "--all-running").json["results"] == []
    assert run("query", "--take", "3").json["items"][0]["status"] == "canceled"


def test_running_ones_are_found_beyond_the_first_page(run: Callable[..., Ran]) -> None:
    with Civitai(sandbox=True) as client:
        old = client.submit("[sandbox:slow=60] an old heron")
        for n in range(101):
            client.submit(f"[sandbox:failed] a fox {n}" if n % 2 else f"fox {n}", again=True)
        page = client.page(running=True, take=1)

    assert old.id in [workflow.id for workflow in page.items]
    assert all(not workflow.done for workflow in page.items)


def test_history_tells_the_prompt_the_files_the_price_and_why_it_failed(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run("generate", "a red\nfox", "--out", "pics").json["images"][0]["path"]
    run("generate", "[sandbox:failed] a fox")

    failed, good = run("history", "--today").json["runs"]
    assert (good["prompt"], good["cost"], good["pictures"]) == ("a red\nfox", 3, 1)
    assert good["paths"] == [str(Path(made).absolute())]
    assert failed["status"] == "failed"
    assert failed["reason"]
    assert run("query", "--take", "2").json["items"][1]["paths"] == good["paths"]
    assert run("history", "--since", "2030-01-01").json["runs"] == []

    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    told = run("history").out
    for words in (failed["reason"], good["paths"][0], f"{datetime.now():%Y-%m-%d}", "a red fox"):
        assert words in told


def test_what_was_bought_without_waiting_is_told_with_what_became_of_it(
    run: Callable[..., Ran],
) -> None:
    lost = run("generate", "[sandbox:failed] a fox", "--no-wait").json["id"]
    with Civitai(sandbox=True, ledger=False) as client:
        client.wait(lost, timeout=60)  # the ledger does not hear of its end
    slow = run("generate", "[sandbox:slow=60] an owl", "--no-wait").json["id"]
    told = run("resume", "--out", "saved").json["unfetched"]
    assert [row["id"] for row in told] == [lost, slow]
    assert (told[0]["status"], bool(told[0]["reason"])) == ("failed", True)
    assert f"`civitai-skill get {slow} --wait --out saved`" in told[1]["hint"]
    whole = run("history", "--today").json
    assert [(row["workflow"], row["status"] in ("failed", None)) for row in whole["runs"]] == [
        (slow, False), (lost, True),
    ]  # fmt: skip
    assert whole["runs"][1]["reason"]
    assert whole["cost"] == whole["runs"][0]["reserved"] == 3
    assert [row["id"] for row in run("resume").json["unfetched"]] == [slow]


def test_today_begins_at_midnight_here(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Etc/GMT+5")  # five hours behind
    time.tzset()
    try:
        night = datetime(2026, 11, 28, 3, 30, tzinfo=UTC)  # 22:30 of the 27th there
        assert parse_since("today", night) == "2026-11-27T05:00:00Z"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_an_estimate_counts_and_tells_the_size(run: Callable[..., Ran]) -> None:
    words: list[Any] = ["estimate", "a mug", "--aspect-ratio", "3:2", "--quantity", "2"]
    one, many = run(*words, "--offline").json, run(*words, "--offline", "--count", "50").json

    assert one["size"] == "1248x832"
    assert "count" not in one
    assert (many["pictures"], many["together"]) == (100, 50 * one["offline"]["buzz"])
    assert many.get("notes") == one.get("notes")
    single = run("estimate", "a mug", "--offline", "--count", "50").json
    assert single["together"] == 150
    assert single["notes"] == ["50 pictures with quantity 2 in each request: about 125 Buzz."]
    assert run(*words, "--count", "50").json["together"] == many["together"]


def test_a_generation_tells_its_cost(tmp_path: Path) -> None:
    with Civitai(sandbox=True) as client:
        made = client.generate("a fox", out=tmp_path)
        running = client.submit("[sandbox:slow=60] an owl")
        assert made.cost == 3
        assert client.cancel(running.id or "").workflow.cost.total == 0


def test_the_sandbox_says_that_it_is_one_and_simulates_its_price(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, failed = run("generate", "a fox"), run("generate", "[sandbox:failed] a fox")
    priced = run("estimate", "a fox", "--engine", "grok")
    listed = run("query"), run("history"), run("budget"), run("estimate", "a fox", "--offline")

    for ran in (made, failed, priced, *listed):
        assert ran.json["sandbox"] is True
    assert "sandbox" not in run("engines", "flux2").json
    for ran in (made, failed):
        assert ran.err.startswith("Sandbox: placeholder pictures, simulated prices")
        assert "says the service" not in ran.err
    assert "simulated by the sandbox" in made.err
    assert priced.json["service"]["simulated"] is True
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert "simulated by the sandbox" in run("estimate", "a fox", "--engine", "grok").out
    monkeypatch.delenv("CIVITAI_SANDBOX")
    assert "Sandbox" not in run("history").out
