"""Two backends of one model: which draws is decided by what is asked for, and said."""

from __future__ import annotations

from typing import Any

import pytest

from civitai_skill.engines.choose import choose_engine
from civitai_skill.engines.planning.plan import Plan, plan
from civitai_skill.errors import RequestInvalid
from civitai_skill.schema.request import ImageRequest

ONE = ["https://example.org/1.png"]


def decide(**fields: Any) -> Plan:
    return plan(ImageRequest(prompt="a fox", **fields))


@pytest.mark.parametrize(
    ("fields", "route", "note"),
    [
        ({"engine": "z-image"}, "sdcpp", ""),
        ({"engine": "z-image", "sampler": "euler"}, "sdcpp", ""),
        (
            {"engine": "z-image", "sampler": "dpmpp_2m"},
            "comfy",
            "Drawn by comfy: sdcpp has no sampler dpmpp_2m.",
        ),
        (
            {"engine": "qwen", "scheduler": "beta", "images": ONE},
            "comfy",
            "Drawn by comfy: sdcpp has no scheduler beta.",
        ),
        (
            {"sampler": "uni_pc", "scheduler": "beta"},
            "comfy",
            "Drawn by comfy: flux2 has no sampler uni_pc, scheduler beta.",
        ),
        (
            {"engine": "anima", "sampler": "euler_a"},
            "sdcpp",
            "Drawn by sdcpp: comfy has no sampler euler_a.",
        ),
        (
            {"engine": "flux1", "sampler": "euler_a"},
            "sdcpp",
            "Drawn by sdcpp: comfy has no sampler euler_a.",
        ),
        (
            {"engine": "sdxl", "sampler": "dpmpp_2m", "images": ONE},
            "comfy",
            "Drawn by comfy: sdcpp has no sampler dpmpp_2m.",
        ),
        (
            {"engine": "sdxl", "control_nets": ["canny=https://example.org/a.png"]},
            "comfy",
            "Drawn by comfy: sdcpp has no control_nets.",
        ),
        (
            {"engine": "anima", "vae": "urn:air:anima:vae:civitai:1@2", "images": ONE},
            "comfy",
            "",
        ),
        ({"engine": "sdxl", "embeddings": ["urn:air:sdxl:embedding:civitai:1@2"]}, "sdcpp", ""),
    ],
)
def test_what_is_asked_for_decides_the_backend(
    fields: dict[str, Any], route: str, note: str
) -> None:
    decided = decide(**fields)
    assert decided.route == route
    assert [n for n in decided.notes if n.startswith("Drawn")] == ([note] if note else [])


def test_a_route_that_was_asked_for_stays() -> None:
    with pytest.raises(RequestInvalid, match="sampler"):
        decide(engine="z-image", route="sdcpp", sampler="dpmpp_2m")
    assert decide(engine="z-image", route="comfy").route == "comfy"


def test_a_sampler_that_no_backend_has_is_refused_with_the_first_ones_names() -> None:
    with pytest.raises(RequestInvalid, match="sampler") as refused:
        decide(engine="z-image", sampler="nonsense")
    assert "euler" in refused.value.accepted


def test_a_form_without_published_limits_warns_beyond_its_siblings() -> None:
    decided = decide(engine="z-image", route="comfy", steps=200, width=4096, height=1024)
    assert decided.form.sent()["steps"] == 200
    steps, width = sorted(decided.warnings)
    for name, warning in (("steps", steps), ("width", width)):
        assert warning.startswith(f"{name} is ")
        assert "the service decides" in warning
    assert decide(engine="chroma", width=4096, height=1024).warnings


def test_no_size_goes_to_a_twin_because_its_limits_are_unknown() -> None:
    with pytest.raises(RequestInvalid) as refused:
        decide(width=4096, height=4096)
    assert refused.value.nearest == 2048
    assert {c.engine for c in choose_engine(["mature"], width=1024, take=99)}
    with pytest.raises(RequestInvalid):
        choose_engine(["mature"], width=4096, height=4096)


def test_an_edit_of_flux1_by_comfy_says_that_it_looks_at_one_source() -> None:
    decided = decide(engine="flux1", route="comfy", images=[*ONE, "https://example.org/2.png"])
    assert any("first source only" in warning for warning in decided.warnings)
    assert decide(engine="flux1", images=ONE).route == "sdcpp"


def test_a_control_net_goes_out_in_the_forms_words() -> None:
    guide = {"preprocessor": "inpaint", "image": ONE[0], "mask": ONE[0], "start_step": 0.2}
    (net,) = decide(engine="z-image", control_nets=[guide]).form.sent()["controlNets"]
    assert net == {
        "preprocessor": "inpaint", "image": ONE[0], "mask": ONE[0],
        "weight": 1, "startStep": 0.2, "endStep": 1,
    }  # fmt: skip
    with pytest.raises(RequestInvalid) as refused:
        decide(engine="z-image", control_nets=["cany=" + ONE[0]])
    assert refused.value.field == "control_nets.0.preprocessor"
    with pytest.raises(RequestInvalid, match="control_nets"):
        decide(engine="grok", control_nets=["canny=" + ONE[0]])


def test_a_backends_own_field_is_no_option_any_more() -> None:
    with pytest.raises(RequestInvalid) as refused:
        decide(engine="sdxl", options={"vaeModel": "urn:air:sdxl:vae:civitai:1@2"})
    assert refused.value.accepted == "the field vae"
