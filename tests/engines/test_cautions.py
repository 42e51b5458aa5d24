"""Settings that the guide calls broken go through with a warning, and stand in the descriptions."""

from __future__ import annotations

from typing import Any

import pytest

from civitai_skill.engines import catalog
from civitai_skill.engines.cards import card
from civitai_skill.engines.describe import describe_engine
from civitai_skill.engines.limits import limits
from civitai_skill.engines.planning.plan import plan
from civitai_skill.schema.request import ImageRequest

OWN = "urn:air:flux1:checkpoint:civitai:1@2"


def warned(**fields: Any) -> tuple[str, ...]:
    return plan(ImageRequest(prompt="a fox", **fields)).warnings


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"scheduler": "ays"}, "flux2 klein-4b: scheduler ays gives a black picture."),
        ({"variant": "9b", "scheduler": "gits"}, "flux2 klein-9b: scheduler gits gives noise."),
        ({"sampler": "tcd"}, "flux2 klein-4b: sampler ddim_trailing or tcd fails."),
        (
            {"engine": "z-image", "scheduler": "karras"},
            "z-image turbo: scheduler karras or exponential gives noise.",
        ),
        (
            {"engine": "z-image", "variant": "base", "scheduler": "exponential"},
            "z-image base: scheduler karras or exponential is poor.",
        ),
        (
            {"engine": "sdxl", "variant": "noobai", "scheduler": "karras"},
            "sdxl noobai: scheduler karras does not fit a v-prediction model.",
        ),
        ({"engine": "flux1", "steps": 4}, "flux1 dev: fewer than 20 steps gave a third party"),
        ({"engine": "flux1", "guidance": 7}, "flux1 dev: guidance outside 1 to 4.5 gave"),
        ({"engine": "qwen", "sampler": "euler_a"}, "qwen 20b: sampler euler_a or dpm++2s_a"),
        ({"engine": "seedream", "guidance": 6}, "seedream v4.5: guidance above 5"),
    ],
    ids=str,
)
def test_what_the_guide_calls_broken_is_warned_of(fields: dict[str, Any], said: str) -> None:
    (warning,) = warned(**fields)
    assert warning.startswith(said)


@pytest.mark.parametrize(
    "fields",
    [
        {"sampler": "euler", "scheduler": "simple"},
        {"sampler": "euler_a"},
        {"variant": "dev", "route": "sdcpp", "scheduler": "gits"},
        {"engine": "sdxl", "scheduler": "karras"},
        {"engine": "flux1", "variant": "schnell", "steps": 4},
        {"engine": "seedream", "variant": "v4", "width": 1024, "height": 1024},
    ],
    ids=str,
)
def test_what_is_safe_is_not_warned_of(fields: dict[str, Any]) -> None:
    assert warned(**fields) == ()


@pytest.mark.parametrize("family", catalog.families(), ids=lambda family: family.name)
def test_every_caution_is_about_a_field_of_a_variant_and_stands_in_the_card(family: Any) -> None:
    shown = " ".join(describe_engine(family.name)["notes"])
    for caution in family.cautions:
        variants = [v for v in family.variants if caution.concerns(v.name)]
        forms = [way.form for variant in variants for way in variant.ways]
        assert any(caution.field in limits(f) or hasattr(f, caution.field) for f in forms), caution
        for values in [caution.values] if isinstance(caution.values, tuple) else []:
            known = {c for f in forms for c in limits(f)[caution.field].choices}
            assert known.intersection(values)
        assert str(caution) in shown
    assert ("Warned of, not refused" in card(family.name)) is bool(family.cautions)


def test_a_checkpoint_of_ones_own_is_not_drawn_with_the_settings_of_schnell() -> None:
    own = plan(ImageRequest(prompt="a fox", engine="flux1", quality="draft", model=OWN))
    form = own.form.sent(defaults=True)
    assert (own.variant, form["steps"], form["cfgScale"], form["model"]) == ("dev", 20, 3.5, OWN)
    stock = "urn:air:flux1:checkpoint:civitai:618692@699279"
    draft = plan(ImageRequest(prompt="a fox", engine="flux1", quality="draft", model=stock))
    assert (draft.variant, draft.form.sent(defaults=True)["steps"]) == ("schnell", 4)
