"""What is typed means what it says, or is refused by its name before anything is sent."""

from __future__ import annotations

import io
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from civitai_skill.adapters.cli import main

LORA = "urn:air:sdxl:lora:civitai:1@2"


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, Any]]:
    """Run a command with the sandbox for a service; gives its code and its answer."""
    monkeypatch.setenv("CIVITAI_SANDBOX", "1")

    def command(*words: str) -> tuple[int, Any]:
        code = main(words)
        caught = capsys.readouterr()
        assert "Traceback" not in caught.err
        return code, json.loads(caught.out)

    return command


def problem(ran: tuple[int, Any]) -> Any:
    """The first problem of a refusal."""
    code, answer = ran
    assert code == 2
    return answer["error"]["problems"][0]


@pytest.mark.parametrize("strength", ["0,8", "abc", "", "5"])
def test_what_stands_after_the_equals_sign_of_a_lora_is_its_strength(
    run: Callable[..., tuple[int, Any]], strength: str
) -> None:
    words = ("estimate", "x", "--offline", "--engine", "sdxl", "--lora", f"{LORA}={strength}")
    assert problem(run(*words))["field"] == "loras.0.strength"


def test_an_option_of_text_is_taken_as_typed(run: Callable[..., tuple[int, Any]]) -> None:
    qwen = ("estimate", "x", "--offline", "--engine", "qwen", "--option")
    assert run(*qwen, "version=2512")[0] == 0
    assert run(*qwen, "version=2509", "--option", 'imageMetadata={"a": 1}')[0] == 0
    assert problem(run(*qwen, "version=2519"))["nearest"] == "2512"
    assert run("estimate", "x", "--offline", "--engine", "sd1", "--option", "clipSkip=1")[0] == 0


def test_an_option_that_is_said_twice_is_refused(run: Callable[..., tuple[int, Any]]) -> None:
    twice = ("--option", "version=2512", "--option", "version=2509")
    told = problem(run("generate", "x", "--engine", "qwen", *twice))
    assert (told["field"], told["accepted"]) == ("options.version", "each option once")


@pytest.mark.parametrize(
    "words", [("--sandbox", "generate", "x"), ("--out", "d", "generate", "x"), ("--json",)]
)
def test_a_flag_before_the_command_is_told_where_it_belongs(
    run: Callable[..., tuple[int, Any]], words: tuple[str, ...]
) -> None:
    told = problem(run(*words))
    assert told["field"] == words[0]
    assert told["accepted"] == f"after the command: civitai-skill generate ... {words[0]}"


@pytest.mark.parametrize(
    ("flag", "nearest"),
    [("--foo", None), ("--aspectratio", "--aspect-ratio"), ("--cfg", "--guidance"), ("-x", None),
     ("--negative", "--negative-prompt"), ("--sandox", "--sandbox")],
)  # fmt: skip
def test_only_a_flag_that_is_like_it_is_offered(
    run: Callable[..., tuple[int, Any]], flag: str, nearest: str | None
) -> None:
    assert problem(run("generate", "x", flag)).get("nearest") == nearest


@pytest.mark.parametrize("offline", [("--offline",), ()])
def test_an_estimate_refuses_the_terms_that_a_purchase_refuses(
    run: Callable[..., tuple[int, Any]], offline: tuple[str, ...]
) -> None:
    terms = ("--priority", "urgent", "--currency", "red", "--tag", "")
    _, priced = run("estimate", "x", *offline, *terms)
    _, bought = run("generate", "x", *terms)
    assert [p["field"] for p in priced["error"]["problems"]] == ["tags", "currencies", "priority"]
    assert priced["error"] == bought["error"]


@pytest.mark.parametrize(
    ("flag", "accepted"), [("--width", "512 to 2048 pixels"), ("--guidance", "1 to 20")]
)
def test_a_number_of_five_thousand_digits_is_answered_with_the_limits(
    run: Callable[..., tuple[int, Any]], flag: str, accepted: str
) -> None:
    assert problem(run("estimate", "x", "--offline", flag, "9" * 5000))["accepted"] == accepted


def test_a_message_of_the_service_ends_once(run: Callable[..., tuple[int, Any]]) -> None:
    code, answer = run("query", "--take", "0")
    assert code == 2
    assert ".." not in answer["error"]["message"]


@pytest.mark.parametrize("command", ["history", "spend", "query"])
@pytest.mark.parametrize(
    "when",
    [
        "999999999d", "9" * 5000 + "d", "0000-01-01", "99999-01-01", "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00", "soon", "",
    ],
)  # fmt: skip
def test_a_date_outside_the_calendar_is_refused(
    run: Callable[..., tuple[int, Any]], command: str, when: str
) -> None:
    assert problem(run(command, "--since", when))["accepted"].startswith("7d, 12h, 30m")


@pytest.mark.parametrize("when", ["0001-01-01", "9999-12-31", "9999w"])
def test_the_first_and_the_last_day_are_dates(
    run: Callable[..., tuple[int, Any]], when: str
) -> None:
    assert [run(name, "--since", when)[0] for name in ("history", "spend")] == [0, 0]


def test_a_budget_without_end_is_refused(
    run: Callable[..., tuple[int, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("budget", "set", "9" * 5000)[0] == 2
    for budget in ("9" * 5000, "9" * 5000 + "/day"):
        monkeypatch.setenv("CIVITAI_BUDGET", budget)
        for words in (("budget",), ("generate", "a fox"), ("doctor",)):
            code, answer = run(*words)
            assert code == 3
            assert "is not a budget" in json.dumps(answer)


@pytest.mark.parametrize(
    "words",
    [
        ("choose", "--take=--"),
        ("generate", "a fox", "--option=--"),
        ("history", "--since=--"),
        ("sweep", "--prompt", "a {x}", "--set=--"),
        ("get", "1-\udcff"),
        ("query", "--tag", "\udcff"),
        ("again", ""),
        ("again", "/"),
        ("budget", "clear", "5"),
        ("spend", "--ledger", "a\0b"),
    ],
)
def test_what_can_not_be_meant_is_refused(
    run: Callable[..., tuple[int, Any]], words: tuple[str, ...]
) -> None:
    assert problem(run(*words))


def test_two_dashes_alone_end_the_flags(run: Callable[..., tuple[int, Any]]) -> None:
    assert run("estimate", "--offline", "--", "--a fox=--")[0] == 0


@pytest.mark.parametrize(
    "given",
    [None, io.TextIOWrapper(io.BytesIO(b"\xff")), io.StringIO("\udcff"), io.StringIO("x" * 2**20)],
    ids=["closed", "bytes", "surrogates", "endless"],
)
def test_a_prompt_that_can_not_be_read_is_refused(
    run: Callable[..., tuple[int, Any]], monkeypatch: pytest.MonkeyPatch, given: Any
) -> None:
    monkeypatch.setattr(sys, "stdin", given)
    assert problem(run("generate", "-"))["field"] == "prompt"


@pytest.mark.parametrize("where", [("--port", "99999"), ("--host", "localhost." + "x" * 99)])
def test_an_address_that_the_sandbox_can_not_take_is_told(
    run: Callable[..., tuple[int, Any]], where: tuple[str, str]
) -> None:
    code, answer = run("sandbox", *where)
    assert code == 3
    assert "can't be taken" in answer["error"]["message"]


def test_the_sandbox_s_port_is_taken(run: Callable[..., tuple[int, Any]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, answer = run("sandbox", "--port", str(taken.getsockname()[1]))
    assert code == 3
    assert "Address already in use" in answer["error"]["message"]


def test_a_folder_whose_name_is_no_text_is_refused(
    run: Callable[..., tuple[int, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "no text \udcff"
    try:
        folder.mkdir()
    except (OSError, UnicodeError):
        pytest.skip("no such folder can be made here")
    monkeypatch.chdir(folder)
    assert problem(run("generate", "a fox"))["field"] == "out"
