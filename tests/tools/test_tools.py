"""The tools over the sandbox: what they answer, and what a model can't override."""

from __future__ import annotations

import asyncio
import base64
import inspect
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from civitai_skill import (
    AsyncCivitai,
    Civitai,
    ConfigError,
    Generation,
    RequestInvalid,
    Toolbox,
)
from civitai_skill.api.service import Retry
from civitai_skill.engines import catalog
from civitai_skill.sandbox import Fault, Sandbox
from civitai_skill.tools.answers import SANDBOX, THUMBNAIL_BYTES, Result
from civitai_skill.tools.guidance import RULES, guidance
from civitai_skill.tools.registry import DEFAULT, TOOLS

GENERATE = "civitai_generate_image"
GET = "civitai_get_image"
ALL = [tool.name for tool in TOOLS]


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(seconds_per_job=0.02, balance={"blue": 1000, "yellow": 0})


@pytest.fixture
def given(sandbox: Sandbox, tmp_path: Path) -> dict[str, Any]:
    retry = Retry(first=0.001, cap=0.002)
    return {"sandbox": sandbox, "retry": retry, "home": tmp_path / "home"}


@pytest.fixture
def box(given: dict[str, Any], tmp_path: Path) -> Toolbox:
    return Toolbox(Civitai(**given), include=ALL, out=tmp_path / "out", max_buzz=100)


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest, box: Toolbox) -> Callable[..., Result]:
    """Run a tool one way and the other: call("civitai_generate_image", prompt="a fox")."""

    def sync(name: str, **arguments: Any) -> Result:
        return box.call(name, arguments)

    def asynchronous(name: str, **arguments: Any) -> Result:
        return asyncio.run(box.acall(name, arguments))

    return sync if request.param == "sync" else asynchronous


# -- what they answer ------------------------------------------------------------------------------
def test_generating_saves_the_pictures_and_answers_small(
    call: Callable[..., Result], tmp_path: Path
) -> None:
    result = call(GENERATE, prompt="a red fox", quantity=2, seed=7)
    told = json.loads(result.text)
    assert not result.failed
    assert isinstance(result.artifact, Generation)
    assert told == {
        "id": result.artifact.id,
        "status": "succeeded",
        "engine": "flux2 klein-4b",
        "buzz": 5,
        "images": [
            {"path": str(tmp_path / "out" / f"{told['id']}-{n}.jpeg"),
             "size": "1024x1024", "seed": 7 + n}
            for n in range(2)
        ],
        "sandbox": True,
    }  # fmt: skip
    assert all(Path(image["path"]).is_file() for image in told["images"])
    assert "http" not in result.text
    assert result.artifact.pictures[0].url


def test_a_short_wait_ends_with_the_id_and_the_exact_next_call(call: Callable[..., Result]) -> None:
    first = call(GENERATE, prompt="a fox [sandbox:slow=1]", wait_seconds=0.05)
    assert not first.failed
    following = first.data["next"]
    assert following == {
        "tool": GET,
        "arguments": {"id": first.data["id"], "wait_seconds": 45},
    }
    done = call(following["tool"], **following["arguments"])
    assert done.data["status"] == "succeeded"
    assert Path(done.data["images"][0]["path"]).is_file()


def test_waiting_no_seconds_submits_only(call: Callable[..., Result], sandbox: Sandbox) -> None:
    result = call(GENERATE, prompt="a fox", wait_seconds=0)
    assert "images" not in result.data
    assert result.data["next"]["arguments"]["id"] == result.data["id"]
    assert call("civitai_submit_image", prompt="another fox").data["next"]["tool"] == GET
    assert sandbox.accounts()[0]["submits"] == 2


def test_a_repeated_request_does_not_pay_twice(
    call: Callable[..., Result], sandbox: Sandbox
) -> None:
    first = call(GENERATE, prompt="a fox [sandbox:slow=1]", wait_seconds=0.05)
    again = call(GENERATE, prompt="a fox [sandbox:slow=1]", wait_seconds=0.05)
    assert again.data["id"] == first.data["id"]
    assert "nothing new was bought." in again.data["message"]
    assert sandbox.accounts()[0]["submits"] == 1


def test_an_estimate_tells_the_price_and_spends_nothing(
    call: Callable[..., Result], sandbox: Sandbox
) -> None:
    result = call(GENERATE, prompt="a fox", engine="seedream", estimate_only=True)
    assert result.data == {
        "engine": "seedream v4.5",
        "buzz": 60,
        "enough_buzz": True,
        "within_limit": True,
        "sandbox": True,
        "limit": 100,
        "size": "2048x2048",
    }
    apart = call("civitai_estimate_image", prompt="a fox", engine="seedream")
    assert apart.data == result.data
    assert sandbox.accounts()[0]["submits"] == 0


def test_the_past_comes_in_pages_with_the_next_call(call: Callable[..., Result]) -> None:
    for n in range(3):
        call("civitai_submit_image", prompt=f"fox {n}", tags=["foxes"])
    call("civitai_submit_image", prompt="a hare")
    page = call("civitai_query_images", tags=["foxes"], take=2, since="1d")
    assert [row["prompt"] for row in page.data["items"]] == ["fox 2", "fox 1"]
    assert page.data["items"][0]["tags"] == ["foxes"]
    following = page.data["next"]
    assert {n: v for n, v in following["arguments"].items() if n != "cursor"} == {
        "tags": ["foxes"],
        "take": 2,
        "since": "1d",
    }
    last = call(following["tool"], **following["arguments"])
    assert [row["prompt"] for row in last.data["items"]] == ["fox 0"]
    assert "next" not in last.data
    nothing = call("civitai_query_images", tags=["hares"])
    assert nothing.data == {
        "items": [],
        "message": "Nothing matches. Drop tags, or take an earlier since. " + SANDBOX,
        "sandbox": True,
    }


def test_canceling_says_what_came_back(call: Callable[..., Result]) -> None:
    running = call("civitai_submit_image", prompt="a fox [sandbox:slow=60]")
    canceled = call("civitai_cancel_image", id=running.data["id"])
    assert canceled.data == {
        "id": running.data["id"], "status": "canceled", "refunded": 3, "sandbox": True,
    }  # fmt: skip
    again = call("civitai_cancel_image", id=running.data["id"])
    assert again.data["message"] == f"It had ended before; nothing was canceled. {SANDBOX}"


def test_choosing_gives_arguments_that_generating_takes(call: Callable[..., Result]) -> None:
    chosen = call("civitai_choose_engine", needs=["anime", "cheapest"])
    best = chosen.data["choices"][0]
    assert best["engine"] == "anima"
    assert chosen.data["prompting"]
    made = call(GENERATE, prompt="1girl, fox ears", **best["arguments"])
    assert made.data["buzz"] == best["buzz"]


def test_a_thumbnail_comes_only_on_request_and_stays_small(call: Callable[..., Result]) -> None:
    plain = call(GENERATE, prompt="a fox", engine="sdxl", width=1536, height=640)
    assert plain.thumbnails == ()
    seen = call(GET, id=plain.data["id"], include_image="thumbnail")
    (small,) = seen.thumbnails
    with Image.open(io.BytesIO(base64.b64decode(small.data))) as picture:
        assert (picture.format, picture.size) == ("JPEG", (512, 213))
    assert len(small.data) <= THUMBNAIL_BYTES
    assert small.data not in seen.text


# -- what goes wrong -------------------------------------------------------------------------------
def test_a_failed_workflow_is_explained_with_its_id(call: Callable[..., Result]) -> None:
    result = call(GENERATE, prompt="a fox [sandbox:failed]")
    assert result.failed
    assert result.data["code"] == "workflow_failed"
    assert result.data["buzz_spent"] == "no"
    assert "3 Buzz were refunded." in result.data["error"]
    assert result.data["images"][0]["available"] is False


def test_what_came_of_a_partial_workflow_is_saved_and_listed(call: Callable[..., Result]) -> None:
    result = call(GENERATE, prompt="a fox [sandbox:partial]", quantity=2)
    assert result.failed
    paths = [image["path"] for image in result.data["images"] if "path" in image]
    assert len(paths) == 1
    assert Path(paths[0]).is_file()


def test_after_an_unknown_fate_the_same_call_goes_on_and_pays_once(
    call: Callable[..., Result], sandbox: Sandbox
) -> None:
    sandbox.script(Fault("submit", "status", status=502, committed=True, times=None))
    lost = call(GENERATE, prompt="a fox")
    assert lost.data["buzz_spent"] == "unknown"
    assert "exactly the same call again" in lost.data["error"]
    sandbox.clear()
    made = call(GENERATE, prompt="a fox")
    assert Path(made.data["images"][0]["path"]).is_file()
    account = sandbox.accounts()[0]
    assert (account["workflows"], account["charged"]) == (1, 3)


def test_without_a_ledger_an_unknown_fate_sends_the_model_to_look_before_it_buys_again(
    given: dict[str, Any], tmp_path: Path, sandbox: Sandbox
) -> None:
    sandbox.script(Fault("submit", "status", status=502, committed=True, times=None))
    with Civitai(**given, ledger=False) as client:
        result = Toolbox(client, out=tmp_path / "out").call(GENERATE, {"prompt": "a fox"})
    assert result.data["buzz_spent"] == "unknown"
    assert result.data["next"]["tool"] == "civitai_query_images"


def test_no_answer_speaks_of_the_command_line(call: Callable[..., Result]) -> None:
    wrong: list[dict[str, Any]] = [
        {"engine": "fluxx"},
        {"max_buzz": 1},
        {"engine": "grok", "steps": 3},
        {"quantity": 9},
    ]
    for arguments in wrong:
        said = call(GENERATE, prompt="a fox", **arguments).text
        assert "civitai-skill" not in said
        assert "--" not in said


def test_a_missing_key_is_explained(given: dict[str, Any], tmp_path: Path) -> None:
    with Toolbox(Civitai(home=tmp_path), out=tmp_path) as box:
        result = box.call(GENERATE, {"prompt": "a fox"})
    assert result.data["code"] == "config"
    assert "CIVITAI_API_KEY" in result.data["error"]


# -- what the developer fixed ----------------------------------------------------------------------
def test_a_model_may_lower_the_limit_and_not_raise_it(call: Callable[..., Result]) -> None:
    over = call(GENERATE, prompt="a fox", engine="seedream", quantity=2, max_buzz=5000)
    assert over.data["code"] == "over_budget"
    assert "the limit is 100" in over.data["error"]
    assert "max_buzz can't raise it" in over.data["error"]
    lower = call(GENERATE, prompt="a fox", max_buzz=2)
    assert "max_buzz may be raised up to 100" in lower.data["error"]


@pytest.mark.parametrize(
    "folder",
    ["..", "../up", "a/../../up", "/etc", "~", "a\\b", "C:\\x", "a/./b", "a//b", " ", ".hidden",
     "nul\0", "x" * 300],
)  # fmt: skip
def test_pictures_never_leave_the_output_folder(
    box: Toolbox, sandbox: Sandbox, tmp_path: Path, folder: str
) -> None:
    result = box.call(GENERATE, {"prompt": "a fox", "folder": folder})
    if folder != " ":  # a blank counts as left out
        assert result.failed
        assert result.data["error"].startswith("folder: ")
        assert sandbox.accounts() == []
    outside = [p for p in tmp_path.rglob("*.jpeg") if tmp_path / "out" not in p.parents]
    assert outside == []


def test_a_link_out_of_the_output_folder_is_not_followed(box: Toolbox, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "elsewhere")
    assert box.call(GENERATE, {"prompt": "a fox", "folder": "link/deeper"}).failed


def test_a_subfolder_is_made(box: Toolbox, tmp_path: Path) -> None:
    result = box.call(GENERATE, {"prompt": "a fox", "folder": "foxes/red 1"})
    assert Path(result.data["images"][0]["path"]).parent == tmp_path / "out" / "foxes" / "red 1"


def test_only_allowed_engines_are_offered_and_taken(given: dict[str, Any], tmp_path: Path) -> None:
    box = Toolbox(Civitai(**given), out=tmp_path, engines=["SDXL", "z-image"])
    refused = box.call(GENERATE, {"prompt": "a fox", "engine": "flux2"})
    assert "Accepted: one of sdxl, z-image" in refused.data["error"]
    assert box.call(GENERATE, {"prompt": "a fox"}).data["engine"] == "sdxl base"
    schema = box.models[GENERATE].model_json_schema()["properties"]["engine"]
    assert (schema["enum"], schema["default"]) == (["sdxl", "z-image"], "sdxl")
    chosen = box.call("civitai_choose_engine", {"needs": ["real_facts"]})
    assert chosen.failed


def test_files_of_the_machine_can_be_kept_out(given: dict[str, Any], tmp_path: Path) -> None:
    box = Toolbox(Civitai(**given), out=tmp_path / "out", local_files=False)
    secret = tmp_path / "secret.png"
    Image.new("RGB", (600, 600)).save(secret)
    refused = box.call(GENERATE, {"prompt": "brighter", "images": [str(secret)]})
    assert "files of this machine are not allowed here" in refused.data["error"]
    own = box.call(GENERATE, {"prompt": "a fox"}).data["images"][0]["path"]
    edited = box.call(GENERATE, {"prompt": "brighter", "images": [own]})
    assert edited.data["status"] == "succeeded"


def test_fixed_tags_stand_on_every_workflow(given: dict[str, Any], tmp_path: Path) -> None:
    box = Toolbox(Civitai(**given), out=tmp_path, tags=["agent"])
    box.call(GENERATE, {"prompt": "a fox", "tags": ["foxes"], "wait_seconds": 0})
    (row,) = box.call("civitai_query_images", {}).data["items"]
    assert row["tags"] == ["agent", "foxes"]
    assert "paths" not in row
    made = box.call("civitai_get_image", {"id": row["id"]}).data["images"][0]["path"]
    (row,) = box.call("civitai_query_images", {}).data["items"]
    assert row["paths"] == [made]


# -- set-up ----------------------------------------------------------------------------------------
def test_the_default_five_and_the_rest_on_request(given: dict[str, Any]) -> None:
    assert [tool.name for tool in Toolbox(Civitai(**given)).tools] == list(DEFAULT)
    assert len(DEFAULT) == 5
    chosen = Toolbox(Civitai(**given), include=["submit_image", "civitai_get_image"])
    assert [tool.name for tool in chosen.tools] == ["civitai_submit_image", GET]
    with pytest.raises(RequestInvalid, match="Nearest that works: 'civitai_get_image'"):
        Toolbox(Civitai(**given), include=["civitai_get_images"])


def test_a_key_beside_a_client_is_not_quietly_dropped(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="A client was given"):
        Toolbox(Civitai(**given), key="another")


def test_a_tool_that_was_not_included_is_not_there(given: dict[str, Any]) -> None:
    box = Toolbox(Civitai(**given), include=[GET])
    assert "there is no such tool here" in box.call(GENERATE, {"prompt": "a fox"}).text


def test_either_client_serves_sync_and_async(given: dict[str, Any], tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncCivitai(**given) as client:
            box = Toolbox(client, out=tmp_path)
            results = await asyncio.gather(
                *(box.acall(GENERATE, {"prompt": f"fox {n}"}) for n in range(8))
            )
            assert [r.data["status"] for r in results] == ["succeeded"] * 8
            plain = await asyncio.to_thread(box.call, GENERATE, {"prompt": "a sync fox"})
            assert plain.data["status"] == "succeeded"
            box.close()

    asyncio.run(main())


def test_several_event_loops_one_after_the_other_are_served(box: Toolbox) -> None:
    for n in range(2):
        result = asyncio.run(box.acall(GENERATE, {"prompt": f"fox {n}"}))
        assert result.data["status"] == "succeeded"


def test_every_tool_is_described_and_its_words_are_about_its_arguments() -> None:
    for tool in TOOLS:
        assert len(tool.description) <= 400
        for name, field in tool.arguments.model_fields.items():
            assert field.description, (tool.name, name)
        if tool.spends:
            assert not tool.hints.read_only
            assert "Buzz" in tool.description
        assert inspect.isgeneratorfunction(tool.steps)


def test_the_guidance_names_every_engine_and_its_prices() -> None:
    said = guidance()
    assert "- flux2 (2/3/6; create, edit, variant): " in said
    assert said.count("\n- ") == RULES.count("\n- ") + len(catalog.NAMES)
    assert len(said) < 210 * len(catalog.NAMES)
    assert "seedream" not in guidance(engines=["sdxl"])
