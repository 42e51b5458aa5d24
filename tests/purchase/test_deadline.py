"""The caller's deadline holds from the first byte on: a price, an upload and a submit that are put
off end with it."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from civitai_skill import Civitai, CivitaiError, RateLimited, StillRunning
from civitai_skill.sandbox import Fault, Sandbox
from tests.support.pictures import picture

#: Seconds that a call is given, and that it may take: a pause is never cut, only left out.
GIVEN, MOST = 1.0, 6.0


@pytest.fixture
def box() -> Sandbox:
    return Sandbox(seconds_per_job=30)


@pytest.fixture
def client(box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("civitai_skill.purchase.generate._LEAST", 0.5)
    with Civitai(sandbox=box, home=tmp_path) as made:
        made.estimate("a fox")  # what is read on first use is no part of a call's time
        yield made


def large() -> bytes:
    out = io.BytesIO()
    Image.effect_noise((900, 900), 90).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("on", "fault", "ends", "spent"),
    [
        ("submit", {"status": 429, "retry_after": 25}, RateLimited, "no"),
        ("submit", {"status": 503}, CivitaiError, "unknown"),
        ("whatif", {"status": 429, "retry_after": 25}, RateLimited, "no"),
        ("upload", {"status": 503}, CivitaiError, "no"),
    ],
)
def test_what_is_put_off_is_not_waited_for_past_the_deadline(
    client: Civitai, box: Sandbox, tmp_path: Path, on: Any, fault: dict[str, Any], ends: Any,
    spent: str,
) -> None:  # fmt: skip
    box.script(Fault(on, "status", times=None, **fault))
    images = [large()] if on == "upload" else []
    began = time.monotonic()
    with pytest.raises(ends) as ended:
        client.generate("a fox", images=images, out=tmp_path, timeout=GIVEN)
    assert time.monotonic() - began < MOST
    assert ended.value.spent == spent
    workflows = sum(account["workflows"] for account in box.accounts())
    assert workflows == (0 if spent == "no" or fault.get("status") == 503 else 1)


def test_what_buying_took_is_no_more_waited_for(
    client: Civitai, box: Sandbox, tmp_path: Path
) -> None:
    box.script(Fault("submit", "status", status=429, retry_after=1, times=1))
    began = time.monotonic()
    with pytest.raises(StillRunning, match=r"still running after 2 s") as ended:
        client.generate("a fox", out=tmp_path, timeout=2.0)
    assert ended.value.workflow_id
    assert time.monotonic() - began < 3.5


def test_finishing_ends_at_its_deadline_too(client: Civitai, box: Sandbox, tmp_path: Path) -> None:
    box.script(Fault("submit", "status", times=None, status=429, retry_after=25))
    began = time.monotonic()
    with pytest.raises(RateLimited):
        client.finish([picture()], upscale=1, out=tmp_path, timeout=GIVEN)
    assert time.monotonic() - began < MOST
