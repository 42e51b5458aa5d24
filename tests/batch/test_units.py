"""The parts of a batch: rows from files, keys, names, results, the pace, the moderated prompts."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import unicodedata
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitai_skill import ImageRequest, RequestInvalid
from civitai_skill.batch import names, results
from civitai_skill.batch.limiter import FIRST, AdaptiveLimiter
from civitai_skill.batch.names import PictureNames, format_stem
from civitai_skill.batch.plan import key_of, seed_of
from civitai_skill.batch.results import Result, SavedPicture, escape_cell
from civitai_skill.batch.rows import read_file, read_text, read_values
from civitai_skill.purchase.identity import next_attempt


# -- rows --------------------------------------------------------------------------------
def test_json_lines_keep_their_numbers_and_may_hold_any_separator() -> None:
    text = '\n{"prompt": "a\u2028b"}\r\n\n{"prompt": "c", "seed": 7}\n'
    found = [(raw.line, raw.fields) for raw in read_text(text)]
    assert found == [(2, {"prompt": "a\u2028b"}), (4, {"prompt": "c", "seed": 7})]


def test_csv_says_nothing_with_an_empty_cell_and_numbers_with_digits() -> None:
    text = (
        "prompt,seed,guidance,images,loras,options.clipSkip,id\r\n"
        '"a fox,\nred",7,3.5,photo.png,"[{""air"": ""x""}]",2,007\r\n'
        "2048,,,,,,\r\n"
    )
    found = [(raw.line, raw.fields) for raw in read_text(text)]
    assert found == [
        (
            2,
            {
                "prompt": "a fox,\nred",
                "seed": 7,
                "guidance": 3.5,
                "images": ["photo.png"],
                "loras": [{"air": "x"}],
                "options": {"clipSkip": 2},
                "id": "007",
            },
        ),
        (4, {"prompt": "2048"}),
    ]


@pytest.mark.parametrize("mark", [";", "\t"])
def test_csv_of_other_countries_is_read(mark: str) -> None:
    text = f"prompt{mark}seed\na fox, red{mark}7\n"
    assert [raw.fields for raw in read_text(text)] == [{"prompt": "a fox, red", "seed": 7}]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[1]\n", "there is no column prompt"),
        ("a,b\n1,2\n", "there is no column prompt"),
        ("prompt,prompt\n", "a column stands twice"),
    ],
)
def test_a_header_without_sense_is_refused(text: str, why: str) -> None:
    with pytest.raises(RequestInvalid) as refused:
        read_text(text)
    assert str(refused.value.problems[0].why).startswith(why)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"prompt": ', "not JSON (Expecting value)"),
        ("{" + '"a":{' * 100_000, "not JSON (too deep)"),
        ('{"seed": ' + "1" * 5000 + "}", "not JSON (a number of too many digits)"),
        ('{"prompt": "x", "options": {"a": 1, "a": 2}}', "it stands twice"),
    ],
)
def test_a_line_that_is_no_json_is_one_bad_row(line: str, why: str) -> None:
    raws = read_text('{"prompt": "a"}\n' + line)
    assert [None if raw.problem is None else raw.problem.why for raw in raws] == [None, why]


@pytest.mark.parametrize("name", ["loras", "options", "images"])
def test_a_cell_that_is_nested_too_deep_is_one_bad_row(name: str) -> None:
    raws = read_text(f"prompt,{name}\na,{'[' * 100_000}\nb,\n", is_csv=True)
    assert [raw.problem and (raw.problem.field, raw.problem.why) for raw in raws] == [
        (name, "not JSON"),
        None,
    ]


def test_rows_of_a_program_may_be_prompts_fields_or_requests() -> None:
    found = read_values(["a", {"prompt": "b"}, ImageRequest(prompt="c", seed=7)])
    assert [(raw.line, raw.fields) for raw in found] == [
        (1, {"prompt": "a"}),
        (2, {"prompt": "b"}),
        (3, {"prompt": "c", "seed": 7}),
    ]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file or directory"),
        (b"\xe9", "not UTF-8 or UTF-16 text"),
        (b" \n", "it has no rows"),
        (b'[\n{"prompt": "a fox"}]', "it is one JSON list"),
    ],
)
def test_a_file_without_rows_is_refused(tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "rows.jsonl"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RequestInvalid) as refused:
        read_file(file)
    assert str(refused.value.problems[0].why).startswith(why)


@given(st.text(max_size=200))
def test_any_text_is_rows_or_refused(text: str) -> None:
    field = "line 1"
    try:
        found = read_text(text)
    except RequestInvalid as refused:
        found, field = [], refused.field
    assert re.fullmatch(r"line \d+", field)  # the first that is not blank
    assert isinstance(found, list)


# -- keys --------------------------------------------------------------------------------
def test_a_key_is_a_tagged_function_of_name_identity_and_content() -> None:
    key = key_of("animals", "n:1", "r1:abc")
    assert key == "b1-k5140604189bf13f17bdd95bd15ec08857588398a"
    assert (
        len({key_of(*words) for words in (("a", "b", "c"), ("ab", "", "c"), ("a", "bc", ""))}) == 3
    )


def test_the_seed_of_a_row_follows_from_its_key() -> None:
    assert seed_of("b1-kabc") == seed_of("b1-kabc")
    assert all(1 <= seed_of(f"k{i}") < 2**31 - 64 for i in range(1000))


def test_attempts_are_numbered_in_the_key() -> None:
    assert next_attempt("b1-kabc") == "b1-kabc-a2"
    assert next_attempt("b1-kabc-a2") == "b1-kabc-a3"


# -- names -------------------------------------------------------------------------------
FACTS = {"row": 3, "id": "x", "engine": "flux2", "variant": "klein-4b", "seed": 7, "batch": "b",
         "key": "k", "n": 0}  # fmt: skip


@pytest.mark.parametrize(
    ("template", "name"),
    [
        (names.TEMPLATE, "3-flux2-7-0"),
        ("{row:04}_{id}", "0003_x"),
        ("{id}", "x"),
        ("a/b".replace("/", " "), "a_b"),
        ("...", "picture"),
    ],
)
def test_a_template_names_a_file(template: str, name: str) -> None:
    assert format_stem(template, FACTS) == name


@pytest.mark.parametrize(
    "template",
    ["{prompt}", "{row", "{row.real}", "{row!r}", "{row:>99999999}", "../{row}", " ", ""],
)
def test_a_template_that_leads_elsewhere_is_refused(template: str) -> None:
    with pytest.raises(RequestInvalid) as refused:
        PictureNames(template)
    assert refused.value.field == "template"
    assert refused.value.nearest == names.TEMPLATE


@given(st.text(max_size=60))
def test_no_id_leads_out_of_the_folder(text: str) -> None:
    name = format_stem("{id}", {**FACTS, "id": text})
    assert name
    assert all(c in "._-" or unicodedata.category(c)[0] in "LMN" for c in name)
    assert len(f"{name}-9999.jpeg".encode()) <= 255
    assert not name.startswith(".")


def test_names_that_are_alike_get_numbers_in_order() -> None:
    given = PictureNames("{engine}")
    assert given.reserve(2, FACTS) == ("flux2", "flux2-2")
    assert given.reserve(1, {**FACTS, "engine": "FLUX2"}) == ("FLUX2-3",)


# -- results -----------------------------------------------------------------------------
def result(**more: Any) -> Result:
    return Result(**{"row": 1, "line": 2, "key": "k", "status": "succeeded", **more})


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    saved = SavedPicture("a.png", 0, 1, 2, 3, 4, "ff")
    written = [result(pictures=(saved,)), result(row=2, key="l", status="failed", reason="why")]
    results.write(tmp_path, written)

    assert list(results.read_earlier(tmp_path).values()) == written


def test_a_results_file_that_is_torn_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    results.write(tmp_path, [result(key="a"), result(key="b")])
    file = tmp_path / "results.jsonl"
    file.write_text("\n[[[\nnull\n" + file.read_text()[:-30])
    assert list(results.read_earlier(tmp_path)) == ["a"]

    file.write_bytes(b"\xff")
    assert results.read_earlier(tmp_path) == {}


@pytest.mark.parametrize(
    "value", [{}, {"key": 1}, {"key": "k", "status": "x", "row": 1, "line": 1, "pictures": [1]}]
)
def test_a_line_that_is_no_result_is_left_out(value: Any) -> None:
    assert results.parse_result(value) is None


def test_the_table_holds_no_formula_and_no_escape(tmp_path: Path) -> None:
    prompts = ["=HYPERLINK(1)", "+1", "-1", "@x", " =1", "\uff1d1", "\u3000\uff0b1",
               "\x1b[31mred", 'a, "b"\nc', "plain"]  # fmt: skip
    results.write(tmp_path, [result(row=i, prompt=p) for i, p in enumerate(prompts)], table=True)

    data = (tmp_path / "results.csv").read_text()
    told = [row["prompt"] for row in csv.DictReader(io.StringIO(data, newline=""))]
    assert told == ["'=HYPERLINK(1)", "'+1", "'-1", "'@x", "' =1", "'\uff1d1", "' \uff0b1",
                    " [31mred", 'a, "b" c', "plain"]  # fmt: skip
    assert "\x1b" not in data
    assert escape_cell(7) == 7


# -- the pace ----------------------------------------------------------------------------
class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_pace_grows_with_good_answers_and_halves_under_pressure() -> None:
    clock = Clock()
    tempo = AdaptiveLimiter(16, clock)
    for _ in range(1000):
        tempo.record_response("GET", httpx.Response(200), 0.1)
    assert tempo.allowed == 16

    for _ in range(10):  # one wall, hit by many requests
        tempo.record_response("GET", httpx.Response(429), 0.1)
    assert tempo.allowed == 8
    clock.now += 2
    tempo.record_response("GET", httpx.Response(200), 9.0)
    assert tempo.allowed == 4
    clock.now += 2
    tempo.back_off()
    tempo.record_response("GET", httpx.Response(200), 0.1)
    assert tempo.allowed == 2.5
    assert tempo.cuts == 3


@pytest.mark.parametrize("status", [408, 429, 500, 501, 502, 503, 504, 520, 599])
def test_the_pace_halves_after_every_answer_that_is_tried_again(status: int) -> None:
    tempo = AdaptiveLimiter(16, Clock())
    tempo.record_response("GET", httpx.Response(status), 0.1)
    assert (tempo.allowed, tempo.cuts) == (FIRST / 2, 1)


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404])
def test_the_pace_does_not_halve_after_an_answer_that_stands(status: int) -> None:
    tempo = AdaptiveLimiter(16, Clock())
    tempo.record_response("GET", httpx.Response(status), 0.1)
    assert tempo.cuts == 0


def test_slow_kinds_of_requests_are_compared_with_themselves() -> None:
    tempo = AdaptiveLimiter(16, Clock())
    for _ in range(20):
        tempo.record_response("POST whatif", httpx.Response(200), 20.0)
        tempo.record_response("GET", httpx.Response(200), 0.1)
    assert tempo.cuts == 0


async def test_no_more_requests_go_out_than_the_pace_allows() -> None:
    tempo = AdaptiveLimiter(16)
    most = 0

    async def one() -> None:
        nonlocal most
        async with tempo.slot():
            most = max(most, tempo.active)
            await anyio.sleep(0.001)

    await asyncio.gather(*(one() for _ in range(50)))
    assert most == FIRST
    assert tempo.active == 0


async def test_a_retry_after_holds_everybody_back() -> None:
    tempo = AdaptiveLimiter(16)
    tempo.record_response("GET", httpx.Response(429, headers={"Retry-After": "0.1"}), 0.1)
    began = asyncio.get_running_loop().time()
    async with tempo.slot():
        assert asyncio.get_running_loop().time() - began >= 0.09
