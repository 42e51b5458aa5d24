"""The plain callables, and a workflow body of somebody else's making under our money rules."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import civitai_skill
from civitai_skill import (
    AsyncCivitai,
    Civitai,
    NotEnoughBuzz,
    OverBudget,
    RequestInvalid,
    StillRunning,
    WorkflowFailed,
    generate_image,
    get_image,
)
from civitai_skill.api.service import Retry
from civitai_skill.client import functions
from civitai_skill.sandbox import Fault, Sandbox, SandboxTransport

BODY: dict[str, Any] = {
    "steps": [
        {
            "$type": "imageGen",
            "input": {
                "engine": "flux2",
                "model": "klein",
                "operation": "createImage",
                "prompt": "a red fox",
                "steps": 4,
                "cfgScale": 1,
                "seed": 7,
            },
        }
    ],
    "tags": ["raw"],
}


class Spy(SandboxTransport):
    """The sandbox's transport, and what was sent through it."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self.sent: list[tuple[str, str, bytes]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append((request.method, request.url.query.decode(), request.read()))
        return super().handle_request(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append((request.method, request.url.query.decode(), await request.aread()))
        return await super().handle_async_request(request)


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(seconds_per_job=0.02, balance={"blue": 500, "yellow": 0})


@pytest.fixture
def spy(sandbox: Sandbox) -> Spy:
    return Spy(sandbox)


@pytest.fixture
def client(spy: Spy, tmp_path: Path) -> Civitai:
    retry = Retry(first=0.001, cap=0.002, tries=2)
    return Civitai("k", transport=spy, home=tmp_path / "home", retry=retry, max_buzz=100)


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest, client: Civitai) -> Callable[..., Any]:
    """Call a function or its async twin: call("generate_image", "a fox")."""

    def sync(name: str, *args: Any, **given: Any) -> Any:
        return getattr(civitai_skill, name)(*args, client=client, **given)

    def asynchronous(name: str, *args: Any, **given: Any) -> Any:
        async def main() -> Any:
            async with AsyncCivitai.like(client) as twin:
                return await getattr(civitai_skill, f"a{name}")(*args, client=twin, **given)

        return asyncio.run(main())

    return sync if request.param == "sync" else asynchronous


# -- the tools as functions ------------------------------------------------------------------------
def test_a_picture_with_no_framework_at_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CIVITAI_SANDBOX", "1")
    monkeypatch.chdir(tmp_path)
    made = generate_image("a red fox", engine="z-image")
    assert made.engine == "z-image"
    assert [path.is_file() for path in made.paths] == [True]
    assert get_image(made.id or "").paths == made.paths


def test_submit_wait_look_and_cancel(call: Callable[..., Any], tmp_path: Path) -> None:
    assert call("estimate_image", "a fox", engine="seedream").total == 60
    submitted = call("submit_image", "a fox", tags=["foxes"])
    got = call("get_image", submitted.id, wait_seconds=30, out=tmp_path)
    assert got.status == "succeeded"
    assert got.paths[0].parent == tmp_path
    only_looked = call("get_image", submitted.id, out=None)
    assert only_looked.paths == ()
    assert only_looked.pictures[0].available
    assert [w.id for w in call("query_images", tags=["foxes"], since="1d").items] == [submitted.id]
    slow = call("generate_image", "a fox [sandbox:slow=60]", wait_seconds=0)
    assert not slow.workflow.done
    assert call("cancel_image", slow.id).refunded == 3


def test_the_end_of_the_wait_raises_with_the_id(call: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(StillRunning) as over:
        call("generate_image", "a fox [sandbox:slow=60]", wait_seconds=0.05, out=tmp_path)
    with pytest.raises(StillRunning):
        call("get_image", over.value.workflow_id, wait_seconds=0.05)


def test_looking_at_a_failed_one_raises(call: Callable[..., Any]) -> None:
    failed = call("submit_image", "a fox [sandbox:failed]")
    with pytest.raises(WorkflowFailed, match="ended as failed"):
        call("get_image", failed.id, wait_seconds=30)


def test_every_callable_has_its_async_twin_with_the_same_parameters() -> None:
    names = [n for n in civitai_skill.__all__ if civitai_skill._HOMES.get(n) == "client.functions"]
    twins = {n for n in names if inspect.iscoroutinefunction(getattr(functions, n))}
    assert twins == {f"a{n}" for n in names if n not in twins} | {"achoose_engine"}
    for name in twins - {"achoose_engine"}:
        own = inspect.signature(getattr(functions, name)).parameters
        plain = inspect.signature(getattr(functions, name[1:])).parameters
        assert list(own) == list(plain)
        assert [p.default for p in own.values()] == [p.default for p in plain.values()]
    assert asyncio.run(functions.achoose_engine(["photo"])) == civitai_skill.choose_engine(
        ["photo"]
    )


# -- the published capability's names --------------------------------------------------------------
def test_a_raw_body_is_priced_first_and_gets_a_key(call: Callable[..., Any], spy: Spy) -> None:
    answer = call("submitimagegen", BODY)
    assert answer["steps"][0]["input"]["prompt"] == "a red fox"
    assert answer["externalId"].partition("-")[2].startswith("cs-")
    (_, priced, asked), (_, submitted, sent) = spy.sent
    assert (priced, submitted) == ("whatif=true", "wait=0")
    assert b"externalId" not in asked
    assert b'"externalId":"cs-' in sent
    assert "externalId" not in BODY
    listed = call("queryimagegens", take=5, tags=["raw"])
    assert [row["id"] for row in listed["items"]] == [answer["id"]]
    assert "next" not in listed


def test_raw_pages_carry_the_cursor(call: Callable[..., Any]) -> None:
    first, second = (call("submitimagegen", {**BODY, "tags": [t]})["id"] for t in ("a", "b"))
    page = call("queryimagegens", 1)
    assert [row["id"] for row in page["items"]] == [second]
    following = call("queryimagegens", 1, page["next"])
    assert [row["id"] for row in following["items"]] == [first]


def test_a_raw_body_above_the_limit_is_refused(call: Callable[..., Any], sandbox: Sandbox) -> None:
    with pytest.raises(OverBudget) as refused:
        call("submitimagegen", BODY, max_buzz=1)
    assert (refused.value.price, refused.value.limit) == (2, 1)
    many = {**BODY, "steps": BODY["steps"] * 60}
    with pytest.raises(OverBudget, match="the limit is 100"):
        call("submitimagegen", many)
    assert sandbox.accounts()[0]["submits"] == 0


def test_a_raw_body_that_the_account_cannot_pay_is_refused(call: Callable[..., Any]) -> None:
    with pytest.raises(NotEnoughBuzz):
        call("submitimagegen", {**BODY, "currencies": ["yellow"]})


def test_the_same_key_again_gives_the_old_workflow(
    call: Callable[..., Any], sandbox: Sandbox
) -> None:
    first = call("submitimagegen", {**BODY, "externalId": "mine-1"})
    again = call("submitimagegen", {**BODY, "externalId": "mine-1"})
    assert again["id"] == first["id"]
    assert sandbox.accounts()[0]["charged"] == 2
    with pytest.raises(RequestInvalid, match="this key was used for another request"):
        call("submitimagegen", {**BODY, "tags": ["other"], "externalId": "mine-1"})


def test_a_lost_reply_to_a_raw_submit_can_be_settled(client: Civitai, sandbox: Sandbox) -> None:
    sandbox.script(Fault("submit", "status", status=502, committed=True, times=2))
    with pytest.raises(civitai_skill.ServerError) as lost:
        functions.submitimagegen({**BODY, "externalId": "mine-2"}, client=client)
    assert lost.value.spent == "unknown"
    assert client.settle("mine-2").id
    assert sandbox.accounts()[0]["charged"] == 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"prompt": "a fox"}, "this takes the service's own body"),
        ({"steps": []}, "this takes the service's own body"),
        ({"steps": ["imageGen"]}, "this takes the service's own body"),
        ("a fox", "body: not accepted (given 'str')"),
        ({**BODY, "externalId": "no spaces"}, "external_id: "),
        ({**BODY, "externalId": 7}, "external_id: "),
        ({**BODY, "metadata": {"x": float("nan")}}, "Accepted: plain JSON."),
        ({**BODY, "metadata": {"x": {1, 2}}}, "Accepted: plain JSON."),
    ],
    ids=lambda v: str(v)[:40],
)
def test_a_body_that_is_none_is_refused_before_anything_is_sent(
    call: Callable[..., Any], spy: Spy, body: Any, said: str
) -> None:
    with pytest.raises(RequestInvalid) as refused:
        call("submitimagegen", body)
    assert said in refused.value.message
    assert spy.sent == []
