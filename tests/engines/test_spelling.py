"""A name that is no engine: the engine and variant that were meant, or the list of names."""

from __future__ import annotations

import pytest
from pydantic_core import SchemaError

from civitai_skill.engines import catalog
from civitai_skill.engines.planning.plan import plan
from civitai_skill.errors import RequestInvalid
from civitai_skill.schema.request import ImageRequest


def nearest(name: str) -> str | None:
    with pytest.raises(RequestInvalid) as refused:
        catalog.find(name)
    assert refused.value.accepted == "one of " + ", ".join(catalog.NAMES)
    found: str | None = refused.value.nearest
    return found


@pytest.mark.parametrize(
    ("name", "engine", "variant"),
    [
        ("flux.2 [dev]", "flux2", "dev"),
        ("flux 2 pro", "flux2", "pro"),
        ("flux2-max ultra", "flux2", "max"),
        ("klein-9b", "flux2", "klein-9b"),
        ("ponyDiffusionV6XL", "sdxl", "pony"),
        ("sunburst", "openai", "gpt-image-2.5-sunburst"),
        ("banana pro", "google", "nano-banana-pro"),
        ("kontext max", "flux1-kontext", "max"),
        ("z image turbo", "z-image", "turbo"),
        ("qwen 2.0", "qwen", "2.0"),
        ("seedream v4.5", "seedream", "v4.5"),
        ("Pony V6", "sdxl", "pony"),
        ("pony diffusion", "sdxl", "pony"),
        ("illustrius", "sdxl", "illustrious"),
    ],
)
def test_a_variants_name_is_answered_with_its_engine_and_itself(
    name: str, engine: str, variant: str
) -> None:
    assert nearest(name) == f"engine {engine} with variant {variant}"
    assert plan(ImageRequest(prompt="a fox", engine=engine, variant=variant)).variant == variant


@pytest.mark.parametrize("engine", [None, "z-image"])
@pytest.mark.parametrize("variant", ["ponyDiffusionV6XL", "pony"])
def test_a_variant_of_another_engine_is_answered_with_that_engine(
    engine: str | None, variant: str
) -> None:
    named = {} if engine is None else {"engine": engine}
    with pytest.raises(RequestInvalid) as refused:
        plan(ImageRequest(prompt="a fox", variant=variant, **named))
    assert refused.value.problems[0].nearest == "engine sdxl with variant pony"


@pytest.mark.parametrize(
    ("name", "variant"),
    [("flux-dev", "dev"), ("FLUX.1 [schnell]", "schnell"), ("Flux Krea", "krea")],
)
def test_flux_with_a_name_but_no_number_is_flux_1(name: str, variant: str) -> None:
    planned = plan(ImageRequest(prompt="a fox", engine=name))
    assert (planned.family, planned.variant) == ("flux1", variant)


@pytest.mark.parametrize(
    ("name", "engine"),
    [("fulx 2", "flux2"), ("sedream", "seedream"), ("sdxl turbo", "sdxl"), ("z-imge", "z-image")],
)
def test_a_family_that_was_meant_is_named(name: str, engine: str) -> None:
    assert nearest(name) == engine


@pytest.mark.parametrize(
    "name",
    ["veo", "sora", "hunyuan", "midjourney", "kandinsky", "SD 3.5", "dev",
     "x", ""],
)  # fmt: skip
def test_nothing_absurd_is_offered(name: str) -> None:
    assert nearest(name) is None


def test_ctrl_c_while_pydantic_builds_a_family_is_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(name: str) -> None:
        raise SchemaError('Error building "model" validator:\n  KeyboardInterrupt: ')

    monkeypatch.setattr(catalog, "import_module", interrupted)
    with pytest.raises(KeyboardInterrupt):
        catalog.own_family(catalog.Entry("never loaded", "never_loaded"))
