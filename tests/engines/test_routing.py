"""From a request to a form: operation, variant, route, size, and what is refused on the way."""

from __future__ import annotations

from typing import Any

import pytest

from civitai_skill.engines.planning.plan import Plan, plan
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


# -- the whole body --------------------------------------------------------------------------------
def test_the_plainest_request_is_klein_4b_at_eight_steps() -> None:
    assert sent() == {
        "engine": "flux2",
        "model": "klein",
        "operation": "createImage",
        "modelVersion": "4b",
        "prompt": "a fox",
        "steps": 8,
        "cfgScale": 1,
    }


def test_a_standard_seedream_is_v45_at_2048_and_a_draft_v4_at_1024() -> None:
    base = {"engine": "seedream", "prompt": "a fox"}
    assert sent(engine="seedream") == {**base, "version": "v4.5", "width": 2048, "height": 2048}
    draft = sent(engine="seedream", quality="draft")
    assert draft == {**base, "version": "v4", "width": 1024, "height": 1024}
    assert decide(engine="seedream", quality="high").size == (4096, 4096)


def test_the_hosted_models_rewrite_no_prompt_unless_asked() -> None:
    assert sent(engine="qwen", variant="2.0")["promptExtend"] is False
    fal = sent(engine="qwen", variant="2.0", route="fal")
    assert fal["enablePromptExpansion"] is False
    asked = sent(engine="qwen", variant="2.0", options={"promptExtend": True})
    assert asked["promptExtend"] is True


def test_qwen_20b_is_pinned_to_a_version_that_does_not_move() -> None:
    versions = [
        sent(engine="qwen")["version"],
        sent(engine="qwen", images=ONE)["version"],
        sent(engine="qwen", images=ONE, strength=0.5)["version"],
    ]
    assert versions == ["2512", "2511", "2512"]
    assert sent(engine="qwen", options={"version": "2509"})["version"] == "2509"


def test_a_hosted_edit_names_its_model_instead_of_the_legacy_default() -> None:
    assert sent(engine="qwen", variant="2.0", images=ONE)["model"] == "2.0"


def test_grok_drafts_are_small_and_standard_is_below_the_dear_default() -> None:
    def setting(quality: str) -> tuple[str, str]:
        resolved = decide(engine="grok", quality=quality).form.sent(defaults=True)
        return resolved["resolution"], resolved["quality"]

    assert [setting(q) for q in ("draft", "standard", "high")] == [
        ("1k", "low"), ("1k", "medium"), ("2k", "medium"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("variant", "version"),
    [
        (None, "101055@128078"), ("juggernaut", "133005@348913"), ("Pony", "257749@290640"),
        ("illustrious", "795765@889818"), ("wai-illustrious", "827184@2514310"),
        ("noobai", "833294@1190596"),
    ],
)  # fmt: skip
def test_an_sdxl_variant_is_a_checkpoint_that_a_request_may_replace(
    variant: str | None, version: str
) -> None:
    air = f"urn:air:sdxl:checkpoint:civitai:{version}"
    assert sent(engine="sdxl", variant=variant)["model"] == air
    own = "urn:air:illustrious:checkpoint:civitai:7@8"
    assert sent(engine="sdxl", variant=variant, model=own)["model"] == own


def test_each_route_of_flux1_gets_the_air_it_needs() -> None:
    assert sent(engine="flux1")["model"] == "urn:air:flux1:checkpoint:civitai:618692@691639"
    by_sdcpp = sent(engine="flux1", route="sdcpp")
    assert by_sdcpp["diffuserModel"] == "urn:air:flux1:diffuser:civitai:618692@691639"
    assert "model" not in by_sdcpp


def test_explicit_fields_win_over_the_quality() -> None:
    body = sent(quality="high", variant="klein-4b", steps=5, guidance=3)
    assert (body["modelVersion"], body["steps"], body["cfgScale"]) == ("4b", 5, 3)


# -- operation and route ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fields", "operation", "route"),
    [
        ({}, "create", "flux2"),
        ({"images": ONE}, "edit", "flux2"),
        ({"images": ONE, "strength": 0.4}, "variant", "sdcpp"),
        ({"variant": "dev", "images": ONE, "strength": 0.4}, "variant", "sdcpp"),
        ({"engine": "flux1"}, "create", "comfy"),
        ({"engine": "flux1", "aspect_ratio": "16:9"}, "create", "comfy"),
        ({"engine": "flux1", "images": ONE}, "edit", "sdcpp"),
        ({"engine": "flux1", "images": ONE, "strength": 0.4}, "variant", "comfy"),
        ({"engine": "sdxl", "images": ONE, "strength": 0.4}, "variant", "sdcpp"),
        ({"engine": "sdxl", "route": "ComfY"}, "create", "comfy"),
        ({"engine": "qwen", "images": ONE}, "edit", "sdcpp"),
        ({"engine": "qwen", "route": "fal"}, "create", "fal"),
        ({"engine": "qwen", "variant": "2.0-pro"}, "create", "qwen"),
        ({"engine": "seedream", "images": ONE * 10}, "edit", "seedream"),
    ],
    ids=str,
)
def test_the_operation_is_derived_and_the_route_has_it(
    fields: dict[str, Any], operation: str, route: str
) -> None:
    decided = decide(**fields)
    assert (decided.operation, decided.route, decided.notes) == (operation, route, ())


def test_a_hosted_edit_with_a_ratio_goes_by_the_route_that_has_ratios() -> None:
    decided = decide(engine="qwen", variant="2.0", images=ONE, aspect_ratio="16:9")
    assert (decided.route, decided.form.sent()["imageSize"]) == ("fal", "landscape_16_9")


@pytest.mark.parametrize("engine", ["sdxl", "sd1"])
def test_an_edit_becomes_a_variant_where_the_family_has_no_edit_and_the_result_says_so(
    engine: str,
) -> None:
    decided = decide(engine=engine, images=ONE)
    assert (decided.operation, decided.form.sent(defaults=True)["strength"]) == ("variant", 0.7)
    assert decided.notes == (
        f"{engine} has no edit; a variant of the source was made instead, at its documented "
        "strength 0.7 (0 keeps the source, 1 ignores it).",
    )
    by_comfy = decide(engine=engine, images=ONE, route="comfy")
    assert by_comfy.form.sent(defaults=True)["denoiseStrength"] == 0.75
    assert "strength 0.75" in by_comfy.notes[0]


def test_no_edit_stands_in_where_another_route_makes_variants() -> None:
    refused = refusal(route="flux2", images=ONE, strength=0.5)
    assert (refused.field, refused.given, refused.nearest) == ("route", "flux2", "sdcpp")
    assert plan(ImageRequest(prompt="a fox", engine="flux1", route="comfy", images=ONE)).route == (
        "comfy"
    )


def test_several_sources_are_no_variant() -> None:
    assert refusal(engine="sdxl", images=ONE * 2).field == "images"
    refused = refusal(images=ONE * 2, strength=0.5)
    assert (refused.field, refused.given) == ("images", 2)
    assert refused.hint == "Leave strength out to edit with several sources."


def test_what_an_engine_cannot_do_is_refused_with_the_engines_that_can() -> None:
    edit = refusal(engine="z-image", images=ONE)
    assert edit.problems[0].why == "turbo can't edit pictures"
    assert edit.hint.startswith(
        "Engines that edit pictures: flux2, flux1, flux1-kontext, qwen, seedream, grok"
    )
    variant = refusal(engine="flux1-kontext", images=ONE, strength=0.5)
    assert (variant.field, variant.given) == ("strength", 0.5)
    assert variant.accepted == "leave it out to edit the source instead"
    assert variant.hint.startswith("Engines that make variants of a picture: flux2 (klein-4b,")


def test_too_many_sources_are_refused_with_the_engines_that_take_them() -> None:
    refused = refusal(images=ONE * 5)
    assert (refused.field, refused.given, refused.accepted) == ("images", 5, "at most 2")
    assert refused.hint.startswith(
        "Engines that edit pictures from 5 sources: "
        "flux2 (dev, flex, pro, max), flux1-kontext, qwen (20b), seedream"
    )


def test_an_unknown_variant_is_refused_with_the_nearest() -> None:
    refused = refusal(variant="kleen")
    assert (refused.field, refused.nearest) == ("variant", "klein-4b")
    assert refusal(engine="seedream", variant="v4.6").nearest == "v4.5"


def test_an_unknown_route_is_refused_with_the_routes() -> None:
    refused = refusal(route="fal")
    assert (refused.field, refused.accepted) == ("route", "one of flux2, sdcpp, comfy")
    assert refused.hint == "Leave route out; the best one is taken."


# -- sizes -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"aspect_ratio": "16:9"}, (1392, 752)),
        ({"aspect_ratio": "9:16"}, (752, 1392)),
        ({"engine": "sdxl", "aspect_ratio": "9:21"}, (640, 1536)),
        ({"engine": "sd1", "aspect_ratio": "16:9"}, (768, 432)),
        ({"engine": "sd1", "aspect_ratio": "4:3"}, (640, 480)),
        ({"engine": "flux1", "aspect_ratio": "16:9"}, (1344, 768)),
        ({"engine": "flux1", "route": "sdcpp", "aspect_ratio": "3:2"}, (1216, 832)),
        ({"engine": "qwen", "aspect_ratio": "16:9"}, (1664, 928)),
        ({"engine": "qwen", "quality": "draft", "aspect_ratio": "16:9"}, (1360, 768)),
        ({"engine": "seedream", "aspect_ratio": "16:9"}, (2560, 1440)),
        ({"engine": "qwen", "variant": "2.0"}, (1328, 1328)),
    ],
    ids=str,
)
def test_a_ratio_is_the_familys_recommended_size(
    fields: dict[str, Any], size: tuple[int, int]
) -> None:
    assert decide(**fields).size == size


@pytest.mark.parametrize("engine", ["flux1-kontext", "grok"])
def test_a_ratio_engine_takes_the_exact_ratio(engine: str) -> None:
    assert sent(engine=engine, aspect_ratio="3:2")["aspectRatio"] == "3:2"


@pytest.mark.parametrize(
    ("fields", "nearest"),
    [
        ({"aspect_ratio": "5:1"}, "21:9"),
        ({"aspect_ratio": "auto"}, "1:1"),
        ({"engine": "grok", "aspect_ratio": "21:9"}, "20:9"),
        ({"engine": "sd1", "aspect_ratio": "21:9"}, "16:9"),
        ({"engine": "flux1-kontext", "aspect_ratio": "2:1"}, "16:9"),
        ({"engine": "qwen", "route": "fal", "aspect_ratio": "3:2"}, "4:3"),
        ({"engine": "flux1", "route": "sdcpp", "aspect_ratio": "16:9"}, "3:2"),
    ],
    ids=str,
)
def test_a_ratio_that_no_way_has_is_refused_with_the_nearest(
    fields: dict[str, Any], nearest: str
) -> None:
    refused = refusal(**fields)
    assert (refused.field, refused.nearest) == ("aspect_ratio", nearest)


def test_a_size_that_another_route_has_is_refused_with_that_route() -> None:
    refused = refusal(engine="flux1", route="sdcpp", width=1344, height=768)
    assert (refused.field, refused.nearest) == ("width", 1216)
    assert refused.hint == "Route comfy has this size."


@pytest.mark.parametrize(
    ("engine", "width", "height", "nearest"),
    [
        ("flux1-kontext", 1920, 1080, "16:9"),
        ("grok", 1080, 2340, "9:19.5"),
        ("grok", 1000, 1000, "1:1"),
        ("grok", 10**400, 10, "20:9"),
    ],
)
def test_pixels_on_a_ratio_engine_are_refused_with_the_nearest_ratio(
    engine: str, width: int, height: int, nearest: str
) -> None:
    refused = refusal(engine=engine, width=width, height=height)
    assert (refused.field, refused.nearest) == ("width", f"aspect_ratio {nearest}")
    assert refused.problems[0].why == "this form takes a ratio, not pixels"


@pytest.mark.parametrize("size", [{"aspect_ratio": "1:1"}, {"width": 512, "height": 512}])
@pytest.mark.parametrize(
    "edit",
    [
        {"engine": "qwen"},
        {"engine": "qwen", "strength": 0.5},
        {"engine": "qwen", "variant": "3.0-pro"},
        {"engine": "grok", "variant": "v1.0", "retired": True},
    ],
    ids=str,
)
def test_an_edit_that_follows_its_source_refuses_a_size(
    edit: dict[str, Any], size: dict[str, Any]
) -> None:
    refused = refusal(images=ONE, **edit, **size)
    assert refused.field in size
    assert refused.problems[0].why == "the picture takes the size of its source"


def test_two_ways_to_say_a_size_are_refused() -> None:
    assert refusal(aspect_ratio="1:1", width=512).field == "aspect_ratio"
    named = {"engine": "qwen", "route": "fal", "options": {"imageSize": "square"}}
    assert sent(**named)["imageSize"] == "square"
    assert refusal(aspect_ratio="16:9", **named).field == "options.imageSize"


@pytest.mark.parametrize("ratio", ["0:1", "1:0", "16x9", "-1:1", "1:1:1", "9" * 400 + ":1"])
def test_a_ratio_that_is_none_is_refused(ratio: str) -> None:
    assert refusal(aspect_ratio=ratio).field == "aspect_ratio"


# -- the shape of a source -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("engine", "source", "sent"),
    [
        ("flux2", (1920, 1080), {"width": 1280, "height": 720}),
        ("flux2", (800, 1200), {"width": 832, "height": 1248}),
        ("flux2", (1024, 1024), {}),
        ("sdxl", (1500, 1000), {"width": 1248, "height": 832}),
        ("sdxl", (4032, 3024), {"width": 1152, "height": 864}),
        ("flux1-kontext", (1920, 1080), {"aspectRatio": "16:9"}),
        ("seedream", (1080, 1920), {"width": 1440, "height": 2560}),
        ("grok", (1920, 1080), {}),
        ("qwen", (1920, 1080), {}),
    ],
)
def test_an_edit_has_the_shape_of_its_source(
    engine: str, source: tuple[int, int], sent: dict[str, Any]
) -> None:
    request = ImageRequest(prompt="make it winter", engine=engine, images=["https://a.test/b.png"])
    plain = plan(request).form.sent()
    shaped = plan(request, sources=(source,))

    changed = {k: v for k, v in shaped.form.sent().items() if plain.get(k) != v and k != "seed"}
    assert changed == sent
    assert any("Shaped like its source" in note for note in shaped.notes) is bool(sent)


@pytest.mark.parametrize(
    ("engine", "source", "told"),
    [
        ("flux2", (1170, 2532), "688x1488, which is 0.4624 to 1 where the source is 0.4621 to 1"),
        ("flux2", (3000, 1000), "1568x672, which is 2.333 to 1 where the source is 3 to 1"),
        ("flux1-kontext", (1100, 1000), "1:1, which is 1 to 1 where the source is 1.1 to 1"),
    ],
)
def test_a_shape_that_the_engine_lacks_is_told(
    engine: str, source: tuple[int, int], told: str
) -> None:
    request = ImageRequest(prompt="make it winter", engine=engine, images=["https://a.test/b.png"])

    (note,) = plan(request, sources=(source,)).notes
    assert note == f"Shaped nearly like its source, as this engine can: {told}."


@pytest.mark.parametrize(
    ("engine", "ratio", "size", "told"),
    [
        ("flux2", "9:19.5", (672, 1456), False),
        ("sdxl", "7:5", (1120, 800), False),
        ("flux2", "2.35:1", (1504, 640), False),
        ("z-image", "1.91:1", (1344, 704), True),
    ],
)
def test_a_ratio_between_the_recommended_ones_is_made_on_the_grid(
    engine: str, ratio: str, size: tuple[int, int], told: bool
) -> None:
    made = plan(ImageRequest(prompt="a fox", engine=engine, aspect_ratio=ratio))

    assert made.size == size
    assert bool(made.notes) is told


def test_a_size_of_the_request_s_own_beats_the_shape_of_the_source() -> None:
    request = ImageRequest(prompt="winter", images=["https://a.test/b.png"], aspect_ratio="1:1")

    assert plan(request, sources=((1920, 1080),)).size == (1024, 1024)
