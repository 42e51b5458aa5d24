"""What each family says about itself holds together."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from typing import get_args

import pytest

from civitai_skill.engines import catalog, index
from civitai_skill.engines.describe import describe_engine
from civitai_skill.engines.family import Family
from civitai_skill.engines.limits import limits
from civitai_skill.engines.planning.plan import plan
from civitai_skill.engines.planning.route import engines_for
from civitai_skill.engines.sizing import ratio_value
from civitai_skill.engines.summary import summary
from civitai_skill.errors import RequestInvalid
from civitai_skill.schema.air import Air, fold
from civitai_skill.schema.request import ImageRequest, Quality

#: Those that tests of lists look at; there may be more.
FIRST = (
    "flux2", "z-image", "sdxl", "sd1", "flux1", "flux1-kontext", "qwen", "seedream", "grok",
)  # fmt: skip
QUALITIES: tuple[Quality, ...] = get_args(Quality)
each = pytest.mark.parametrize("family", catalog.families(), ids=lambda family: family.name)


def test_a_family_has_the_name_of_its_line_in_the_catalog() -> None:
    assert tuple(family.name for family in catalog.families()) == catalog.NAMES
    assert len(set(catalog.NAMES)) == len(catalog.NAMES)
    assert catalog.NAMES[0] == "flux2"


@each
def test_what_was_decided_is_pickled(family: Family) -> None:
    # Frameworks keep a tool's answer that way, and send it to other processes.
    assert pickle.loads(pickle.dumps(family.forms)) == family.forms


@each
def test_the_index_is_what_the_files_say(family: Family) -> None:
    record = index.records()[catalog.NAMES.index(family.name)]
    assert record == json.loads(json.dumps(summary(family)))


def test_names_that_mean_two_variants_are_refused_when_a_family_is_made() -> None:
    one, qualities = catalog.family("sd1"), dict.fromkeys(QUALITIES, "one")
    (base,) = one.variants
    twins = (replace(base, name="one"), replace(base, name="two", aliases=("Sd1 One",)))
    with pytest.raises(ValueError, match="names of two variants: sd1one"):
        replace(one, variants=twins, quality=qualities)
    for wrong in (
        {"quality": {**one.quality, "high": "none"}},
        {"quality": {"draft": "base"}},
        {"own_checkpoint": "none"},
    ):
        with pytest.raises(ValueError, match="each quality names a variant"):
            replace(one, **wrong)


def test_a_variant_may_have_its_familys_name() -> None:
    base = catalog.family("sd1").variants[0]
    twins = (replace(base, name="sd1"), replace(base, name="two"))
    family = replace(catalog.family("sd1"), variants=twins, quality=dict.fromkeys(QUALITIES, "two"))
    assert family.variant("SD1") is twins[0]
    assert family.at["draft"] is twins[1]


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("Flux 2", "flux2"), ("flux", "flux2"), ("FLUX.2", "flux2"), ("zimage", "z-image"),
        ("Z_Image", "z-image"), ("SDXL 1.0", "sdxl"), ("SD 1.5", "sd1"), ("Flux.1", "flux1"),
        ("flux1 kontext", "flux1-kontext"), ("Qwen-Image", "qwen"), ("Grok Imagine", "grok"),
        ("SeeDream", "seedream"),
    ],
)  # fmt: skip
def test_common_spellings_mean_the_engine(spelling: str, name: str) -> None:
    assert catalog.find(spelling).name == name


@pytest.mark.parametrize(
    ("engine", "variant"),
    [
        ("pony", "pony"), ("NoobAI", "noobai"), ("flux2-klein", "klein-4b"), ("FLUX.1 dev", "dev"),
        ("Seedream 4.5", "v4.5"), ("Grok 2", "v2.0"), ("SDXL 1.0", "base"), ("flux", "klein-9b"),
    ],
)  # fmt: skip
def test_an_engines_spelling_that_names_a_variant_means_it(engine: str, variant: str) -> None:
    request = ImageRequest(prompt="a fox", engine=engine, quality="high")
    assert plan(request).variant == variant


@each
@pytest.mark.parametrize("quality", QUALITIES)
def test_a_family_that_lets_choose_a_size_draws_square_wide_and_tall_at_every_quality(
    family: Family, quality: Quality
) -> None:
    variants = {v["name"]: v for v in describe_engine(family.name)["variants"]}
    ratios = list(variants[family.quality[quality]]["sizes"])
    asked = ImageRequest(prompt="a fox", engine=family.name, quality=quality)
    if not ratios:
        with pytest.raises(RequestInvalid):
            plan(ImageRequest.of(asked, aspect_ratio="1:1"))
        return
    assert "1:1" in ratios
    assert min(map(ratio_value, ratios)) < 1 < max(map(ratio_value, ratios))
    for ratio in set(ratios) - {"auto"}:
        decided = plan(ImageRequest.of(asked, aspect_ratio=ratio))
        ratio_field = getattr(decided.form, "aspect_ratio", None)
        assert (decided.size is None) == (ratio_field == ratio)
        assert (decided.notes, decided.warnings) == ((), ())


def test_the_first_families_draw_16_to_9_both_ways() -> None:
    for name in FIRST:
        for ratio in ("16:9", "9:16"):
            assert plan(ImageRequest(prompt="a fox", engine=name, aspect_ratio=ratio))


@each
def test_no_quality_means_a_retired_variant(family: Family) -> None:
    assert set(family.quality) == set(QUALITIES)
    chosen = [family.variant(name) for name in family.quality.values()]
    assert [v.retired for v in chosen if v is not None] == [None] * len(QUALITIES)


@each
def test_names_and_aliases_of_variants_are_clear(family: Family) -> None:
    spelt = [fold(n) for v in family.variants for n in (v.name, *v.aliases)]
    assert len(spelt) == len(set(spelt))
    for variant in family.variants:
        assert family.variant(variant.name.upper()) is variant


@each
def test_settings_and_fixed_values_fit_their_forms(family: Family) -> None:
    for variant in family.variants:
        for way in variant.ways:
            known = limits(way.form)
            for quality in QUALITIES:
                values = {**way.settings(quality), **way.fixed}
                assert set(values) <= set(known), (variant.name, way.form)
                wire = {way.form.alias(n): v for n, v in values.items()}
                needed = {"image": "x", "images": ["x"]} if "image" in known else {"images": ["x"]}
                more = {way.form.alias(n): v for n, v in needed.items() if n in known}
                assert way.form.model_validate({"prompt": "a fox", **more, **wire})


@each
def test_recommended_sizes_divide_and_fit_a_form(family: Family) -> None:
    tables = [family.sizes, *(t for v in family.variants for t in v.sizes_at.values())]
    assert {tuple(table) for table in tables} == {tuple(family.sizes)}
    for table in tables:
        for ratio, (width, height) in table.items():
            assert (width % family.multiple, height % family.multiple) == (0, 0)
            wide, high = (float(part) for part in ratio.split(":"))
            assert width / height == pytest.approx(wide / high, rel=0.05)


@each
def test_default_models_are_airs_of_the_familys_own_ecosystems(family: Family) -> None:
    for variant in family.variants:
        for way in variant.ways:
            if "model" in way.default:
                assert Air.parse(way.default["model"]).family in family.ecosystems
            else:
                assert not limits(way.form).get("model", _OPTIONAL).required


class _Optional:
    required = False


_OPTIONAL = _Optional()


@each
def test_ecosystems_are_in_the_spelling_for_comparing(family: Family) -> None:
    for name in family.ecosystems | family.embedding_ecosystems:
        assert name == fold(name)


@each
def test_a_family_tells_what_a_reader_needs(family: Family) -> None:
    assert all((family.title, family.maker, family.prompt, family.licence))
    assert all((family.best_for, family.avoid_for, family.sources, family.conflicts))
    assert family.mature in ("civitai", "provider")
    assert all(variant.best_for for variant in family.variants)


def test_an_ecosystem_belongs_to_one_family() -> None:
    owned = [name for family in catalog.families() for name in family.ecosystems]
    assert len(owned) == len(set(owned))


def first(engines: list[str]) -> list[str]:
    return [engine for engine in engines if engine.split(" ")[0] in FIRST]


def test_the_engines_for_an_operation_leave_retired_variants_out() -> None:
    assert first(engines_for("edit")) == [
        "flux2", "flux1", "flux1-kontext", "qwen", "seedream", "grok",
    ]  # fmt: skip
    assert first(engines_for("variant")) == [
        "flux2 (klein-4b, klein-9b, klein-4b-base, klein-9b-base, dev)",
        "sdxl", "sd1", "flux1", "qwen (20b)",
    ]  # fmt: skip
    assert first(engines_for("edit", 10)) == [
        "flux2 (dev, flex, pro, max)", "flux1-kontext", "qwen (20b)", "seedream",
    ]  # fmt: skip


def test_an_unknown_engine_is_refused_with_the_nearest() -> None:
    with pytest.raises(RequestInvalid) as refused:
        catalog.find("fulx 2")
    assert (refused.value.field, refused.value.nearest) == ("engine", "flux2")
    assert refused.value.accepted == "one of " + ", ".join(catalog.NAMES)
