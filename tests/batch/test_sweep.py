"""Sweeps: every combination, once, the same ones again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from civitai_skill import Civitai, RequestInvalid, run_batch, run_sweep
from civitai_skill.batch.sweep import expand_sweep, parse_values
from civitai_skill.errors import ConfigError
from civitai_skill.sandbox import Sandbox

ANIMALS = {"animal": ["fox", "owl"], "style": ["ink", "oil"]}


def prompts(*given: Any, **more: Any) -> list[str]:
    return [row.fields["prompt"] for row in expand_sweep(*given, **more)]


def test_product_takes_every_combination() -> None:
    assert prompts("a {animal} in {style}", ANIMALS) == [
        "a fox in ink",
        "a fox in oil",
        "a owl in ink",
        "a owl in oil",
    ]


def test_zip_walks_the_lists_together_and_repeats_a_single_value() -> None:
    assert prompts("a {animal} in {style}", {**ANIMALS, "seed": [7]}, mode="zip") == [
        "a fox in ink",
        "a owl in oil",
    ]


def test_random_draws_the_same_each_time() -> None:
    first = prompts("a {animal} in {style}", ANIMALS, mode="random", count=20)
    assert first == prompts("a {animal} in {style}", ANIMALS, mode="random", count=20)
    assert len(first) == 20
    assert set(first) <= set(prompts("a {animal} in {style}", ANIMALS))
    assert len(set(first)) > 1


def test_a_name_may_be_a_field_of_the_request_a_word_of_the_prompt_or_both() -> None:
    found = expand_sweep(
        "a {engine} fox", {"engine": ["flux2"], "steps": ["4", "8"]}, quality="draft"
    )
    assert [row.fields for row in found] == [
        {"prompt": "a flux2 fox", "engine": "flux2", "steps": 4, "quality": "draft"},
        {"prompt": "a flux2 fox", "engine": "flux2", "steps": 8, "quality": "draft"},
    ]


def test_seeds_repeat_each_combination() -> None:
    assert prompts("a {x}", {"x": ["b", "c"]}, seeds=2) == ["a b", "a b", "a c", "a c"]


def test_braces_and_numbers_stay_as_they_were_written() -> None:
    assert prompts("{{x}} {x}", {"x": ["1.50"]}) == ["{x} 1.50"]
    assert prompts("{{{x}}}", {"x": ["{y}"]}) == ["{{y}}"]


@pytest.mark.parametrize(
    ("prompt", "sets", "more", "fields"),
    [
        ("a {animl}", {"animal": ["fox"]}, {}, ["prompt", "set animal"]),
        ("a {", {}, {}, ["prompt"]),
        ("a {x}", {"x": []}, {}, ["set x"]),
        ("a", {"colour": ["red"]}, {}, ["set colour"]),
        ("{a} {b}", {"a": [1, 2], "b": [1, 2, 3]}, {"mode": "zip"}, ["set"]),
        ("{a}", {"a": [1]}, {"mode": "random"}, ["count"]),
        ("{a}", {"a": [1]}, {"count": 3}, ["count"]),
        ("{a}", {"a": [1]}, {"mode": "random", "count": 0}, ["count"]),
        ("{a}", {"a": [1]}, {"mode": "sideways"}, ["mode"]),
        ("{a}", {"a": [1]}, {"seeds": 0}, ["seeds"]),
        ("{a}{b}{c}", dict.fromkeys("abc", range(100)), {}, ["sweep"]),
    ],
)
def test_a_sweep_without_sense_is_refused(
    prompt: str, sets: Any, more: dict[str, Any], fields: list[str]
) -> None:
    with pytest.raises(RequestInvalid) as refused:
        expand_sweep(prompt, sets, **more)
    assert [problem.field for problem in refused.value.problems] == fields


@pytest.mark.parametrize(
    ("prompt", "why"),
    [
        ("a {animal:>10}", "{animal:>10} is more than a name"),
        ("a {animal:{animal}}", "a { stands alone"),
        ("a {animal!r}", "{animal!r} is more than a name"),
        ("a {animal.x}", "{animal.x} is more than a name"),
        ("a {animal[0]}", "{animal[0]} is more than a name"),
        ("a {}", "{} has no name"),
        ("a } {animal}", "a } stands alone"),
    ],
)
def test_what_is_more_than_a_name_is_refused(prompt: str, why: str) -> None:
    with pytest.raises(RequestInvalid) as refused:
        expand_sweep(prompt, {"animal": ["fox"]})
    assert why in str(refused.value)
    assert "names in braces, such as {animal}" in str(refused.value)


def test_a_text_is_no_list_of_values() -> None:
    with pytest.raises(RequestInvalid, match="a list of values"):
        expand_sweep("a {x}", {"x": "fox"})
    with pytest.raises(RequestInvalid, match="a list of texts"):
        run_batch(["a fox"], client=Civitai(sandbox=True), tags="abc")  # type: ignore[arg-type]


async def test_inside_an_event_loop_the_other_function_is_named() -> None:
    with pytest.raises(ConfigError, match="notebook") as refused:
        run_sweep("a {x}", {"x": ["fox"]}, client=Civitai(sandbox=True))
    assert "arun_sweep" in refused.value.hint


def test_values_come_from_words_or_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "styles.txt"
    file.write_text("ink, wet\n\n  oil  \n")

    assert parse_values(r"red\, dark, blue,,") == ["red, dark", "blue"]
    assert parse_values(f"@{file}") == ["ink, wet", "oil"]
    with pytest.raises(RequestInvalid, match="No such file"):
        parse_values(f"@{tmp_path}/none.txt")


def test_a_sweep_is_paid_once(tmp_path: Path) -> None:
    box = Sandbox(seconds_per_job=0.02)
    shared = {"engine": "sdxl", "width": 64, "height": 64}
    reports = []
    for _ in range(2):
        with Civitai(sandbox=box, home=tmp_path) as client:
            reports.append(
                run_sweep(
                    "a {animal} in {style}", ANIMALS, seeds=2, fields=shared, client=client,
                    out=tmp_path / "out",
                )
            )  # fmt: skip

    assert reports[0].results == reports[1].results
    assert len({result.seed for result in reports[0].results}) == 8
    assert box.accounts()[0]["workflows"] == 8


def test_icons_with_transparent_ground_are_one_sweep(tmp_path: Path) -> None:
    sandbox = Sandbox(seconds_per_job=0.02, balance={"blue": 1000})
    with Civitai(sandbox=sandbox) as client:
        report = run_sweep(
            "a {thing} icon", {"thing": ["house", "fish", "key"]}, client=client,
            out=tmp_path / "icons", fields={"remove_background": True, "exact": "256x256"},
        )  # fmt: skip
    assert [result.status for result in report.results] == ["succeeded"] * 3
    icons = sorted((tmp_path / "icons").glob("*.png"))
    assert len(icons) == 3
    for icon in icons:
        with Image.open(icon) as picture:
            assert (picture.size, picture.mode) == ((256, 256), "RGBA")
    assert sum(result.cost or 0 for result in report.results) == 3 * (3 + 7)
