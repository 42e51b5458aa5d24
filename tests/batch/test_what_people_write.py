"""Rows and names as people, Excel and Sheets write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from civitai_skill import Civitai, ImageRequest, RequestInvalid, run_batch, run_sweep
from civitai_skill.batch.names import format_stem
from civitai_skill.batch.report import Report
from civitai_skill.batch.rows import read_file, read_text
from civitai_skill.batch.sweep import parse_values
from civitai_skill.sandbox import Sandbox

SIZE = {"engine": "sdxl", "width": 64, "height": 64}
PAGE = "https://civitai.com/models/1"
AIR = "urn:air:sdxl:lora:civitai:123456@789012"

Make = Callable[..., Report]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a batch, or a sweep where sets are given, over a sandbox."""
    box = Sandbox(seconds_per_job=0.02)

    def made(given: Any, sets: Any = None, **more: Any) -> Report:
        with Civitai(sandbox=box, home=tmp_path / "home") as client:
            settings = {"client": client, "out": tmp_path / "out", **more}
            if sets is None:
                return run_batch(given, **settings)
            return run_sweep(given, sets, fields=SIZE, **settings)

    return made


def names(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.jpeg")}


def test_a_column_finishes_the_rows_that_say_so(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    rows = ("a mug,true,", "a tent,,", "a map,,1")
    head = "prompt,remove_background,upscale,engine,width,height"
    file.write_text("\n".join([head, *(f"{row},sdxl,64,64" for row in rows)]))
    report = make(file)
    assert [path.suffix for path in report.paths] == [".png", ".jpeg", ".jpeg"]
    assert [result.pictures[0].width for result in report.results] == [64, 64, 128]


# -- names -----------------------------------------------------------------------------------------
def test_names_keep_the_letters_of_all_alphabets(make: Make, tmp_path: Path) -> None:
    ids = ["猫", "犬", "кошка", "हिन्दी", "é", "a/b"]
    assert make([{"id": id, "prompt": f"{i}", **SIZE} for i, id in enumerate(ids)], template="{id}")
    assert names(tmp_path / "out") == {"猫", "犬", "кошка", "हिन्दी", "é", "a_b"}


def test_a_letter_in_two_ways_of_writing_is_one_name(make: Make, tmp_path: Path) -> None:
    given = [{"id": id, "prompt": id, **SIZE} for id in ("\u00e9", "e\u0301")]
    make(given, template="{id}")
    assert names(tmp_path / "out") == {"\u00e9", "\u00e9-2"}


def test_a_long_name_fits_the_disk_in_bytes(make: Make, tmp_path: Path) -> None:
    make([{"id": "猫" * 200, "prompt": "a", **SIZE}], template="{id}-{n}")
    (name,) = names(tmp_path / "out")
    assert name.startswith("猫" * 60)
    facts = {"id": "猫" * 150, "n": 0}
    assert format_stem("{id}", facts) != format_stem("{id}", {**facts, "id": "猫" * 151})


def test_a_sweep_names_its_pictures_by_what_is_swept(make: Make, tmp_path: Path) -> None:
    sets = {"animal": ["fox", "雪豹"], "style": ["ink", "oil"], "steps": ["4"]}
    report = make("a {animal} in {style}", sets)
    assert names(tmp_path / "out") == {
        "1-fox-ink-0", "2-fox-oil-0", "3-雪豹-ink-0", "4-雪豹-oil-0",
    }  # fmt: skip
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    assert [line["values"] for line in told] == [
        {"animal": animal, "style": style, "steps": 4}
        for animal in ("fox", "雪豹")
        for style in ("ink", "oil")
    ]
    assert report.results == make("a {animal} in {style}", sets).results


def test_a_template_knows_what_is_swept_and_nothing_else(make: Make, tmp_path: Path) -> None:
    make("a {animal}", {"animal": ["fox", "owl"]}, template="{animal}-{engine}")
    assert names(tmp_path / "out") == {"fox-sdxl", "owl-sdxl"}
    with pytest.raises(RequestInvalid, match="is not known") as refused:
        make("a {animal}", {"animal": ["fox"]}, template="{style}")
    assert "{animal}" in refused.value.accepted


@pytest.mark.parametrize("name", ["n", "row", "id"])
def test_a_swept_name_that_means_something_else_in_names_stays_out(
    make: Make, tmp_path: Path, name: str
) -> None:
    make(f"{{{name}}} foxes", {name: ["3", "5"]})
    assert len(names(tmp_path / "out")) == 2


def test_a_swept_seed_or_engine_is_the_one_that_was_used(make: Make, tmp_path: Path) -> None:
    make("a fox", {"seed": ["7", "9"]})
    assert names(tmp_path / "out") == {"1-7-0", "2-9-0"}


# -- tables ----------------------------------------------------------------------------------------
def fields(text: str) -> list[Any]:
    return [raw.fields for raw in read_text(text, is_csv=True)]


def test_columns_without_name_or_content_are_no_columns() -> None:
    assert fields("prompt,seed,,,\r\na fox,5,,,\r\n") == [{"prompt": "a fox", "seed": 5}]
    assert fields("prompt,seed\na fox,5,\nan owl,6,,,\n") == [
        {"prompt": "a fox", "seed": 5},
        {"prompt": "an owl", "seed": 6},
    ]


@pytest.mark.parametrize("text", ["prompt,,\na,x,\n", "prompt,seed\na,5,x\n"])
def test_a_cell_under_no_name_is_refused(text: str) -> None:
    (raw,) = read_text(text, is_csv=True)
    assert raw.problem is not None
    assert (raw.problem.given, raw.problem.why) == ("x", "a cell stands under no name")


def test_names_of_columns_are_known_in_any_case_and_with_spaces() -> None:
    text = "ID,Prompt,Negative Prompt,aspect-ratio,Options.clipSkip\n1,a fox,blur,16:9,2\n"
    assert fields(text) == [
        {
            "id": "1",
            "prompt": "a fox",
            "negative_prompt": "blur",
            "aspect_ratio": "16:9",
            "options": {"clipSkip": 2},
        }
    ]


def test_a_column_of_no_field_is_told_once(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("id,title,prompt,widht\n" + "".join(f"{i},T,a {i},64\n" for i in range(874)))
    with pytest.raises(RequestInvalid) as refused:
        make(file)
    problems = refused.value.problems
    assert [(p.field, p.given) for p in problems] == [("line 1", "title"), ("line 1", "widht")]
    assert problems[1].nearest == "width"
    assert str(refused.value).count("negative_prompt") == 1


def test_a_table_without_prompts_hears_what_may_be_meant() -> None:
    with pytest.raises(RequestInvalid) as refused:
        read_text("promt,seed\na,1\n", is_csv=True)
    assert refused.value.nearest == "promt"


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffprompt;seed;guidance\r\na fox, red;7;3,5\r\n",
        "sep=;\r\nprompt;seed;guidance\r\na fox, red;7;3,5\r\n",
        "prompt\tseed\tguidance\na fox, red\t7\t3.5\n",
        'prompt,seed,guidance\n"a fox, red",7,3.5\n',
    ],
    ids=["semicolons and decimal commas", "sep=", "tabs", "commas"],
)
def test_tables_of_all_countries_say_the_same(tmp_path: Path, text: str) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(text, encoding="utf-8", newline="")
    found = [raw.fields for raw in read_file(file)]
    assert found == [{"prompt": "a fox, red", "seed": 7, "guidance": 3.5}]


def test_excels_first_line_counts_as_a_line() -> None:
    text = 'sep=;\nprompt;seed\n"a\nfox";1\nb;2\n'
    assert [raw.line for raw in read_text(text, is_csv=True)] == [3, 5]


def test_commas_in_a_table_of_one_column_are_words() -> None:
    assert fields('Prompt\na fox, red\n"an owl, grey"\n') == [
        {"prompt": "a fox, red"},
        {"prompt": "an owl, grey"},
    ]


@pytest.mark.parametrize(
    ("cell", "loras"),
    [
        (AIR, [(AIR, 1)]),
        (f"{AIR}=0.8", [(AIR, 0.8)]),
        (f'"{AIR}=0.8, {AIR}1"', [(AIR, 0.8), (f"{AIR}1", 1)]),
        (f"{AIR} {AIR}1", [(AIR, 1), (f"{AIR}1", 1)]),
        (f"{PAGE}?modelVersionId=2 name:Ink Wash=0.5", [(f"{PAGE}?modelVersionId=2", 1),
                                                        ("name:Ink Wash", 0.5)]),
    ],
)  # fmt: skip
def test_a_cell_of_loras_may_hold_airs_pages_and_names(
    cell: str, loras: list[tuple[str, float]]
) -> None:
    (row,) = fields(f"prompt,loras\na,{cell}\n")
    assert [(lora.air, lora.strength) for lora in ImageRequest(**row).loras] == loras


# -- lists -----------------------------------------------------------------------------------------
def test_a_text_file_is_a_prompt_a_line(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text(
        "# animals\na fox, red\n\n  an owl  \r\n\\#1 in the snow\n", encoding="utf-8-sig"
    )
    assert [(raw.line, raw.fields) for raw in read_file(file)] == [
        (2, {"prompt": "a fox, red"}),
        (4, {"prompt": "an owl"}),
        (5, {"prompt": "#1 in the snow"}),
    ]


@pytest.mark.parametrize("text", ['{"prompt": "a", "seed": 1}\n', "Prompt,seed\na,1\n"])
def test_a_text_file_of_rows_is_still_rows(tmp_path: Path, text: str) -> None:
    file = tmp_path / "rows.txt"
    file.write_text(text)
    assert [raw.fields for raw in read_file(file)] == [{"prompt": "a", "seed": 1}]


def test_comments_of_a_wildcard_file_are_no_values(tmp_path: Path) -> None:
    file = tmp_path / "animals.txt"
    file.write_text("# animals\nfox\n#bear\nowl\n")
    assert parse_values(f"@{file}") == ["fox", "owl"]


def test_a_tilde_before_a_wildcard_file_is_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "animals.txt").write_text("fox\rowl\r\nbear")
    assert parse_values("@~/animals.txt") == ["fox", "owl", "bear"]


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
def test_what_excel_calls_unicode_text_is_read(tmp_path: Path, order: str) -> None:
    file = tmp_path / "rows.txt"
    file.write_bytes("\ufeffPrompt\tSeed\r\n狐, im Schnee\t5\r\n".encode(order))
    assert [raw.fields for raw in read_file(file)] == [{"prompt": "狐, im Schnee", "seed": 5}]
    file.write_bytes("\ufeff# animals\r\nfox\r\n狐\r\n".encode(order))
    assert parse_values(f"@{file}") == ["fox", "狐"]
    file.write_bytes("\ufeffa fox".encode(order)[:-1])
    with pytest.raises(RequestInvalid, match="not UTF-8 or UTF-16 text"):
        read_file(file)


# -- what repeats ----------------------------------------------------------------------------------
def test_what_repeats_over_rows_is_told_once_with_a_count(make: Make) -> None:
    given: list[Any] = [{"prompt": "a", **SIZE, "title": f"{i}"} for i in range(50)]
    with pytest.raises(RequestInvalid) as refused:
        make([*given, {"prompt": "b", "engine": "nope"}, {"prompt": "c", "engine": "nope"}])
    told = str(refused.value).splitlines()
    assert told[0] == "52 of 52 rows are refused; nothing was bought."
    assert [line.partition(":")[0] for line in told[1:]] == [
        "lines 1, 2, 3 and 47 more, title",
        "lines 51, 52, engine",
    ]
    assert [p.field for p in refused.value.problems] == [
        "lines 1, 2, 3 and 47 more, title",
        "line 51, engine",
        "line 52, engine",
    ]
