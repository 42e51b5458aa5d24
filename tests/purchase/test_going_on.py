"""What a purchase costs the ledger, and what becomes of its pictures when another call goes on."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from civitai_skill import StillRunning
from civitai_skill.purchase.join import close_answered
from civitai_skill.purchase.order import Order, WorkflowBody
from civitai_skill.purchase.prepare import prepare
from civitai_skill.sandbox import Sandbox
from civitai_skill.storage.sqlite import Storage
from tests.support.ledger import client
from tests.support.sandbox import charged


@pytest.fixture
def box() -> Sandbox:
    return Sandbox(seconds_per_job=0.05)


@pytest.mark.parametrize(
    ("first", "then", "size"),
    [({"crop": "16:9"}, {}, (512, 512)), ({}, {"crop": "16:9"}, (512, 288))],
)
def test_what_is_done_here_is_what_the_call_that_goes_on_wants(
    box: Sandbox, tmp_path: Path, first: Any, then: Any, size: tuple[int, int]
) -> None:
    fox: dict[str, Any] = {"width": 512, "height": 512, "out": tmp_path}
    with client(box, tmp_path) as buyer:
        with pytest.raises(StillRunning):
            buyer.generate("a fox", **fox, **first, timeout=0)
        made = buyer.generate("a fox", **fox, **then)
    assert made.resumed
    assert (made.pictures[0].width, made.pictures[0].height) == size
    assert charged(box) == made.cost


def test_a_body_goes_out_as_its_caller_wrote_it() -> None:
    body: dict[str, Any] = {"steps": [{"$type": "imageGen"}], "tags": ["fox"]}
    assert prepare(Order(WorkflowBody(body))).body() == body


def test_a_picture_costs_five_writes_and_one_read(
    box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[str] = []
    transaction = Storage.transaction

    def watched(self: Storage, *given: Any, writes: bool = True) -> Any:
        kinds.append("write" if writes else "read")
        return transaction(self, *given, writes=writes)

    with client(box, tmp_path) as buyer:
        buyer.generate("a fox", out=tmp_path)
        buyer.confirm()
        monkeypatch.setattr(Storage, "transaction", watched)
        buyer.generate("an owl", out=tmp_path)
        buyer.confirm()
    assert (kinds.count("write"), kinds.count("read")) == (5, 1)


def test_threads_that_share_a_client_close_what_was_answered_together() -> None:
    # Each goes through the list that all of them have, and takes out what it closed.
    both = threading.Barrier(2, timeout=20)

    class Shared:
        def close_run(self, *keys: str, patience: float | None = None) -> None:
            both.wait()

    ended: Any = [(Shared(), "key")]
    other = threading.Thread(target=close_answered, args=(ended,))
    other.start()
    close_answered(ended)
    other.join()
    assert ended == []
