"""What tools say and hear: about missing pictures, the engines there are, what was left out."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from civitai_skill import Civitai, Toolbox
from civitai_skill.adapters.functions import adispatch, dispatch, openai_tools
from civitai_skill.api.service import Retry
from civitai_skill.engines import catalog
from civitai_skill.engines.limits import limits
from civitai_skill.sandbox import Fault, Sandbox
from civitai_skill.tools import words
from civitai_skill.tools.registry import TOOLS

GENERATE = "civitai_generate_image"
GET = "civitai_get_image"
CHOOSE = "civitai_choose_engine"
URL = "https://example.com/a.png"


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(seconds_per_job=0.02, balance={"blue": 1000, "yellow": 100})


@pytest.fixture
def client(sandbox: Sandbox, tmp_path: Path) -> Civitai:
    retry = Retry(first=0.001, cap=0.002, tries=2)
    return Civitai(sandbox=sandbox, retry=retry, home=tmp_path / "home")


@pytest.fixture
def box(client: Civitai, tmp_path: Path) -> Toolbox:
    every = [tool.name for tool in TOOLS]
    return Toolbox(client, include=every, out=tmp_path / "out", max_buzz=60)


def sent(box: Toolbox, **arguments: Any) -> Any:
    """What goes to the service."""
    result = box.call(GENERATE, {"prompt": "a fox", **arguments})
    assert not result.failed, result.text
    return result.artifact.workflow.input


# -- missing pictures ------------------------------------------------------------------------------
def test_a_held_picture_is_not_made_again(box: Toolbox, client: Civitai) -> None:
    result = box.call(GENERATE, {"prompt": "a beach [sandbox:mature]"})
    for held in (result, box.call(GET, {"id": result.data["id"]})):
        assert held.data["buzz_spent"] == "yes"
        assert "made and paid for: do not make it again" in held.data["error"]
        assert "again to try" not in held.text
        assert "civitai-skill" not in held.text
    client.release(result.data["id"])
    assert box.call(GET, {"id": result.data["id"]}).data["status"] == "succeeded"


def test_of_a_part_only_the_rest_is_asked_for(box: Toolbox) -> None:
    result = box.call(GENERATE, {"prompt": "a fox [sandbox:partial]", "quantity": 3})
    missing = sum("reason" in image for image in result.data["images"])
    assert 0 < missing < 3
    assert f"ask only for what is missing: quantity {missing}," in result.data["error"]


# -- looking again ---------------------------------------------------------------------------------
@pytest.mark.parametrize("fault", [None, Fault("get", "status", status=500, times=None)])
@pytest.mark.parametrize("wait", [0, 0.05])
def test_the_next_look_saves_to_the_folder_that_was_named(
    box: Toolbox, sandbox: Sandbox, fault: Fault | None, wait: float, tmp_path: Path
) -> None:
    given = {"prompt": "a fox [sandbox:slow=1]", "wait_seconds": wait, "folder": "foxes"}
    if fault is not None:
        sandbox.script(fault)
    following = box.call(GENERATE, given).data["next"]
    again = box.call(following["tool"], {**following["arguments"], "wait_seconds": 0})
    assert again.data["next"] == following
    sandbox.clear()
    done = box.call(following["tool"], following["arguments"])
    assert Path(done.data["images"][0]["path"]).parent == tmp_path / "out" / "foxes"


@pytest.mark.parametrize("name", [GET, "civitai_cancel_image"])
def test_a_look_that_fails_does_not_say_of_a_known_purchase_that_nothing_was_spent(
    box: Toolbox, sandbox: Sandbox, name: str
) -> None:
    bought = box.call(GENERATE, {"prompt": "a fox", "wait_seconds": 0}).data["id"]
    sandbox.script(Fault("get", "status", status=503, times=None))
    told = box.call(name, {"id": bought})
    assert (told.failed, told.data["buzz_spent"], told.data["id"]) == (True, "yes", bought)
    assert "No Buzz" not in told.text
    assert told.data["next"]["arguments"]["id"] == bought
    assert box.call(name, {"id": "1-20260101000000000"}).data["buzz_spent"] == "no"


# -- engines ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["pony", "Illustrious", "noobai"])
def test_a_name_that_means_a_variant_makes_it(client: Civitai, tmp_path: Path, name: str) -> None:
    box = Toolbox(client, out=tmp_path, engines=["sdxl"])
    made = box.call(GENERATE, {"prompt": "a fox", "engine": name})
    assert made.data["engine"] == f"sdxl {name.lower()}"


def test_narrowed_tools_speak_of_no_other_engine(client: Civitai) -> None:
    box = Toolbox(client, engines=["sdxl", "grok"])
    told = json.dumps([tool["function"] for tool in openai_tools(box)])
    others = set(catalog.NAMES) - {"sdxl", "grok"}
    assert [n for n in others if re.search(rf"\b{re.escape(n)}\b", told)] == []
    assert "sdxl for anime, LoRAs, checkpoints (the default)" in told


@pytest.mark.parametrize("field", ["negative_prompt", "model"])
def test_the_words_about_a_field_name_engines_that_have_it(field: str) -> None:
    told = words.FIELDS[field]
    for family in catalog.families():
        having = any(field in limits(form) for form in family.forms)
        assert having or told([family.name]).startswith("Leave out: no engine here")


def test_only_qwen_is_said_to_refuse_a_shape_and_does(box: Toolbox) -> None:
    for name in ("qwen", "flux2", "seedream", "flux1-kontext", "grok"):
        arguments = {"engine": name, "images": [URL], "aspect_ratio": "16:9"}
        result = box.call("civitai_estimate_image", {"prompt": "brighter", **arguments})
        assert result.failed is ("qwen" in words.aspect_ratio([name])) is (name == "qwen")


# -- money -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("limit", [60, 200])
def test_an_estimate_judges_as_the_purchase_does(
    client: Civitai, tmp_path: Path, limit: int
) -> None:
    box = Toolbox(client, out=tmp_path, max_buzz=limit)
    arguments = {"prompt": "brighter", "engine": "qwen", "images": [URL]}
    told = box.call(GENERATE, {**arguments, "estimate_only": True}).data
    bought = box.call(GENERATE, {**arguments, "wait_seconds": 0})
    assert (told["within_limit"], bought.failed) == (limit == 200, limit == 60)
    assert told["at_most"] > told["buzz"]
    assert f"{told['at_most']} Buzz, the most it can be" in told["message"]


def test_choosing_keeps_to_the_limit_of_the_tools(client: Civitai) -> None:
    box = Toolbox(client, max_buzz=35)
    prices = [c["buzz"] for c in box.call(CHOOSE, {"needs": ["poster"]}).data["choices"]]
    assert prices
    assert all(price is None or price <= 35 for price in prices)
    # What is not documented may fit; buying asks for its price.
    assert box.call(CHOOSE, {"needs": ["product"]}).data["choices"][0]["buzz"] is None
    refused = Toolbox(client, max_buzz=1).call(CHOOSE, {"needs": ["poster"], "max_buzz": 500})
    assert "The cheapest that can is" in refused.data["error"]


# -- which tools there are -------------------------------------------------------------------------
def test_whatever_spends_brings_the_tool_that_looks(client: Civitai, tmp_path: Path) -> None:
    box = Toolbox(client, include=["submit_image", CHOOSE], out=tmp_path)
    assert [tool.name for tool in box.tools] == ["civitai_submit_image", CHOOSE, GET]
    following = box.call("civitai_submit_image", {"prompt": "a fox"}).data["next"]
    assert box.call(following["tool"], following["arguments"]).data["status"] == "succeeded"
    then = box.call(CHOOSE, {"needs": ["photo"]}).data["then"]
    assert then.startswith("civitai_submit_image with")
    assert "then" not in Toolbox(client, include=[CHOOSE]).call(CHOOSE, {}).data


def test_no_answer_leads_to_a_tool_that_is_not_there(
    sandbox: Sandbox, tmp_path: Path, client: Civitai
) -> None:
    box = Toolbox(client, include=["cancel_image"])
    done = client.generate("a fox", out=tmp_path)
    assert "next" not in box.call("civitai_cancel_image", {"id": done.id}).data
    sandbox.script(Fault("submit", "status", status=502, committed=True, times=None))
    with Civitai(sandbox=sandbox, retry=Retry(tries=1), home=tmp_path, ledger=False) as plain:
        lost = Toolbox(plain, include=[GENERATE], out=tmp_path).call(GENERATE, {"prompt": "a fox"})
    assert lost.data["buzz_spent"] == "unknown"
    assert "next" not in lost.data
    assert "tell the user" in lost.data["error"]


def test_a_set_up_that_is_none_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIVITAI_BASE_URL", "not a url")
    assert json.loads(dispatch(CHOOSE, "{}"))["code"] == "config"
    assert json.loads(asyncio.run(adispatch(CHOOSE, "{}")))["code"] == "config"


# -- what is heard ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "nothing",
    [
        {"images": [""], "tags": ["", None], "loras": [{"air": "", "strength": 1}]},
        {"images": "[]", "tags": "[]", "loras": "[]", "options": "{}"},
        {"images": "{}", "options": [""], "loras": [None]},
    ],
)
def test_placeholders_in_lists_count_as_left_out(box: Toolbox, nothing: dict[str, Any]) -> None:
    assert "images" not in sent(box, **nothing)


def test_lists_as_json_text_are_read(box: Toolbox) -> None:
    air = "urn:air:sd1:lora:civitai:1@2"
    given = sent(
        box,
        engine="sd1",
        loras=json.dumps([{"air": air}]),
        options='{"clipSkip": 2}',
        tags='["foxes"]',
    )
    assert (given["loras"], given["clipSkip"]) == ({air: 1}, 2)
    assert box.call("civitai_query_images", {"tags": '["foxes"]'}).data["items"]


def test_numbers_as_text_are_read(box: Toolbox) -> None:
    loras = [{"air": "urn:air:sdxl:lora:civitai:1@2", "strength": "0.8"}]
    numbers = {"quantity": "2", "width": "1024 ", "height": "768", "steps": "20", "seed": "7"}
    said = {"engine": "sdxl", **numbers, "guidance": "5.5", "loras": loras}
    given = sent(box, **said, max_buzz="60", wait_seconds="30", estimate_only="false")
    assert (given["quantity"], given["width"], given["steps"], given["seed"]) == (2, 1024, 20, 7)
    assert (given["cfgScale"], list(given["loras"].values())) == (5.5, [0.8])
    assert box.call("civitai_query_images", {"take": "5"}).data["items"]
    assert box.call(CHOOSE, {"needs": "photo", "max_buzz": "60", "references": "1"}).data["choices"]


@pytest.mark.parametrize("word", ["two", "1_0", "1,5", "inf", "0x10", "\u0663", "9" * 50])
def test_text_that_is_no_number_is_refused(box: Toolbox, word: str) -> None:
    said = box.call(GENERATE, {"prompt": "a fox", "quantity": word}).data["error"]
    assert said.startswith("quantity: not accepted")


def test_a_file_url_of_what_these_tools_saved_is_a_source(box: Toolbox, tmp_path: Path) -> None:
    made = Path(box.call(GENERATE, {"prompt": "a fox"}).data["images"][0]["path"])
    assert "images" in sent(box, images=[made.as_uri()])
    beside = tmp_path / "beside.jpeg"
    beside.write_bytes(made.read_bytes())
    refused = box.call(GENERATE, {"prompt": "a fox", "images": [beside.as_uri()]}).data["error"]
    assert "files of this machine are not allowed here" in refused


@pytest.mark.parametrize("value", ["2512", '"2512"'])
def test_text_that_looks_like_a_number_stays_text(box: Toolbox, value: str) -> None:
    given = sent(box, engine="qwen", options=[{"name": "version", "value": value}])
    assert given["version"] == "2512"


def test_no_size_is_not_answered_with_one_pixel(box: Toolbox) -> None:
    said = box.call(GENERATE, {"prompt": "a fox", "width": 0, "height": 0}).data["error"]
    assert "leave it out" in said
    assert "Nearest" not in said


@pytest.mark.parametrize("source", ["https://127.0.0.1/a.png", "/etc/passwd"])
def test_a_refused_source_is_answered_with_what_is_taken_here(box: Toolbox, source: str) -> None:
    said = box.call(GENERATE, {"prompt": "brighter", "images": [source]}).data["error"]
    assert "Accepted: an https URL of a public host, or a picture that these tools saved." in said


def test_a_file_in_the_way_is_told_by_the_name_that_was_given(box: Toolbox, tmp_path: Path) -> None:
    made = box.call(GENERATE, {"prompt": "a fox"})
    (tmp_path / "out" / "foxes").write_text("a file")
    for name, arguments in ((GENERATE, {"prompt": "a hare"}), (GET, {"id": made.data["id"]})):
        said = box.call(name, {**arguments, "folder": "foxes"}).data["error"]
        assert said.startswith("folder: ")
        assert "(given 'foxes')" in said
        assert str(tmp_path) not in said


def test_the_next_page_is_asked_for_with_what_was_said(box: Toolbox) -> None:
    for n in range(2):
        box.call("civitai_submit_image", {"prompt": f"fox {n}"})
    filled = {"tags": [], "since": None, "until": None, "take": 1, "cursor": None}
    following = box.call("civitai_query_images", filled).data["next"]
    assert set(following["arguments"]) == {"take", "cursor"}
