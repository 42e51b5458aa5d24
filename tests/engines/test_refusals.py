"""Nothing is dropped: what a form can't take is refused, and what it takes is sent as said."""

from __future__ import annotations

from typing import Any

import pytest

from civitai_skill.engines.planning.plan import Plan, plan, with_seed
from civitai_skill.errors import RequestInvalid
from civitai_skill.schema.request import ImageRequest

ONE = ["https://example.org/1.png"]


def decide(**fields: Any) -> Plan:
    return plan(ImageRequest(**{"prompt": "a fox", **fields}))


def refusal(**fields: Any) -> RequestInvalid:
    with pytest.raises(RequestInvalid) as refused:
        decide(**fields)
    return refused.value


def sent(**fields: Any) -> dict[str, Any]:
    """The body without the seed, which is chosen anew each time."""
    body = decide(**fields).form.sent()
    body.pop("seed", None)
    return body


@pytest.mark.parametrize(
    ("fields", "there"),
    [
        ({"variant": "pro", "steps": 5}, "; steps is there on klein-4b,"),
        ({"engine": "flux1", "negative_prompt": "x"}, "; negative_prompt is there by route sdcpp"),
        (
            {"engine": "qwen", "variant": "2.0", "loras": [{"air": "urn:air:qwen:lora:c:1"}]},
            "; loras is there on 20b",
        ),
        ({"engine": "grok", "seed": 4}, "this form takes prompt, aspect_ratio, quantity"),
        ({"engine": "flux1-kontext", "model": "civitai:1@2"}, "leave it out"),
    ],
    ids=str,
)
def test_a_field_that_the_form_lacks_is_refused_with_where_it_is(
    fields: dict[str, Any], there: str
) -> None:
    refused = refusal(**fields)
    assert refused.problems[0].why == "this form has no such field"
    assert there in refused.accepted


def test_a_prompt_that_is_too_short_is_told_how_long_it_must_be() -> None:
    assert refusal(engine="mai", prompt="b").accepted == "3 to 5000 characters"


def test_options_are_checked_like_the_rest() -> None:
    refused = refusal(
        options={"cfgScale": 3, "modelVersion": "9b", "enablePromptExpnsion": True, "cfg": 2}
    )
    assert [(p.field, p.accepted, p.nearest) for p in refused.problems] == [
        ("options.cfgScale", "the field guidance", None),
        (
            "options.modelVersion",
            "the field variant, one of klein-4b, klein-9b, klein-4b-base, klein-9b-base, "
            "klein-9b-kv",
            None,
        ),
        (
            "options.enablePromptExpnsion",
            "one of imageMetadata, enablePromptExpansion",
            "enablePromptExpansion",
        ),
        ("options.cfg", "one of imageMetadata, enablePromptExpansion", "guidance"),
    ]
    assert sent(options={"enable_prompt_expansion": True})["enablePromptExpansion"] is True
    wrong = refusal(options={"enablePromptExpansion": "yes"})
    assert (wrong.field, wrong.accepted) == ("options.enablePromptExpansion", "true or false")
    twice = refusal(options={"imageMetadata": "a", "image_metadata": "b"})
    assert twice.field == "options.image_metadata"


@pytest.mark.parametrize("name", ["images", "engine", "quality", "negative_prompt"])
def test_a_field_of_the_request_is_no_option(name: str) -> None:
    (problem,) = refusal(options={name: "x"}).problems
    assert problem.why == "this is a field of the request itself"
    assert problem.accepted == f"the field {name}"


def test_a_number_that_spells_a_choice_is_that_choice() -> None:
    assert sent(engine="qwen", options={"version": 2509})["version"] == "2509"
    assert refusal(engine="qwen", options={"version": 2508}).field == "options.version"


def test_a_lora_given_twice_is_refused() -> None:
    air = "urn:air:flux2:lora:civitai:1@2"
    refused = refusal(loras=[{"air": air, "strength": 0.5}, {"air": air, "strength": 1}])
    assert (refused.field, refused.given) == ("loras", air)


def test_loras_are_a_map_here_and_a_list_there() -> None:
    loras = [{"air": "urn:air:flux2:lora:civitai:1@2", "strength": 0.5}]
    assert sent(loras=loras)["loras"] == {"urn:air:flux2:lora:civitai:1@2": 0.5}
    assert sent(variant="dev", loras=loras)["loras"] == loras


def test_a_negative_prompt_without_effect_warns() -> None:
    assert decide(negative_prompt="blur", guidance=4).warnings == ()
    (warning,) = decide(negative_prompt="blur").warnings
    assert warning.startswith("negative_prompt does nothing at guidance 1;")


# -- AIRs ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("engine", "ecosystems"),
    [
        ("flux2", ["flux2", "Flux2Klein", "flux2klein_9b", "flux2klein-4b-base"]),
        ("flux1", ["flux1", "FLUX1", "fluxkrea"]),
        ("sdxl", ["sdxl", "SDXL1", "pony", "illustrious", "NoobAI"]),
        ("sd1", ["sd1"]),
        ("z-image", ["zImage", "zimageturbo", "zimagebase"]),
        ("qwen", ["qwen"]),
    ],
)
def test_airs_of_the_familys_ecosystems_pass_in_any_spelling(
    engine: str, ecosystems: list[str]
) -> None:
    airs = [f"urn:air:{name}:lora:civitai:1@2" for name in ecosystems] + ["civitai:3@4"]
    body = sent(engine=engine, loras=[{"air": air} for air in airs])
    assert body["loras"] == dict.fromkeys(airs, 1)


def test_an_air_of_another_engine_is_refused_with_that_engine() -> None:
    refused = refusal(loras=[{"air": "urn:air:pony:lora:civitai:1@2"}])
    assert refused.field == "loras.0.air"
    assert refused.problems[0].why == (
        "made for pony, which engine sdxl takes; here the job would hang"
    )
    forced = refusal(
        loras=[{"air": "urn:air:sdxl:lora:civitai:1@2"}], options={"allow_unlisted_air": True}
    )
    assert forced.field == "loras.0.air"


def test_an_air_of_an_unknown_ecosystem_passes_only_when_it_is_allowed() -> None:
    fields: dict[str, Any] = {"engine": "sdxl", "model": "urn:air:newone:checkpoint:civitai:1@2"}
    refused = refusal(**fields)
    assert refused.field == "model"
    assert refused.accepted.endswith(
        "or set options.allow_unlisted_air to true if you know that it fits"
    )
    allowed = sent(**fields, options={"allow_unlisted_air": True})
    assert allowed["model"] == fields["model"]
    assert "allow_unlisted_air" not in allowed
    assert refusal(**fields, options={"allow_unlisted_air": False}).field == "model"
    assert refusal(**fields, options={"allow_unlisted_air": 1}).accepted == "true or false"


def test_a_lora_as_model_and_a_checkpoint_as_lora_are_refused() -> None:
    assert "belongs in loras" in str(refusal(engine="sdxl", model="urn:air:sdxl:lora:civitai:1@2"))
    checkpoint = [{"air": "urn:air:sdxl:checkpoint:civitai:1@2"}]
    assert "belongs in model" in str(refusal(engine="sdxl", loras=checkpoint))


@pytest.mark.parametrize(
    ("fields", "field", "why"),
    [
        ({"model": "urn:air:sdxl:vae:civitai:1@2"}, "model",
         "this is a VAE; it belongs in vae"),
        ({"model": "urn:air:sdxl:upscaler:civitai:1@2"}, "model", "its type is upscaler"),
        ({"loras": [{"air": "urn:air:sdxl:embedding:civitai:1@2"}]}, "loras.0.air",
         "this is an embedding; it belongs in embeddings"),
        ({"loras": [{"air": "urn:air:sdxl:embedding:civitai:1@2"}], "route": "comfy"},
         "loras.0.air", "this is an embedding"),
        ({"vae": "urn:air:sdxl:lora:civitai:1@2"}, "vae",
         "this is a LoRA; it belongs in loras"),
        ({"embeddings": ["urn:air:sdxl:checkpoint:civitai:1@2"]},
         "embeddings.0", "this is a checkpoint; it belongs in model"),
        ({"vae": "urn:air:sd1:vae:civitai:1@2"}, "vae",
         "made for sd1, which engine sd1 takes; here the job would hang"),
    ],
    ids=str,
)  # fmt: skip
def test_an_air_of_another_kind_is_refused_with_its_place(
    fields: dict[str, Any], field: str, why: str
) -> None:
    (problem,) = refusal(engine="sdxl", **fields).problems
    assert (problem.field, problem.why) == (field, why)


def test_a_newline_at_the_end_of_an_air_is_not_sent() -> None:
    air = "urn:air:sdxl:checkpoint:civitai:1@2"
    assert sent(engine="sdxl", model=air + "\n")["model"] == air
    assert refusal(engine="sdxl", model=air + "\nx").field == "model"


def test_sdxl_takes_the_embeddings_of_sd1_but_not_its_loras() -> None:
    embedding = ["urn:air:sd1:embedding:civitai:1@2"]
    assert sent(engine="sdxl", embeddings=embedding)["embeddings"] == embedding
    assert refusal(engine="sd1", embeddings=["urn:air:sdxl:embedding:c:1"]).field == (
        "embeddings.0"
    )
    assert refusal(engine="sdxl", loras=[{"air": "urn:air:sd1:lora:civitai:1@2"}]).field == (
        "loras.0.air"
    )


# -- seeds -----------------------------------------------------------------------------------------
def test_a_seed_is_chosen_where_the_engine_takes_one_and_none_is_given() -> None:
    seeds = [decide().seed for _ in range(20)]
    assert len(set(seeds)) > 1
    assert all(seed is not None and 1 <= seed < 2**31 for seed in seeds)
    assert decide(seed=7).form.sent()["seed"] == 7
    assert decide(engine="grok").seed is None


@pytest.mark.parametrize(("engine", "bits"), [("seedream", 31), ("sdxl", 63)])
def test_the_last_seed_of_a_batch_must_be_a_seed_too(engine: str, bits: int) -> None:
    top = 2**bits - 3
    assert decide(engine=engine, seed=top, quantity=3).seed == top
    refused = refusal(engine=engine, seed=top + 1, quantity=3)
    assert refused.nearest == top
    assert refused.accepted == f"1 to {top} with quantity 3, whose last seed is 2 higher"


def test_the_same_plan_with_another_seed_differs_in_nothing_else() -> None:
    first = decide(seed=7)
    assert with_seed(first, 8).form.sent() == {**first.form.sent(), "seed": 8}
