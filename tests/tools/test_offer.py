"""What a call would buy, as a person is told it before anything is bought."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from civitai_skill import Civitai, RequestInvalid, ServerError, Toolbox
from civitai_skill.api.service import Retry
from civitai_skill.sandbox import Fault, Sandbox

GENERATE = "civitai_generate_image"


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(seconds_per_job=0.01)


@pytest.fixture
def box(sandbox: Sandbox, tmp_path: Path) -> Toolbox:
    retry = Retry(first=0.001, cap=0.002)
    client = Civitai(sandbox=sandbox, home=tmp_path / "home", retry=retry)
    return Toolbox(client, out=tmp_path / "out", max_buzz=100)


def test_an_offer_says_what_how_many_for_how_much_and_what_is_left(
    box: Toolbox, sandbox: Sandbox
) -> None:
    asked = {"prompt": "a red fox", "quantity": 2}
    offer = box.offer(GENERATE, asked)
    assert offer is not None
    price = "5 Buzz (simulated by the sandbox)"
    assert str(offer) == f"2 pictures with flux2 klein-4b for {price}. Prompt: 'a red fox'."
    assert (offer.limit, offer.left, offer.costs) == (100, None, True)
    assert sandbox.accounts()[0]["submits"] == 0

    ledger = box._given.ledger
    assert ledger is not None
    ledger.keep_setting("budget", "50/day")
    box.call(GENERATE, {"prompt": "another"})
    told = str(asyncio.run(box.aoffer(GENERATE, asked)))
    assert told.startswith(f"2 pictures with flux2 klein-4b for {price}; 47 Buzz are left of the b")


def test_what_is_open_is_offered_as_such_and_what_only_asks_is_no_offer(box: Toolbox) -> None:
    asked = {"prompt": "a fox [sandbox:slow=60]", "wait_seconds": 0.05}
    box.call(GENERATE, asked)
    offer = box.offer(GENERATE, asked)
    assert offer is not None
    assert not offer.costs
    assert "earlier purchase of the same for 0 Buzz" in str(offer)
    assert box.offer(GENERATE, {**asked, "estimate_only": True}) is None
    assert box.offer("civitai_query_images", {}) is None


def test_a_price_that_only_the_service_knows_is_asked_for(box: Toolbox, sandbox: Sandbox) -> None:
    asked = {"prompt": "a fox", "engine": "grok"}
    offer = box.offer(GENERATE, asked)
    assert offer is not None
    assert offer.price
    sandbox.script(Fault("whatif", "status", status=503, times=None))
    with pytest.raises(ServerError):
        box.offer(GENERATE, asked)
    with pytest.raises(RequestInvalid):
        box.offer(GENERATE, {"prompt": "a fox", "engine": "nothing"})
