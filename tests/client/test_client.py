"""The clients over the sandbox: the same methods, sync and async, and what they promise."""

from __future__ import annotations

import asyncio
import inspect
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from civitai_skill import (
    AsyncCivitai,
    Civitai,
    CivitaiError,
    ImageRequest,
    NotEnoughBuzz,
    OverBudget,
    RequestInvalid,
    StillRunning,
    TransportFailed,
    WorkflowFailed,
)
from civitai_skill.api.service import Retry
from civitai_skill.purchase.events import Priced
from civitai_skill.sandbox import Fault, Sandbox, SandboxTransport
from tests.support.sandbox import net_charged

RETRY = Retry(first=0.005, cap=0.02)


@pytest.fixture
def box() -> Sandbox:
    return Sandbox(seconds_per_job=0.05, balance={"blue": 1000, "yellow": 1000})


class Spy(SandboxTransport):
    """The sandbox's transport, and what went through it."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self.seen: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        return super().handle_request(request)


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest, box: Sandbox, tmp_path: Path) -> Callable[..., Any]:
    """Call a method of either client: call("generate", "a fox")."""
    given: dict[str, Any] = {"sandbox": box, "retry": RETRY, "home": tmp_path / "home"}

    def sync(method: str, *args: Any, **kwargs: Any) -> Any:
        with Civitai(**given) as client:
            found = getattr(client, method)(*args, **kwargs)
            return list(found) if method == "query" else found

    def asynchronous(method: str, *args: Any, **kwargs: Any) -> Any:
        async def run() -> Any:
            async with AsyncCivitai(**given) as client:
                found = getattr(client, method)(*args, **kwargs)
                return [w async for w in found] if method == "query" else await found

        return asyncio.run(run())

    return sync if request.param == "sync" else asynchronous


def test_both_clients_have_the_same_methods_with_the_same_arguments() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(member).parameters)
            for name, member in inspect.getmembers(kind, callable)
            if not name.startswith("_")
        }

    assert methods(Civitai) == methods(AsyncCivitai)


@pytest.mark.parametrize(
    ("method", "gives"),
    [("generate", "Generation"), ("page", "Page"), ("saved_paths", "dict[str, list[str]]")],
)
def test_methods_show_what_they_take_and_give_and_say_what_they_do(method: str, gives: str) -> None:
    plain, awaited = getattr(Civitai, method), getattr(AsyncCivitai, method)
    assert plain.__doc__ == awaited.__doc__ != ""
    assert inspect.signature(plain) == inspect.signature(awaited)
    assert inspect.signature(plain).return_annotation == gives
    assert plain.__annotations__["return"] == gives
    kinds = [inspect.iscoroutinefunction(made) for made in (plain, awaited)]
    assert kinds == [False, True]


def test_a_request_becomes_a_picture_of_the_size_that_was_asked_for(
    call: Callable[..., Any], tmp_path: Path
) -> None:
    result = call("generate", "a red fox", width=640, height=512, seed=7, out=tmp_path / "out")

    (picture,) = result.pictures
    with Image.open(picture.path) as opened:
        assert (opened.size, opened.format) == ((640, 512), "JPEG")
    assert (picture.width, picture.height, picture.seed) == (640, 512, 7)
    assert (result.engine, result.variant, result.resumed) == ("flux2", "klein-4b", False)
    assert [p.name for p in (tmp_path / "out").iterdir()] == [f"{result.id}-0.jpeg"]


def test_the_suffix_follows_the_bytes(call: Callable[..., Any], tmp_path: Path) -> None:
    result = call("generate", "a fox", output_format="webp", out=tmp_path)

    assert result.paths[0].suffix == ".webp"


def test_each_picture_of_a_batch_has_a_file_and_a_seed(
    call: Callable[..., Any], tmp_path: Path
) -> None:
    result = call("generate", "a fox", quantity=3, seed=10, out=tmp_path)

    assert [p.seed for p in result.pictures] == [10, 11, 12]
    assert len({p.read_bytes() for p in result.paths}) == 3


def test_the_same_seed_makes_the_same_picture(call: Callable[..., Any], tmp_path: Path) -> None:
    first = call("generate", "a fox", engine="sdxl", out=tmp_path)
    again = call("generate", "a fox", engine="sdxl", seed=first.pictures[0].seed, out=tmp_path)

    assert first.paths[0].read_bytes() == again.paths[0].read_bytes()


def test_submit_get_wait_and_download_do_what_generate_does(
    call: Callable[..., Any], tmp_path: Path
) -> None:
    workflow = call("submit", ImageRequest(prompt="a fox"))
    waited = call("wait", workflow.id, timeout=10)
    result = call("download", waited, tmp_path / "out")

    assert call("get", workflow.id).status == "succeeded"
    assert (waited.id, result.id) == (workflow.id, workflow.id)
    assert result.paths[0].exists()


def test_an_open_run_is_told_before_anything_is_bought(
    call: Callable[..., Any], box: Sandbox, tmp_path: Path
) -> None:
    slow = "a fox [sandbox:slow=60]"
    assert call("preview", slow, out=tmp_path).run is None
    with pytest.raises(StillRunning) as caught:
        call("generate", slow, out=tmp_path, timeout=0.05)
    paid = net_charged(box)
    assert call("preview", slow, out=tmp_path).run.workflow == caught.value.workflow_id
    assert call("preview", slow).run is None, "its pictures go elsewhere"
    assert net_charged(box) == paid > 0


def test_a_download_of_what_is_not_finished_says_so(call: Callable[..., Any]) -> None:
    workflow = call("submit", "a fox [sandbox:stuck]")

    with pytest.raises(StillRunning):
        call("download", workflow.id)


def test_an_estimate_spends_nothing_and_makes_no_job(
    call: Callable[..., Any], box: Sandbox
) -> None:
    quote = call("estimate", "a fox", engine="qwen")

    assert (quote.total, quote.insufficient_buzz, net_charged(box)) == (30, False, 0)
    assert call("query") == []


def test_the_query_walks_every_page(call: Callable[..., Any]) -> None:
    ids = [call("submit", f"fox {i}", tags=["t", "u"] if i else []).id for i in range(5)]

    assert [w.id for w in call("query", take=2)] == ids[::-1]
    assert [w.id for w in call("query", tags=["t", "u"], take=2)] == ids[:0:-1]
    page = call("page", take=2)
    assert [w.id for w in call("page", page.next, take=2).items] == ids[2:0:-1]


def test_a_cancel_tells_the_refund(call: Callable[..., Any], box: Sandbox) -> None:
    workflow = call("submit", "a fox [sandbox:slow=60]")
    canceled = call("cancel", workflow.id)

    assert (canceled.workflow.status, canceled.refunded, canceled.was_done) == (
        "canceled",
        3,
        False,
    )
    assert net_charged(box) == 0
    assert call("cancel", workflow.id).was_done


# -- money -----------------------------------------------------------------------------
def test_above_the_limit_nothing_is_bought_and_what_would_fit_is_told(
    call: Callable[..., Any], box: Sandbox
) -> None:
    with pytest.raises(OverBudget) as caught:
        call("generate", "a fox", engine="seedream", quantity=4, max_buzz=130)

    assert (caught.value.price, caught.value.limit, net_charged(box)) == (240, 130, 0)
    assert "2 of the 4 pictures would fit" in caught.value.hint


def test_an_undocumented_price_is_asked_for_before_paying(
    call: Callable[..., Any], box: Sandbox, tmp_path: Path
) -> None:
    told: list[Any] = []
    with pytest.raises(OverBudget):
        call("generate", "a fox", variant="pro", max_buzz=1, out=tmp_path, tell=told.append)

    prices = [e for e in told if isinstance(e, Priced)]
    assert [p.quote is not None for p in prices] == [False, True]
    assert "not documented" in str(prices[0])
    assert net_charged(box) == 0


def test_without_a_limit_of_its_own_a_call_may_cost_three_hundred(
    call: Callable[..., Any], box: Sandbox
) -> None:
    with pytest.raises(OverBudget) as caught:
        call("submit", "a fox", engine="seedream", quantity=6)

    assert (caught.value.limit, net_charged(box)) == (300, 0)


def test_an_empty_account_is_told_before_the_submit(tmp_path: Path) -> None:
    poor = Sandbox(balance={"blue": 1})
    spy = Spy(poor)
    with Civitai(sandbox=poor, transport=spy, home=tmp_path) as client:
        with pytest.raises(NotEnoughBuzz):
            client.generate("a fox", engine="seedream", quantity=2, out=tmp_path)
        posts = [r.url.params.get("whatif") for r in spy.seen if r.method == "POST"]
        assert posts == ["true"], "the price was asked for, and nothing submitted"
        with pytest.raises(NotEnoughBuzz):
            client.submit("a fox")

    assert net_charged(poor) == 0


def test_mature_content_asks_for_yellow_buzz(tmp_path: Path) -> None:
    blue = Sandbox(balance={"blue": 1000})
    with Civitai(sandbox=blue, home=tmp_path) as client, pytest.raises(NotEnoughBuzz) as caught:
        client.submit("a fox", allow_mature_content=True)

    assert "yellow" in caught.value.hint


def test_every_submit_carries_a_key_of_its_own_and_an_estimate_none(
    box: Sandbox, tmp_path: Path
) -> None:
    spy = Spy(box)
    with Civitai(sandbox=box, transport=spy, home=tmp_path) as client:
        client.estimate("a fox")
        client.submit("a fox")
        client.submit("a fox")
        client.submit("a fox", external_id="mine-1")
    bodies = [json.loads(r.content) for r in spy.seen if r.method == "POST"]

    prices = [json.loads(r.content) for r in spy.seen if "whatif" in r.url.params]
    submits = [body for body in bodies if body not in prices]
    assert not any("externalId" in body for body in prices)
    assert len({body["externalId"] for body in submits}) == len(submits) == 3
    assert submits[2]["externalId"] == "mine-1"


def test_a_submit_of_unknown_fate_can_be_settled_without_paying_twice(
    box: Sandbox, tmp_path: Path
) -> None:
    with Civitai(sandbox=box, home=tmp_path, retry=RETRY) as client:
        box.script(Fault("submit", "reset", committed=True, times=None))
        with pytest.raises(TransportFailed) as caught:
            client.submit("a fox")
        box.clear()
        key = caught.value.key
        assert key is not None
        workflow = client.settle(key)

    assert (caught.value.spent, net_charged(box)) == ("unknown", 3)
    assert workflow.external_id is not None
    assert workflow.external_id.endswith(key)


def test_a_key_that_nobody_sent_can_t_be_settled(call: Callable[..., Any]) -> None:
    with pytest.raises(RequestInvalid):
        call("settle", "cs-unknown")


def test_held_mature_pictures_are_released_after_the_price_is_told(
    call: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(WorkflowFailed) as caught:
        call("generate", "a fox [sandbox:mature]", out=tmp_path, allow_mature_content=False)
    held = caught.value.workflow.id
    assert "held back" in str(caught.value)
    with pytest.raises(OverBudget):
        call("release", held, max_buzz=0)
    told: list[str] = []
    call("release", held, tell=lambda event: told.append(str(event)))
    result = call("download", held, tmp_path)

    assert told == [f"releasing {held} costs 3 yellow Buzz; what was paid comes back"]
    assert len(result.paths) == 1
    with pytest.raises(RequestInvalid, match="nothing is held"):
        call("release", held)


# -- nothing is sent for nothing -------------------------------------------------------
@pytest.mark.parametrize(
    "asked",
    [
        {"prompt": ""},
        {"prompt": "x", "engine": "nope"},
        {"prompt": "x", "steps": 1000},
        {"prompt": "x", "images": ["missing.png"]},
        {"prompt": "x", "tags": ["t"] * 2},
        {"prompt": "x", "external_id": "no spaces"},
        {"prompt": "x", "currencies": ["gold"]},
        {"prompt": "x", "priority": "now"},
        {"prompt": "x", "loras": ["Detail Tweaker"]},
    ],
)
def test_a_refused_request_sends_nothing(
    asked: dict[str, Any], box: Sandbox, tmp_path: Path
) -> None:
    spy = Spy(box)
    client = Civitai(sandbox=box, transport=spy, home=tmp_path)
    with client, pytest.raises(RequestInvalid):
        client.generate(asked.pop("prompt"), out=tmp_path, **asked)

    assert spy.seen == []


def test_a_folder_that_can_t_be_written_is_told_before_paying(
    call: Callable[..., Any], box: Sandbox, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")

    with pytest.raises(RequestInvalid) as caught:
        call("generate", "a fox", out=blocked / "sub")

    assert (caught.value.field, net_charged(box)) == ("out", 0)


def test_a_large_source_is_uploaded_and_a_small_one_travels_inside(
    box: Sandbox, tmp_path: Path
) -> None:
    import random

    noise = Image.frombytes("RGB", (512, 512), random.Random(1).randbytes(512 * 512 * 3))
    noise.save(tmp_path / "large.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "small.png")
    spy = Spy(box)
    with Civitai(sandbox=box, transport=spy, home=tmp_path / "home") as client:
        sources = [str(tmp_path / "large.png"), str(tmp_path / "small.png")]
        client.generate("winter", images=sources, out=tmp_path / "out")
    uploads = [r for r in spy.seen if r.url.path == "/v2/consumer/blobs"]
    submit = next(r for r in spy.seen if r.url.path == "/v2/consumer/workflows")
    images = json.loads(submit.content)["steps"][0]["input"]["images"]

    assert len(uploads) == 1
    assert Image.open(io.BytesIO(uploads[0].content)).size == (512, 512)
    assert images[0].startswith("https://")
    assert images[1].startswith("data:image/png;base64,")


def test_the_key_goes_to_the_service_and_never_with_a_picture(box: Sandbox, tmp_path: Path) -> None:
    spy = Spy(box)
    with Civitai("my-k3y", sandbox=box, transport=spy, home=tmp_path) as client:
        client.generate("a fox", out=tmp_path / "out")
    blobs = [r for r in spy.seen if "/blobs/" in r.url.path]

    assert blobs
    assert all("authorization" not in r.headers for r in blobs)
    assert all(r.headers["authorization"] == "Bearer my-k3y" for r in spy.seen if r not in blobs)


def test_health_tells_reachable_and_key_apart(call: Callable[..., Any], box: Sandbox) -> None:
    assert call("health").key_accepted is True
    box.script(Fault("query", "status", status=401))
    assert call("health").key_accepted is False
    box.script(Fault("any", "refuse", times=None))
    assert call("health").reachable is False


def test_any_error_of_the_clients_is_of_the_one_tree(call: Callable[..., Any]) -> None:
    with pytest.raises(CivitaiError):
        call("get", "9-20200101000000000")
