"""Other programs' syntax in a prompt: refused with what to write, told, or put in another way."""

from __future__ import annotations

from typing import Any

import pytest

from civitai_skill.engines.planning.plan import Plan, plan
from civitai_skill.engines.prompts import Syntax, adapt_prompt, read_lora_tags
from civitai_skill.errors import RequestInvalid
from civitai_skill.errors.next_steps import Remix
from civitai_skill.schema.request import ImageRequest


def decide(prompt: str, **fields: Any) -> Plan:
    return plan(ImageRequest(prompt=prompt, **fields))


@pytest.mark.parametrize("engine", ["sdxl", "flux2", "openai"])
@pytest.mark.parametrize(
    ("prompt", "accepted", "nearest"),
    [
        ("a girl <lora:add detail:0.8>, rain", "add detail goes in loras by its AIR, at 0.8",
         "a girl, rain"),
        ("a fox --ar 16:9 --no trees, people --v 6", "aspect_ratio 16:9, negative_prompt trees",
         "a fox"),
        ("a {red|blue} hat", "a sweep makes each", "a red hat"),
        ("a __colour__ cat", "a sweep fills", None),
    ],
)  # fmt: skip
def test_what_would_be_drawn_as_words_is_refused(
    engine: str, prompt: str, accepted: str, nearest: str | None
) -> None:
    with pytest.raises(RequestInvalid) as refused:
        decide(prompt, engine=engine)
    assert accepted in refused.value.accepted
    assert (refused.value.field, refused.value.nearest) == ("prompt", nearest)


def test_pasted_settings_lead_to_remix_and_a_negative_prompt_is_looked_at_too() -> None:
    with pytest.raises(RequestInvalid) as refused:
        decide("a mill\nNegative prompt: fog\nSteps: 20, Sampler: Euler a, Seed: 1", engine="sdxl")
    assert refused.value.next == (Remix(),)
    with pytest.raises(RequestInvalid, match="negative_prompt"):
        decide("a mill", engine="sdxl", negative_prompt="<lora:bad:1>")


@pytest.mark.parametrize(
    "prompt",
    [
        'a sign that says "<lora:x:1> {a|b} --ar 1:1 __x__"',
        "a tutorial with steps: 1 2 3, negative space, a well-known {thing}",
        "snake_case__ and __dunder of a programmer -- with dashes",
        '{"scene": "a fox", "light": "dusk"}',
        "a fox (Vulpes vulpes), 4:3, at 12:30",
    ],
)
def test_what_only_looks_like_it_goes_through_without_a_word(prompt: str) -> None:
    assert decide(prompt, engine="z-image").warnings == ()


@pytest.mark.parametrize(
    ("engine", "prompt", "warned"),
    [
        ("sdxl", "(a:1.2), [b], c BREAK d", False),
        ("sdxl", "a AND b", True),
        ("sdxl", "[a:b:0.5]", True),
        ("flux1", "a (red:1.3) fox", True),
        ("flux1", "a fox BREAK a hen", True),
        ("qwen", "a (red:1.3) fox", True),
    ],
)
def test_what_an_engine_makes_something_else_of_is_told(
    engine: str, prompt: str, warned: bool
) -> None:
    told = [w for w in decide(prompt, engine=engine).warnings if w.startswith("prompt:")]
    assert bool(told) is warned


@pytest.mark.parametrize(
    ("prompt", "target", "adapted"),
    [
        ("(a:1.2), [b], c BREAK d, e \\(f\\)", "weights", "(a:1.2), [b], c BREAK d, e \\(f\\)"),
        ("(a:1.2), [b], c BREAK d, e \\(f\\)", "comfy", "(a:1.2), (b:0.9), c, d, e \\(f\\)"),
        ("(a:1.2), ((b)), [c], d BREAK e \\(f\\)", "words", "a, b, c, d, e (f)"),
        ("[cat:dog:0.5] by [ink|oil], 10:30 :)", "words", "cat by ink, 10:30 :)"),
        ("((((", "parsed", ""),
        ("a) b] c", "words", "a) b] c"),
    ],
)
def test_a_prompt_is_put_in_another_forms_way(prompt: str, target: Syntax, adapted: str) -> None:
    assert adapt_prompt(prompt, target)[0] == adapted


@pytest.mark.parametrize(
    ("prompt", "plain", "weights"),
    [
        ("a, <lora:x:0.5>, b", "a, b", [0.5]),
        ("a <lora:x:0.4:0.7> b", "a b", [0.7]),
        ("a,<lora:x:1,0,1>,b,", "a,b", [1]),
        ("a, <lora:x:-1.5>\nb", "a,\nb", [-1.5]),
        ("<lyco:x:te=0.2:unet=0.9><lora:y>", "", [0.9, 1]),
        ("a < b > c <lora>", "a < b > c <lora>", []),
    ],
)
def test_tags_of_loras_go_with_their_comma(prompt: str, plain: str, weights: list[float]) -> None:
    read = read_lora_tags(prompt)
    assert (read.plain, [tag.weight for tag in read.tags]) == (plain, weights)
