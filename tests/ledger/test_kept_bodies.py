"""What the ledger keeps of a purchase that is over: digests, not its source pictures."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from civitai_skill import RequestInvalid
from civitai_skill.errors import ConfigError
from civitai_skill.ledger.ledger import JOINABLE, Ledger
from civitai_skill.ledger.run import MIGRATIONS
from civitai_skill.sandbox import Sandbox
from civitai_skill.storage.sqlite import Storage
from tests.support.ledger import client, run
from tests.support.pictures import picture

DATA = base64.b64encode(bytes(range(256)) * 400)
BODY = json.dumps({"images": ["data:image/png;base64," + DATA.decode()], "prompt": "a"}).encode()
DIGEST = f"data:image/png;sha256,{hashlib.sha256(DATA).hexdigest()}"


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def kept(ledger: Ledger, key: str) -> Any:
    found = ledger.run(key)
    assert found is not None
    return json.loads(found.body)["images"][0]


def buy(ledger: Ledger, key: str, status: str | None = None, **more: Any) -> None:
    ledger.begin(run(key, identity=key, body=BODY, **more), again=True, budget=None)
    ledger.record_submitted(key, f"w-{key}", 3)
    if status is not None:
        ledger.record_finished(key, status, 3, None)
        ledger.close_run(key)


def test_a_purchase_that_is_over_keeps_digests(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    buy(ledger, "open")
    buy(ledger, "done", "succeeded")
    assert kept(ledger, "open").startswith("data:image/png;base64,")
    assert kept(ledger, "done") == DIGEST
    whole, over = ledger.run("open"), ledger.run("done")
    assert whole is not None
    assert over is not None
    assert (whole.is_whole, over.is_whole) == (True, False)


def test_one_that_was_closed_before_its_end_keeps_digests_once_it_ended(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    buy(ledger, "a")
    ledger.close_run("a")
    assert kept(ledger, "a").startswith("data:image/png;base64,")
    ledger.record_finished("a", "succeeded", 3, None)
    assert kept(ledger, "a") == DIGEST


@pytest.mark.parametrize("status", ["failed", "expired"])
def test_what_failed_keeps_its_body_for_as_long_as_it_may_be_tried_again(
    status: str, tmp_path: Path
) -> None:
    clock = Clock()
    ledger = Ledger(tmp_path / "ledger.sqlite3", clock)
    buy(ledger, "old", status)
    ledger.begin(run("never sent", body=BODY), again=True, budget=None)
    ledger.drop("never sent", "refused")
    assert kept(ledger, "old").startswith("data:image/png;base64,")
    clock.now += JOINABLE + 1
    buy(ledger, "new")
    assert kept(ledger, "old") == kept(ledger, "never sent") == DIGEST
    assert kept(ledger, "new").startswith("data:image/png;base64,")


def test_no_write_reads_what_others_keep(tmp_path: Path) -> None:
    ledger, steps = Ledger(tmp_path / "ledger.sqlite3"), list[int]()

    def count() -> int:
        steps.append(1)
        return 0

    def write() -> int:
        steps.clear()
        ledger.record_submitted("open", "w", 3)
        return len(steps)

    buy(ledger, "open")
    with ledger._storage.transaction() as db:
        db.set_progress_handler(count, 1)
    alone = write()
    for n in range(30):
        buy(ledger, f"failed {n}", "failed")
    assert write() <= alone + 10


def test_an_older_file_opens_and_is_cleared_with_the_next_purchases(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    with Storage(path, MIGRATIONS[:5]).transaction() as db:
        for n in range(15):
            db.execute(
                "INSERT INTO runs (key, identity, purpose, body, wanted, reserved, owner, created,"
                " state, workflow, status) VALUES (?, '', '', ?, 1, 3, '', ?, 'closed', 'w', ?)",
                (f"old{n}", BODY, n, "failed"),
            )
    ledger = Ledger(path)
    for key in ("a", "b"):
        buy(ledger, key)
    assert {kept(ledger, f"old{n}") for n in range(15)} == {DIGEST}


def test_a_body_without_its_pictures_is_never_sent(tmp_path: Path) -> None:
    clock = Clock()
    ledger = Ledger(tmp_path / "ledger.sqlite3", clock)
    ledger.begin(run("k", body=BODY), again=True, budget=None)
    ledger.drop("k", "refused")
    clock.now += JOINABLE + 1
    buy(ledger, "another")
    with pytest.raises(ConfigError, match="not kept"):
        ledger.take_up("k")


def test_a_failed_edit_is_tried_again_today_and_refused_once_its_pictures_are_gone(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.png").write_bytes(picture())
    box = Sandbox(seconds_per_job=0.01)
    with client(box, tmp_path / "home") as buyer:
        with pytest.raises(Exception, match="failed"):
            buyer.generate("a [sandbox:failed]", images=[str(tmp_path / "a.png")], out=tmp_path)
        assert buyer.ledger is not None
        (failed,) = buyer.ledger.failed()
        assert failed.is_whole
        with buyer.ledger._storage.transaction() as db:
            db.execute("UPDATE runs SET created = 0")
        buyer.submit("a fox")
        gone = buyer.ledger.run(failed.key)
        assert gone is not None
        with pytest.raises(RequestInvalid, match="not kept any more"):
            buyer.resume(gone, out=tmp_path)
