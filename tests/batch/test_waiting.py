"""Waiting: few requests however many are in flight, nothing missed, nothing held up."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from civitai_skill import AsyncCivitai, Civitai, StillRunning, Workflow, run_batch
from civitai_skill.api import workflows
from civitai_skill.api.service import Retry
from civitai_skill.batch.watcher import WorkflowWatcher
from civitai_skill.errors import BadRequest, CivitaiError, NotFound, ServerError
from civitai_skill.sandbox import Fault, Sandbox
from civitai_skill.sandbox.workflows import responses

TAG = "batch:test"
RETRY = Retry(first=0.005, cap=0.02, tries=3)


@pytest.fixture
def box() -> Sandbox:
    return Sandbox(seconds_per_job=0.3)


@pytest.fixture
async def client(box: Sandbox, tmp_path: Path) -> AsyncIterator[AsyncCivitai]:
    async with AsyncCivitai(sandbox=box, home=tmp_path, ledger=False, retry=RETRY) as made:
        yield made


async def bought(client: AsyncCivitai, number: int, tag: str = TAG) -> list[Workflow]:
    return [
        await client.submit(f"fox {i}", engine="sdxl", width=64, height=64, tags=(tag,))
        for i in range(number)
    ]


async def watched(
    watch: WorkflowWatcher, wait: Callable[[Workflow], Awaitable[Any]], workflows: list[Workflow]
) -> None:
    """Wait for all of them at once."""
    async with anyio.create_task_group() as looking:
        looking.start_soon(watch.run)
        async with anyio.create_task_group() as group:
            for workflow in workflows:
                group.start_soon(wait, workflow)
        looking.cancel_scope.cancel()


def test_a_row_that_is_put_off_ends_with_its_time(
    box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("civitai_skill.purchase.generate._LEAST", 0.5)
    box.script(Fault("submit", "status", status=429, retry_after=25, times=None))
    began = time.monotonic()
    with Civitai(sandbox=box, home=tmp_path) as client:
        report = run_batch([{"prompt": "a fox"}], out=tmp_path, client=client, timeout=1.0)
    assert time.monotonic() - began < 10
    (result,) = report.results
    assert (result.status, result.workflow, result.error["spent"]) == ("unfinished", None, "no")


@pytest.mark.parametrize(("few", "most"), [(100, 20), (0, 6)], ids=["long-polls", "tagged query"])
async def test_every_end_is_noticed_with_few_requests(
    client: AsyncCivitai, few: int, most: int
) -> None:
    found = await bought(client, 20)
    watch, ends = WorkflowWatcher(client, TAG, few=few, shortest=0.2), []

    async def one(workflow: Workflow) -> None:
        ends.append(await watch.wait_for(workflow, 20.0))

    await watched(watch, one, found)
    assert sorted(w.id or "" for w in ends) == sorted(w.id or "" for w in found)
    assert {w.status for w in ends} == {"succeeded"}
    assert watch.requests <= most
    assert watch.pending == {}


async def test_one_that_the_list_does_not_show_is_asked_for_by_itself(
    client: AsyncCivitai,
) -> None:
    found = await bought(client, 2) + await bought(client, 1, tag="another")
    watch, ends = WorkflowWatcher(client, TAG, few=0, shortest=0.2), []

    async def one(workflow: Workflow) -> None:
        ends.append(await watch.wait_for(workflow, 20.0))

    await watched(watch, one, found)
    assert [w.status for w in ends] == ["succeeded"] * 3


async def test_one_that_is_gone_is_told_and_the_others_go_on(client: AsyncCivitai) -> None:
    found = [*await bought(client, 2), Workflow("1-20200101000000000", "unknown")]
    watch = WorkflowWatcher(client, TAG, few=0, shortest=0.2)
    ends: list[str] = []

    async def one(workflow: Workflow) -> None:
        try:
            ends.append((await watch.wait_for(workflow, 20.0)).status)
        except NotFound:
            ends.append("gone")

    await watched(watch, one, found)
    assert sorted(ends) == ["gone", "succeeded", "succeeded"]


@pytest.mark.parametrize("few", [100, 0], ids=["long-polls", "tagged query"])
async def test_the_deadline_of_one_is_its_own(client: AsyncCivitai, box: Sandbox, few: int) -> None:
    stuck = await client.submit("x [sandbox:stuck]", tags=(TAG,))
    found = [stuck, *await bought(client, 2)]
    watch = WorkflowWatcher(client, TAG, few=few, shortest=0.2)
    ends: list[str] = []

    async def one(workflow: Workflow) -> None:
        try:
            ends.append((await watch.wait_for(workflow, 1.5)).status)
        except StillRunning as error:
            ends.append(f"{error.workflow_id} runs on")

    began = time.monotonic()
    await watched(watch, one, found)
    assert ends == ["succeeded", "succeeded", f"{stuck.id} runs on"]
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("few", [100, 0], ids=["long-polls", "tagged query"])
async def test_a_service_that_fails_for_good_is_told(
    client: AsyncCivitai, box: Sandbox, few: int
) -> None:
    found = await bought(client, 2)
    for on in ("get", "query"):
        box.script(Fault(on, "status", status=503, times=None))  # type: ignore[arg-type]
    watch = WorkflowWatcher(client, TAG, few=few, shortest=0.2)
    errors: list[CivitaiError] = []

    async def one(workflow: Workflow) -> None:
        try:
            await watch.wait_for(workflow, 30.0)
        except CivitaiError as error:
            errors.append(error)

    await watched(watch, one, found)
    assert [type(error) for error in errors] == [ServerError, ServerError]


async def test_a_service_that_takes_no_number_here_is_asked_without(
    client: AsyncCivitai, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    real = workflows.get

    def get(service: Any, workflow_id: str, *, wait: float = 0.0, **how: Any) -> Any:
        asked.append(wait)
        if wait:
            raise BadRequest("no", status=400)
        return real(service, workflow_id, **how)

    monkeypatch.setattr(workflows, "get", get)
    (workflow,) = await bought(client, 1)
    watch = WorkflowWatcher(client, TAG, shortest=0.2)

    async def one(workflow: Workflow) -> None:
        assert (await watch.wait_for(workflow, 20.0)).done

    await watched(watch, one, [workflow])
    assert asked[0] == 60.0
    assert set(asked[1:]) == {0.0}
    assert len(asked) <= 4


@pytest.mark.parametrize("few", [100, 0], ids=["long-polls", "tagged query"])
@pytest.mark.parametrize("status", [404, 403, 410])
async def test_what_was_just_bought_is_looked_for_whatever_a_look_answers(
    client: AsyncCivitai, box: Sandbox, few: int, status: int
) -> None:
    (workflow,) = await bought(client, 1, tag="another")
    box.script(Fault("get", "status", status=status, times=2))
    watch = WorkflowWatcher(client, TAG, few=few, shortest=0.05)

    async def one(workflow: Workflow) -> None:
        assert (await watch.wait_for(workflow, 20.0, just_bought=True)).done

    await watched(watch, one, [workflow])
    box.script(Fault("get", "status", status=status, times=None))
    errors: list[CivitaiError] = []

    async def older(workflow: Workflow) -> None:
        try:
            await watch.wait_for(replace(workflow, status="unknown"), 20.0)
        except CivitaiError as error:
            errors.append(error)

    watch = WorkflowWatcher(client, TAG, few=few, shortest=0.05)
    await watched(watch, older, [workflow])
    assert [error.status for error in errors] == [status]  # type: ignore[attr-defined]


def test_pictures_that_come_late_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("civitai_skill.api.wait.LAG", 5.0)
    real, left = responses.render_workflow, [2]

    def late(*given: Any, **more: Any) -> Any:
        body = real(*given, **more)
        if body["status"] == "succeeded" and left[0]:
            left[0] -= 1
            body["steps"][0]["output"]["images"] = []
        return body

    monkeypatch.setattr(responses, "render_workflow", late)
    box = Sandbox(seconds_per_job=0.05)
    with Civitai(sandbox=box, home=tmp_path, retry=RETRY) as client:
        report = run_batch([{"prompt": "a fox"}], client=client, out=tmp_path / "out")
    assert [(r.status, len(r.pictures)) for r in report.results] == [("succeeded", 1)]
    assert left == [0]
