"""Answers that are odd in one way: what is known stays known, and a deadline is a deadline."""

from __future__ import annotations

import gzip
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image, ImageFile

from civitai_skill import (
    AsyncCivitai,
    Civitai,
    OverBudget,
    RequestInvalid,
    StillRunning,
    Toolbox,
    WorkflowBody,
)
from civitai_skill.api.models import Workflow
from civitai_skill.api.service import Retry
from civitai_skill.engines.catalog import identify
from civitai_skill.errors import ApiError, TransportFailed, explain
from tests.support.pictures import claiming, picture

ID = "7-20260101120000000"
RETRY = Retry(tries=2, first=0.0, cap=0.0)
Answer = Callable[[httpx.Request], httpx.Response]


def client(answer: Answer, home: Path, **more: Any) -> Civitai:
    settings: dict[str, Any] = {"home": home, "retry": RETRY, "ledger": False, **more}
    return Civitai("key", transport=httpx.MockTransport(answer), **settings)


def always(status: int, json: Any = None, **more: Any) -> Answer:
    return lambda request: httpx.Response(status, json=json, **more)


def done(*images: dict[str, Any], **more: Any) -> dict[str, Any]:
    step = {"$type": "imageGen", "status": "succeeded", "output": {"images": list(images)}}
    return {"id": ID, "status": "succeeded", "steps": [step], **more}


# -- ids ---------------------------------------------------------------------------------
@pytest.mark.parametrize("status", [401, 403, 404, 418, 429, 500])
def test_a_look_that_fails_names_the_workflow_and_the_next_command(
    status: int, tmp_path: Path
) -> None:
    with client(always(status), tmp_path) as buyer, pytest.raises(ApiError) as failed:
        buyer.wait(ID, timeout=5)
    told = explain(failed.value)
    assert told.details["id"] == ID
    assert f"client.wait({ID!r})" in told.hint
    assert told.spent == "yes"


@pytest.mark.parametrize("id", [None, 7, ""])
def test_an_answer_that_names_no_id_does_not_erase_the_known_one(id: Any, tmp_path: Path) -> None:
    answer = always(200, {"id": id, "status": "processing"})
    with client(answer, tmp_path) as buyer, pytest.raises(StillRunning) as running:
        buyer.wait(ID, timeout=0)
    assert running.value.workflow_id == ID


# -- deadlines ---------------------------------------------------------------------------
@pytest.mark.parametrize("known", [True, False])
def test_a_long_retry_after_ends_at_the_deadline_as_still_running(
    known: bool, tmp_path: Path
) -> None:
    answer = always(503, headers={"Retry-After": "50"})
    workflow = Workflow(ID, "processing") if known else ID
    began = time.monotonic()
    with client(answer, tmp_path) as buyer, pytest.raises(StillRunning) as running:
        buyer.wait(workflow, timeout=0.3)
    assert 0.25 < time.monotonic() - began < 2
    assert running.value.workflow_id == ID


def test_no_try_outlasts_its_deadline_by_much(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append({**request.extensions["timeout"], "whole": request.extensions["seconds"]})
        raise httpx.ReadTimeout("silent")

    with client(answer, tmp_path) as buyer, pytest.raises(TransportFailed):
        buyer.wait(ID, timeout=2)
    assert all(max(t["read"], t["connect"], t["whole"]) <= 5 for t in seen)


async def test_an_answer_that_never_begins_is_given_up(tmp_path: Path) -> None:
    class Silent(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            import asyncio

            request.extensions["seconds"] = 60
            await asyncio.sleep(60)
            raise AssertionError("it was waited for")

    async with AsyncCivitai(
        "key", transport=Silent(), home=tmp_path, retry=RETRY, ledger=False
    ) as buyer:
        began = time.monotonic()
        with pytest.raises((StillRunning, TransportFailed)):
            await buyer.wait(ID, timeout=0.1)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "text",
    ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "Mon, 01 Jan 2026 99999999999:00:00 GMT"],
)
def test_a_retry_after_that_is_no_date_is_not_heeded(text: str, tmp_path: Path) -> None:
    answer = always(429, headers={"Retry-After": text})
    with client(answer, tmp_path) as buyer, pytest.raises(ApiError):
        buyer.get(ID)


# -- what is told ------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("answer", "reachable"),
    [
        (always(200, text="<html>Sign in to this network</html>"), False),
        (always(302, headers={"Location": "https://login.example/"}), False),
        (lambda r: httpx.Response(200, json=[] if "services" in str(r.url) else {}), True),
    ],
    ids=["a page", "a redirect", "the service"],
)
def test_only_the_service_itself_is_taken_for_it(
    answer: Answer, reachable: bool, tmp_path: Path
) -> None:
    with client(answer, tmp_path) as buyer:
        health = buyer.health()
    assert (health.reachable, health.key_accepted is True) == (reachable, reachable)


@pytest.mark.parametrize(("told", "price"), [(300.2, 301), (7, 7), (-5, None), (True, None)])
def test_a_price_is_rounded_up_and_one_below_nothing_is_none(told: Any, price: int | None) -> None:
    assert Workflow.read({"cost": {"total": told}}).cost.total == price


@pytest.mark.parametrize("total", [300.2, -5])
def test_no_body_is_bought_above_the_limit_by_a_fraction_or_without_a_price(
    total: float, tmp_path: Path
) -> None:
    answer = always(200, {"id": ID, "status": "unassigned", "cost": {"total": total}})
    body = {"steps": [{"$type": "imageGen", "input": {}}]}
    with client(answer, tmp_path) as buyer, pytest.raises(OverBudget):
        buyer.submit(WorkflowBody(body), max_buzz=300)


@pytest.mark.parametrize(
    ("half", "told"),
    [(rb"\ud83d", "?"), (b"\xed\xa0\xbd", "?"), ("\U0001f98a".encode(), "\U0001f98a")],
)
def test_half_a_character_is_told_as_a_question_mark(
    half: bytes, told: str, tmp_path: Path
) -> None:
    output = b'{"errors": ["bad ' + half + b' word"]}'
    text = b'{"id": "7-1", "status": "failed", "steps": [{"output": ' + output + b"}]}"
    with client(lambda request: httpx.Response(200, content=text), tmp_path) as buyer:
        assert buyer.get("7-1").reasons() == (f"bad {told} word",)


@pytest.mark.parametrize("rate", [10**400, float("nan"), True, "1"])
def test_a_progress_that_is_no_number_is_none(rate: Any) -> None:
    steps = [{"status": "processing", "estimatedProgressRate": rate}]
    assert Workflow.read({"status": "processing", "steps": steps}).progress.percent is None


def test_a_workflow_that_names_no_engine_has_none() -> None:
    assert identify({}) == identify({"image": "https://a.example/b.png"}) == (None, None)


@pytest.mark.parametrize(("end", "was_done"), [("succeeded", True), ("canceled", False)])
def test_a_cancel_that_came_too_late_says_so(end: str, was_done: bool, tmp_path: Path) -> None:
    looks = iter(["processing", end])

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            return httpx.Response(204)
        return httpx.Response(200, json={"id": ID, "status": next(looks)})

    with client(answer, tmp_path) as buyer:
        assert buyer.cancel(ID).was_done is was_done


def test_releasing_costs_what_was_not_paid_in_yellow_yet(tmp_path: Path) -> None:
    paid = [
        {"type": "debit", "amount": amount, "accountType": account}
        for account, amount in (("blue", 5), ("yellow", 3))
    ]
    held = {"id": "a", "available": True}
    answer = always(200, {**done(held), "transactions": {"list": paid}})
    with client(answer, tmp_path) as buyer, pytest.raises(OverBudget) as refused:
        buyer.release(ID, max_buzz=4)
    assert refused.value.price == 5


# -- pictures ----------------------------------------------------------------------------
def tried(answer: Answer, tmp_path: Path, why: str | None = None) -> list[httpx.Request]:
    """The requests for a picture that never comes whole."""
    seen: list[httpx.Request] = []

    def blob(request: httpx.Request) -> httpx.Response:
        if "/workflows/" in request.url.path:
            address = {"id": "x.png", "available": True, "url": "https://p.example/x"}
            return httpx.Response(200, json=done(address))
        seen.append(request)
        if request.url.path.endswith("/refresh"):
            return httpx.Response(200, json={"id": "x.png", "url": "https://p.example/y"})
        return answer(request)

    with client(blob, tmp_path) as buyer, pytest.raises(TransportFailed, match=why) as failed:
        buyer.download(ID, tmp_path / "out")
    assert (failed.value.spent, failed.value.workflow_id) == ("yes", ID)
    return seen


def unreachable(request: httpx.Request) -> httpx.Response:
    if request.url.host == "a..b":
        raise UnicodeError("label empty or too long")  # as the network code does
    return httpx.Response(302, headers={"Location": "https://a..b/"})


@pytest.mark.parametrize(
    ("answer", "most"),
    [
        (always(200, text="<html></html>"), 4),
        (always(302, headers={"Location": "file:///etc/passwd"}), 4),
        (unreachable, 10),
        (always(200, content=b"\x89PNG\r\n\x1a\n cut off"), 12),
    ],
    ids=["a page", "a file", "no usable host", "a broken picture"],
)
def test_a_picture_that_will_not_come_is_not_asked_for_without_end(
    answer: Answer, most: int, tmp_path: Path
) -> None:
    assert len(tried(answer, tmp_path)) <= most


def test_a_picture_of_a_senseless_size_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("it was decoded"))
    assert len(tried(always(200, content=claiming(1, 299_999_999)), tmp_path)) <= 4


def test_a_picture_that_memory_is_short_for_is_fetched_once_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(self: object) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", short)
    whole = always(200, content=claiming(14_000, 14_000))
    assert len(tried(whole, tmp_path, "14000x14000, and there is not the memory")) == 1


@pytest.mark.parametrize(("kind", "missing"), [("PNG", 16), ("GIF", 1)])
def test_a_picture_that_lacks_its_last_bytes_is_fetched_again_though_it_decodes(
    kind: str, missing: int, tmp_path: Path
) -> None:
    out = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(out, kind)
    whole, address = out.getvalue(), {"id": "x", "available": True, "url": "https://p.example/x"}
    with Image.open(io.BytesIO(whole[:-missing])) as picture:
        picture.load()
    bodies = [whole[:-missing], whole]

    def answer(request: httpx.Request) -> httpx.Response:
        if "/workflows/" in request.url.path:
            return httpx.Response(200, json=done(address))
        length = {"Content-Length": str(len(whole))}
        return httpx.Response(200, content=bodies.pop(0), headers=length)

    with client(answer, tmp_path) as buyer:
        (path,) = buyer.download(ID, tmp_path / "out").paths
    assert path.read_bytes() == whole


def test_an_odd_workflow_id_lands_on_no_file_of_the_users_or_of_another_workflow(
    tmp_path: Path,
) -> None:
    mine = tmp_path / "holiday-0.png"
    mine.write_bytes(b"mine")
    colours = [picture(size=(8, 8)), picture(size=(9, 9))]

    def answer(request: httpx.Request) -> httpx.Response:
        if "/workflows/" in request.url.path:
            address = {"id": "x", "available": True, "url": "https://p.example/x"}
            return httpx.Response(200, json={**done(address), "id": "holiday"})
        return httpx.Response(200, content=colours.pop(0))

    with client(answer, tmp_path / "home") as buyer:
        paths = [*buyer.download("holiday", tmp_path).paths]
        paths += buyer.download("holiday", tmp_path).paths

    assert [path.name for path in paths] == ["holiday-0-2.png", "holiday-0-3.png"]
    assert mine.read_bytes() == b"mine"


def test_a_huge_picture_that_was_paid_for_comes_home(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("1", (14_000, 14_000)).save(out, "PNG")
    address = {"id": "x.png", "available": True, "url": "https://p.example/x"}

    def answer(request: httpx.Request) -> httpx.Response:
        if "/workflows/" in request.url.path:
            return httpx.Response(200, json=done(address))
        return httpx.Response(200, stream=httpx.ByteStream(gzip.compress(out.getvalue())),
                              headers={"Content-Encoding": "gzip"})  # fmt: skip

    with client(answer, tmp_path) as buyer:
        (picture,) = buyer.download(ID, tmp_path / "out").pictures
    assert (picture.width, picture.height) == (14_000, 14_000)


def test_an_upload_that_was_not_kept_is_no_source(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.effect_noise((900, 900), 90).save(path)

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path.endswith("/blobs"), "nothing is submitted"
        blob = {"id": "x", "available": False, "url": "https://p.example/x"}
        return httpx.Response(201, json=blob)

    with client(answer, tmp_path) as buyer, pytest.raises(RequestInvalid, match="did not keep it"):
        buyer.generate("winter", images=[str(path)], out=tmp_path)


@pytest.mark.parametrize("tool", ["civitai_get_image", "civitai_query_images"])
def test_the_service_s_words_are_bounded_in_one_result(tool: str, tmp_path: Path) -> None:
    many = [f"word {n} " + "x" * 10_000 for n in range(200)]
    blobs = [{"id": str(n), "available": False, "blockedReason": many[n]} for n in range(12)]
    blobs += [{"id": str(n), "available": False} for n in range(12)]
    warnings = [{"code": text, "message": text, "replacement": text} for text in many]
    step = {"$type": "imageGen", "name": many[0], "status": many[1], "warnings": warnings,
            "input": {"prompt": many[2], "engine": many[3]},
            "output": {"images": blobs, "errors": many, "message": many[5]}}  # fmt: skip
    odd = {"id": ID, "status": "failed", "steps": [step], "tags": many, "createdAt": many[4]}

    def answer(request: httpx.Request) -> httpx.Response:
        one = request.url.path.endswith(ID)
        return httpx.Response(200, json=odd if one else {"items": [odd] * 20})

    with client(answer, tmp_path) as buyer:
        box = Toolbox(buyer, include=[tool], out=tmp_path)
        text = box.call(tool, {"id": ID} if tool == "civitai_get_image" else {}).text
    assert len(text) < 40_000
    assert text.count("word 0 ") <= 20
