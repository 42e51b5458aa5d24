"""The command line as an agent uses it: JSON out, words on standard error, an exit code each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from civitai_skill import Civitai, config
from civitai_skill.adapters.cli import main
from civitai_skill.adapters.cli.parser import EXIT_CODES
from civitai_skill.sandbox import Fault, Sandbox
from tests.support.ledger import file_of


class Ran:
    """One command: its exit code, its answer, its words."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """Run a command in a folder of its own, with the sandbox for a service."""
    monkeypatch.setenv("CIVITAI_SANDBOX", "1")
    monkeypatch.chdir(tmp_path)

    def command(*words: str) -> Ran:
        code = main(words)
        caught = capsys.readouterr()
        assert "Traceback" not in caught.err
        return Ran(code, caught.out, caught.err)

    return command


@pytest.fixture
def box(clean_environment: Path) -> Sandbox:
    """The sandbox that the commands share."""
    return Sandbox(clean_environment / "sandbox.sqlite3")


# -- making ------------------------------------------------------------------------------
def test_generate_prints_what_an_agent_needs_and_saves_the_picture(run: Callable[..., Ran]) -> None:
    ran = run("generate", "a red fox", "--aspect-ratio", "16:9", "--out", "pics", "--seed", "5")

    (image,) = ran.json["images"]
    assert ran.code == 0
    assert list(ran.json) == [
        "id", "status", "engine", "variant", "cost", "images", "errors", "resumed", "sandbox",
    ]  # fmt: skip
    assert (ran.json["status"], ran.json["cost"]["total"], image["seed"]) == ("succeeded", 3, 5)
    with Image.open(image["path"]) as picture:
        assert picture.size == (image["width"], image["height"]) == (1392, 752)


def test_the_price_is_said_before_anything_is_submitted(run: Callable[..., Ran]) -> None:
    said = run("generate", "a red fox").err

    assert 0 <= said.index("Price: flux2 klein-4b: about 3 Buzz") < said.index("Submitted as")


def test_quiet_says_nothing(run: Callable[..., Ran]) -> None:
    assert run("generate", "a red fox", "--quiet").err == ""


def test_every_field_has_a_flag(run: Callable[..., Ran], box: Sandbox) -> None:
    ran = run(
        "generate", "a fox", "--engine", "sdxl", "--variant", "base", "--route", "comfy",
        "--quality", "high", "--negative-prompt", "blur", "--width", "768", "--height", "512",
        "--quantity", "2", "--seed", "9", "--steps", "12", "--guidance", "6.5",
        "--sampler", "euler", "--scheduler", "karras",
        "--model", "urn:air:sdxl:checkpoint:civitai:133005@348913",
        "--lora", "urn:air:sdxl:lora:civitai:1@2=0.5", "--lora", "urn:air:sdxl:lora:civitai:3@4",
        "--format", "png", "--tag", "t1", "--tag", "t2", "--priority", "high",
        "--currency", "blue", "--vae", "urn:air:sdxl:vae:civitai:5@6",
        "--control-net", "canny=https://example.org/a.png",
    )  # fmt: skip
    (row,) = run("query", "--tag", "t1", "--tag", "t2").json["items"]

    assert (ran.code, len(ran.json["images"]), row["id"]) == (0, 2, ran.json["id"])
    assert ran.json["images"][0]["path"].endswith(".png")


def test_an_edit_and_a_variant_are_made_from_a_local_file(
    run: Callable[..., Ran], tmp_path: Path
) -> None:
    Image.new("RGB", (512, 512), (9, 99, 9)).save(tmp_path / "photo.jpg")
    edit = run("generate", "make it winter", "--image", "photo.jpg")
    variant = run("generate", "make it winter", "--image", "photo.jpg", "--strength", "0.4")
    fallback = run("generate", "winter", "--image", "photo.jpg", "--engine", "sdxl")

    assert (edit.code, variant.code, fallback.code) == (0, 0, 0)
    assert "strength 0.7" in fallback.json["notes"][0]


def test_a_prompt_can_come_from_standard_input(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO("an owl from a pipe"))
    run("generate", "-", "--no-wait")

    assert run("query").json["items"][0]["prompt"] == "an owl from a pipe"


def test_no_wait_prints_the_id_and_get_goes_on(run: Callable[..., Ran]) -> None:
    submitted = run("generate", "a fox [sandbox:slow=0.3]", "--no-wait")
    ident = submitted.json["id"]
    looked = run("get", ident)
    waited = run("get", ident, "--wait", "--out", "pics")

    assert (submitted.code, looked.code, waited.code) == (0, 0, 0)
    assert f"civitai-skill get {ident} --wait" in submitted.err
    assert looked.json["images"][0]["path"] is None
    assert Path(waited.json["images"][0]["path"]).exists()
    assert list(waited.json) == list(run("generate", "x").json)


def test_an_estimate_says_both_prices(run: Callable[..., Ran]) -> None:
    online = run("estimate", "a fox", "--engine", "grok")
    offline = run("estimate", "a fox", "--engine", "seedream", "--offline")

    assert online.json["offline"] == {"buzz": None, "note": "not documented"}
    assert online.json["service"]["total"] > 0
    assert offline.json["offline"] == {"buzz": 60}
    assert "service" not in offline.json


def test_a_query_gives_compact_rows_and_the_cursor_for_more(run: Callable[..., Ran]) -> None:
    for n in range(3):
        run("generate", f"fox {n}", "--no-wait")
    first = run("query", "--take", "2").json
    rest = run("query", "--take", "2", "--cursor", first["next"]).json

    assert [r["prompt"] for r in first["items"] + rest["items"]] == ["fox 2", "fox 1", "fox 0"]
    assert rest["next"] is None
    assert run("query", "--since", "1h").json["items"]
    assert run("query", "--since", "2999-01-01").json["items"] == []


def test_a_cancel_says_what_came_back(run: Callable[..., Ran]) -> None:
    ident = run("generate", "a fox [sandbox:slow=60]", "--no-wait").json["id"]
    canceled = run("cancel", ident)

    assert (canceled.json["status"], canceled.json["refunded"]) == ("canceled", 3)


def test_other_commands_write_their_answer_where_out_says(run: Callable[..., Ran]) -> None:
    ran = run("engines", "flux2", "--out", "report")

    assert json.loads(Path("report/engines.json").read_text()) == ran.json


def test_a_terminal_gets_words(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    assert run("generate", "a fox").out.startswith("1")
    assert json.loads(run("generate", "a fox", "--json").out)["status"] == "succeeded"
    assert "reachable    yes" in run("doctor").out
    assert "klein-4b" in run("engines", "flux2").out


# -- endings -----------------------------------------------------------------------------
def test_exit_2_a_request_that_is_refused(run: Callable[..., Ran]) -> None:
    ran = run("generate", "a fox", "--engine", "fulx2", "--steps", "many")

    assert ran.code == 2
    assert ran.json["error"]["problems"][0]["field"] == "steps"
    assert ran.json["error"]["spent"] == "no"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("generate",), "PROMPT"),
        (("generate", "a", "fox"), "quotes"),
        (("generate", "a fox", "--aspectratio", "1:1"), "--aspect-ratio"),
        (("generate", "a fox", "--option", "nothing"), "K=V"),
        (("generate", "a fox", "--timeout", "soon"), "seconds"),
        (("generate", "a fox", "--max-buzz", "-1"), "max-buzz"),
        (("fetch",), "invalid choice"),
        ((), "COMMAND"),
        (("query", "--since", "yesterday"), "7d, 12h"),
        (("engines", "flx2"), "flux2"),
        (("budget", "set"), "budget set 500"),
        (("get", "9-20200101000000000"), "kept for 30 days"),
    ],
)
def test_exit_2_teaches_what_would_have_worked(
    run: Callable[..., Ran], words: tuple[str, ...], said: str
) -> None:
    ran = run(*words)

    assert (ran.code, said in ran.err, said in ran.out) == (2, True, True)


def test_exit_3_without_a_key(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CIVITAI_SANDBOX")
    ran = run("generate", "a fox")

    assert (ran.code, ran.json["error"]["code"]) == (3, "config")
    assert "CIVITAI_API_KEY" in ran.err


def test_exit_3_with_a_key_that_is_refused(run: Callable[..., Ran], box: Sandbox) -> None:
    box.script(Fault("submit", "status", status=401))

    assert run("generate", "a fox").code == 3


def test_exit_4_above_the_limit(run: Callable[..., Ran]) -> None:
    ran = run("generate", "a fox", "--engine", "seedream", "--max-buzz", "50")

    assert (ran.code, ran.json["error"]["price"], ran.json["error"]["limit"]) == (4, 60, 50)


def test_exit_4_with_an_empty_account(run: Callable[..., Ran], clean_environment: Path) -> None:
    poor = Sandbox(clean_environment / "sandbox.sqlite3", balance={"blue": 1})
    with Civitai(sandbox=poor) as client:
        assert client.health().key_accepted
    ran = run("generate", "a fox")

    assert (ran.code, ran.json["error"]["code"]) == (4, "not_enough_buzz")


@pytest.mark.parametrize("fate", ["failed", "failed-silent", "blocked", "expired", "canceled"])
def test_exit_5_when_no_picture_comes(run: Callable[..., Ran], fate: str) -> None:
    ran = run("generate", f"a fox [sandbox:{fate}]")

    assert (ran.code, ran.json["error"]["code"]) == (5, "workflow_failed")
    assert ran.json["images"][0]["reason"]
    assert ran.json["id"] in ran.err


def test_exit_5_with_fewer_pictures_keeps_and_lists_those_that_came(
    run: Callable[..., Ran],
) -> None:
    ran = run("generate", "a fox [sandbox:partial]", "--quantity", "3", "--out", "pics")
    paths = [i["path"] for i in ran.json["images"]]

    assert (ran.code, len(paths), sum(p is not None for p in paths)) == (5, 3, 2)
    assert len(list(Path("pics").glob("*.jpeg"))) == len(list(Path("pics").glob("*.json"))) == 2


def test_exit_6_at_the_deadline_with_the_id_and_the_next_call(run: Callable[..., Ran]) -> None:
    ran = run("generate", "a fox [sandbox:stuck]", "--timeout", "0.2")

    assert ran.code == 6
    assert f"civitai-skill get {ran.json['id']} --wait" in ran.json["error"]["hint"]
    assert ran.json["error"]["spent"] == "yes"


def test_exit_7_when_the_service_can_t_be_reached(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    import civitai_skill.api.service as exchange

    monkeypatch.setenv("CIVITAI_SANDBOX", "0")
    monkeypatch.setenv("CIVITAI_API_KEY", "k")
    monkeypatch.setenv("CIVITAI_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(exchange.Retry, "pause", lambda *_: None)
    ran = run("generate", "a fox")

    assert (ran.code, ran.json["error"]["code"], ran.json["error"]["spent"]) == (
        7,
        "transport",
        "no",
    )


def test_exit_130_names_the_workflow_that_goes_on(clean_environment: Path, tmp_path: Path) -> None:
    env = {**os.environ, "CIVITAI_SANDBOX": "1"}
    words = [sys.executable, "-m", "civitai_skill", "generate", "a fox [sandbox:stuck]"]
    child = subprocess.Popen(
        words, cwd=tmp_path, env=env, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert child.stderr is not None
    for line in child.stderr:
        if line.startswith("Submitted as"):
            break
    time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)

    assert child.returncode == 130
    assert json.loads(out)["id"] in err
    assert "its Buzz is committed" in err


def test_exit_1_is_for_a_defect_of_ours_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from civitai_skill.engines import index

    def broken() -> None:
        raise RuntimeError("oops")

    monkeypatch.setattr(index, "list_engines", broken)

    assert main(["engines"]) == 1
    assert "a defect of civitai-skill" in capsys.readouterr().err


def test_the_exit_codes_of_the_help_are_those_of_the_errors() -> None:
    from civitai_skill import errors

    kinds = [k for k in vars(errors).values() if isinstance(k, type)]
    codes = {k.exit_code for k in kinds if issubclass(k, errors.CivitaiError)}

    assert all(f"  {code} " in EXIT_CODES or f" {code} " in EXIT_CODES for code in codes)


# -- around it ---------------------------------------------------------------------------
def test_the_doctor_fits_one_screen_and_never_shows_the_key(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIVITAI_API_KEY", "s3cret")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    ran = run("doctor")

    assert ran.code == 0
    assert len(ran.out.splitlines()) <= 20
    assert "s3cret" not in ran.out + ran.err
    assert "found (CIVITAI_API_KEY)" in ran.out


def test_the_doctor_names_the_next_step_where_nothing_is_set_up(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIVITAI_SANDBOX", "0")
    monkeypatch.setenv("CIVITAI_BASE_URL", "http://127.0.0.1:9")
    ran = run("doctor")

    assert (ran.code, ran.json["ok"]) == (7, False)
    assert "CIVITAI_BASE_URL" in ran.json["next_step"]


def test_resume_finishes_what_was_left(run: Callable[..., Ran], box: Sandbox) -> None:
    run("generate", "a fox [sandbox:slow=1]", "--timeout", "0.1", "--out", "pics")
    path = config.Settings.load().ledger
    with file_of(path) as db:
        db.execute("UPDATE runs SET owner = 'gone'")
    resumed = run("resume")
    again = run("resume")

    (result,) = resumed.json["resumed"]
    assert (resumed.code, result["resumed"], again.json["resumed"]) == (0, True, [])
    assert Path(result["images"][0]["path"]).parent.name == "pics"


def test_history_spend_and_budget_read_the_ledger(run: Callable[..., Ran]) -> None:
    run("generate", "a fox")
    run("generate", "an owl", "--engine", "sdxl")

    assert [r["engine"] for r in run("history").json["runs"]] == ["sdxl", "flux2"]
    assert run("spend", "--since", "7d", "--by", "engine").json["total"] == 13
    assert run("budget", "set", "14", "--per", "week").json == {
        "budget": 14, "per": "week", "used": 13, "left": 1, "source": "ledger",
        "sandbox": True,
    }  # fmt: skip
    assert run("generate", "a third").code == 4
    assert run("budget", "clear").json["budget"] is None
    assert run("generate", "a third").code == 0


def test_another_ledger_can_be_named(run: Callable[..., Ran]) -> None:
    run("generate", "a fox", "--ledger", "mine.sqlite3")

    assert len(run("history", "--ledger", "mine.sqlite3").json["runs"]) == 1
    assert run("history").json["runs"] == []
