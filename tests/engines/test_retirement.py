"""Retirement is a date: warned of before it, never chosen and refused unasked after it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from civitai_skill import ImageRequest, RequestInvalid, choose_engine
from civitai_skill.engines import catalog
from civitai_skill.engines.family import NEEDS, Retired
from civitai_skill.engines.planning.plan import plan

SUMMER, AUTUMN, WINTER = date(2026, 8, 20), date(2026, 11, 28), date(2026, 12, 1)

#: What each of these days says of what goes: a warning, or the successor that it is refused with.
STATES: list[tuple[str, str, date, str, str]] = [
    ("grok", "v1.0", SUMMER, "will be withdrawn on 2026-10-30", "grok v2.0"),
    ("grok", "v1.0", date(2026, 10, 29), "will be withdrawn on 2026-10-30", "grok v2.0"),
    ("grok", "v1.0", date(2026, 10, 30), "is withdrawn since 2026-10-30", "grok v2.0"),
    ("grok", "v1.0", AUTUMN, "is withdrawn since 2026-10-30", "grok v2.0"),
    ("qwen", "plus", date(2026, 1, 1), "is withdrawn (", "qwen 2.0"),
    ("openai", "gpt-image-1.5", SUMMER, "will be withdrawn on 2026-12-01", "openai gpt-image-2"),
    ("openai", "gpt-image-1.5", AUTUMN, "will be withdrawn on 2026-12-01", "openai gpt-image-2"),
    ("openai", "gpt-image-1.5", WINTER, "is withdrawn since 2026-12-01", "openai gpt-image-2"),
    ("openai", "gpt-image-1", SUMMER, "will be withdrawn on 2026-10-23", "openai gpt-image-2"),
    ("openai", "gpt-image-1", AUTUMN, "is withdrawn since 2026-10-23", "openai gpt-image-2"),
    ("openai", "dall-e-3", SUMMER, "is withdrawn since 2026-05-12", "openai gpt-image-2"),
]


def test_a_date_is_passed_on_its_day_and_none_always() -> None:
    coming = Retired(date(2026, 12, 1), "a table", "another")
    assert [coming.passed(date(2026, 11, 30)), coming.passed(date(2026, 12, 1))] == [False, True]
    assert Retired(None, "a table", "another").passed(date(2020, 1, 1))


@pytest.mark.parametrize(("engine", "variant", "today", "said", "instead"), STATES)
def test_it_is_warned_of_before_and_refused_with_its_successor_after(
    engine: str, variant: str, today: date, said: str, instead: str
) -> None:
    found = catalog.family(engine).variant(variant)
    assert found is not None
    assert found.retired is not None
    source = found.retired.source
    asked = ImageRequest(prompt="a fox", engine=engine, variant=variant)
    if said.startswith("will"):
        (warning,) = plan(asked, today=today).warnings
    else:
        with pytest.raises(RequestInvalid) as refused:
            plan(asked, today=today)
        (problem,) = refused.value.problems
        assert f"{engine} {variant} {said}" in problem.why
        assert source in problem.why
        assert (problem.field, problem.accepted) == ("variant", instead)
        assert f"{engine} {problem.nearest}" == instead
        assert "retired" in refused.value.hint
        (warning,) = plan(ImageRequest.of(asked, retired=True), today=today).warnings
    assert warning.startswith(f"{engine} {variant} {said}")
    assert source in warning
    assert instead in warning


def test_a_successor_is_there_and_is_not_withdrawn_itself() -> None:
    for family in catalog.families():
        for variant in family.variants:
            if variant.retired is not None:
                engine, _, name = variant.retired.instead.partition(" ")
                successor = catalog.family(engine).variant(name)
                assert successor is not None, variant.retired.instead
                assert successor.retired is None


@pytest.mark.parametrize("today", [SUMMER, AUTUMN, WINTER])
def test_what_is_withdrawn_is_never_chosen_and_what_will_be_is_warned_of(today: date) -> None:
    gone, going = set(), set()
    for family in catalog.families():
        for variant in family.variants:
            if variant.retired is not None:
                among = gone if variant.retired.passed(today) else going
                among.add((family.name, variant.name))
    assert gone
    for need in NEEDS:
        for choice in choose_engine([need], take=99, today=today):
            name = (choice.engine, choice.variant)
            assert name not in gone
            warned = any("will be withdrawn" in text for text in choice.warnings)
            assert warned == (name in going)


def drawing_transparency(today: date) -> list[Any]:
    choices = choose_engine(["transparent_background"], take=200, today=today)
    return [choice for choice in choices if "background" in choice.arguments]


def test_transparency_is_drawn_by_an_engine_until_it_goes() -> None:
    for today in (SUMMER, AUTUMN):
        (choice,) = drawing_transparency(today)
        assert (choice.engine, choice.variant) == ("openai", "gpt-image-1.5")
        assert "2026-12-01" in choice.as_dict()["warnings"][0]
    assert drawing_transparency(WINTER) == []


def test_an_engines_spelling_that_names_what_is_withdrawn_is_refused_as_the_engine() -> None:
    with pytest.raises(RequestInvalid) as refused:
        plan(ImageRequest(prompt="a fox", engine="dall-e 3"), today=AUTUMN)
    (problem,) = refused.value.problems
    assert (problem.field, problem.nearest) == ("engine", "openai gpt-image-2")
