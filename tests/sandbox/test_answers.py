"""The answers of deployments of different ages, and what the client makes of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from civitai_skill import Civitai, Quote
from civitai_skill.adapters.cli import main
from civitai_skill.api.models import Workflow
from civitai_skill.sandbox import BASE_URL, KEY, Sandbox, SandboxTransport, Switches
from civitai_skill.sandbox.steps import check, shapes
from civitai_skill.tools.toolbox import Toolbox

WORKFLOWS = "/v2/consumer/workflows"
SDXL: dict[str, Any] = {
    "engine": "sdcpp", "ecosystem": "sdxl", "operation": "createImage", "prompt": "a fox",
    "model": "urn:air:sdxl:checkpoint:civitai:101055@128078",
}  # fmt: skip
GOING = "a fox [sandbox:deprecated]"
WARNING = "The model flux2 klein-4b is deprecated and will stop working. It retires on 2027-01-31."
Play = Callable[..., Any]


@pytest.mark.parametrize("answers", ["new", "old", "both"])
def test_each_form_of_an_answer_says_the_same_of_where_a_step_stands(
    play: Play, answers: Literal["new", "old", "both"]
) -> None:
    client = play(seconds_per_job=100, switches=Switches(answers=answers))
    id = client.submit(SDXL).json()["id"]
    client.clock.sleep(15)
    told = client.workflow(id)
    step = told["steps"][0]
    assert ("jobs" in step) is (answers != "new")
    assert ("queuePosition" in step) is (answers != "old")
    assert isinstance(step["preparation"], dict if answers == "old" else list)
    progress = Workflow.read(told).progress
    assert (progress.status, progress.ahead, progress.seconds) == ("preparing", 2, 15)
    assert (progress.percent, progress.preparing) == (25, SDXL["model"])
    assert progress.done_at is not None
    whatif = client.put(f"{WORKFLOWS}/{id}?whatif=true", json={"tags": ["x"]})
    assert client.workflow(id)["tags"] == (["x"] if answers == "old" else [])
    canceled = client.put_changes(id, status="canceled")
    if answers == "old":
        assert [(r.status_code, r.content) for r in (whatif, canceled)] == [(204, b"")] * 2
    else:
        assert (whatif.json()["tags"], canceled.json()["status"]) == (["x"], "canceled")
    assert client.workflow(id)["status"] == "canceled"


@pytest.mark.parametrize(("event", "fits"), [("workflow:preparing", True), ("step:begun", False)])
def test_callbacks_may_name_the_newer_events(event: str, fits: bool) -> None:
    callback = {"url": "https://example.com/", "type": [event, "job:*"]}
    assert (check.misfits(shapes.Callback, callback, "") == {}) is fits


def opened(folder: Path, **switches: Any) -> Civitai:
    sandbox = Sandbox(seconds_per_job=0.05, switches=Switches(**switches))
    return Civitai(KEY, base_url=BASE_URL, home=folder, transport=SandboxTransport(sandbox))


def test_a_price_that_is_a_cap_is_told_as_one_and_may_settle_lower(tmp_path: Path) -> None:
    told: list[str] = []
    with opened(tmp_path, variable_cost=True, unheard_status=True) as client:
        asked = {"engine": "qwen", "variant": "3.0-pro"}
        quote = client.estimate("a fox", **asked)
        made = client.generate("a fox", out=tmp_path, tell=lambda e: told.append(str(e)), **asked)
        estimated = Toolbox(client).call(
            "civitai_generate_image", {"prompt": "a fox", "estimate_only": True, **asked}
        )
    assert isinstance(quote, Quote)
    assert quote.cost.variable is True
    assert any(f"at most {quote.total} Buzz, says the service" in line for line in told)
    assert estimated.data["at_most"] == quote.total
    cost = made.as_dict()["cost"]
    assert (cost["variable"], cost["refunded"]) == (True, quote.total // 4)
    assert cost["total"] == quote.total - quote.total // 4
    assert made.notes[-1] == f"The {cost['total']} Buzz are a cap: it may settle lower."


def test_a_warning_of_the_service_stands_with_the_price_and_in_every_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []
    with opened(tmp_path) as client:
        assert client.estimate(GOING).as_dict()["warnings"] == [WARNING]
        made = client.generate(
            GOING, out=tmp_path, tell=lambda e: told.extend(getattr(e, "warnings", ()))
        )
        assert (told, made.as_dict()["warnings"]) == ([WARNING], [WARNING])
        assert client.get(made.id or "").warnings[0].retires_at == "2027-01-31T00:00:00Z"
        box = Toolbox(client, out=tmp_path)
        for tool, given in (
            ("civitai_generate_image", {"prompt": GOING, "estimate_only": True}),
            ("civitai_generate_image", {"prompt": GOING}),
            ("civitai_get_image", {"id": made.id}),
        ):
            assert box.call(tool, given).data["warnings"] == [WARNING], tool
    monkeypatch.chdir(tmp_path)
    rows = tmp_path / "rows.csv"
    rows.write_text(f"prompt\n{GOING}\n")
    for words in (["estimate", GOING], ["generate", GOING], ["batch", str(rows), "--out", "b"]):
        assert main([*words, "--sandbox"]) == 0
        out, err = capsys.readouterr()
        found = json.loads(out)
        assert found.get("service", found)["warnings"] == [WARNING], words
        assert words[0] == "estimate" or WARNING in err
    line = json.loads((tmp_path / "b" / "results.jsonl").read_text())
    assert line["warnings"] == [WARNING]
