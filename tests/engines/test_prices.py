"""Prices worked out by hand from the documented rules, rounded up to whole Buzz."""

from __future__ import annotations

from typing import Any

import pytest

from civitai_skill.engines.planning.plan import Price, plan
from civitai_skill.schema.request import ImageRequest

ONE = ["https://example.org/1.png"]
LORA = [{"air": "urn:air:flux2:lora:civitai:1@2"}]

# Measured by users of the service: klein 4b at 832x1248.
MEASURED = [
    ({"steps": 4, "guidance": 1}, 2),
    ({"steps": 8, "guidance": 1}, 3),
    ({"steps": 20, "guidance": 1}, 6),
    ({"steps": 20, "guidance": 5}, 12),
]

DOCUMENTED: list[tuple[dict[str, Any], int | None]] = [
    # flux2: 0.3 or 0.5 a step, doubled above guidance 1, one whole price more for each source.
    ({}, 3),
    ({"quality": "draft"}, 2),
    ({"quality": "high"}, 6),
    ({"variant": "9b", "steps": 12, "guidance": 1, "images": ONE}, 12),
    ({"variant": "9b", "steps": 20, "guidance": 5, "images": ONE * 2, "quantity": 4}, 240),
    ({"route": "sdcpp", "steps": 20, "guidance": 5, "images": ONE, "strength": 0.5}, 12),
    ({"variant": "dev"}, 40),
    ({"variant": "dev", "width": 1008, "height": 992}, 20),
    ({"variant": "dev", "loras": LORA}, 80),
    ({"variant": "dev", "width": 2048, "height": 2048, "quantity": 2}, 200),
    ({"variant": "dev", "route": "comfy"}, None),
    ({"variant": "flex"}, None),
    ({"variant": "pro"}, None),
    ({"variant": "max"}, None),
    # flux1: comfy by size and steps; sdcpp 0.5 a step as klein.
    ({"engine": "flux1"}, 8),
    ({"engine": "flux1", "quality": "draft"}, 2),
    ({"engine": "flux1", "width": 2048, "height": 2048, "steps": 40, "quantity": 3}, 192),
    ({"engine": "flux1", "route": "sdcpp"}, 28),
    ({"engine": "flux1", "route": "sdcpp", "guidance": 1}, 14),
    ({"engine": "flux1", "images": ONE}, 56),
    ({"engine": "flux1", "images": ONE * 2}, 84),
    # Flat prices.
    ({"engine": "flux1-kontext", "variant": "dev"}, 35),
    ({"engine": "flux1-kontext", "quantity": 2}, 90),
    ({"engine": "flux1-kontext", "variant": "max", "images": ONE * 3}, 90),
    ({"engine": "seedream"}, 60),
    ({"engine": "seedream", "quality": "high", "quantity": 2}, 120),
    ({"engine": "seedream", "quality": "draft"}, 40),
    ({"engine": "seedream", "variant": "v3"}, 40),
    ({"engine": "seedream", "variant": "v5.0-lite"}, 52),
    ({"engine": "seedream", "variant": "v5.0-pro"}, 135),
    ({"engine": "grok"}, None),
    ({"engine": "grok", "variant": "v1.0", "quantity": 2}, 52),
    ({"engine": "grok", "variant": "v1.0", "images": ONE}, 29),
    # sdxl and sd1: by size and steps; comfy gives 30 steps for what sdcpp gives 20.
    ({"engine": "sdxl", "steps": 20}, 8),
    ({"engine": "sdxl", "steps": 30, "route": "comfy"}, 8),
    ({"engine": "sdxl", "aspect_ratio": "16:9", "steps": 20}, 8),
    ({"engine": "sdxl", "steps": 50, "quantity": 12}, 240),
    ({"engine": "sdxl", "steps": 20, "width": 512, "height": 512}, 2),
    ({"engine": "sd1"}, 4),
    ({"engine": "sd1", "route": "comfy"}, 4),
    ({"engine": "sd1", "width": 1024, "height": 1024}, 16),
    # z-image: 8 at 9 steps, 20 at 20.
    ({"engine": "z-image"}, 8),
    ({"engine": "z-image", "steps": 18, "quantity": 2}, 32),
    ({"engine": "z-image", "variant": "base"}, 20),
    ({"engine": "z-image", "quality": "high"}, 28),
    # qwen: 20b by size and steps, hosted flat, fal not documented.
    ({"engine": "qwen"}, 30),
    ({"engine": "qwen", "quality": "draft"}, 18),
    ({"engine": "qwen", "quality": "high"}, 45),
    ({"engine": "qwen", "variant": "2.0"}, 46),
    ({"engine": "qwen", "variant": "2.0", "quantity": 2}, 91),
    ({"engine": "qwen", "variant": "2.0-pro"}, 98),
    ({"engine": "qwen", "variant": "3.0-pro", "images": ONE}, 98),
    ({"engine": "qwen", "variant": "plus"}, 39),
    ({"engine": "qwen", "variant": "edit", "images": ONE}, 59),
    ({"engine": "qwen", "variant": "edit-max", "images": ONE}, 98),
    ({"engine": "qwen", "variant": "2.0", "route": "fal"}, None),
    # ernie: 20 at 20 steps, turbo 8 at 8; anima: 8 at 25 steps, by both routes.
    ({"engine": "ernie"}, 20),
    ({"engine": "ernie", "quality": "high"}, 30),
    ({"engine": "ernie", "quality": "draft"}, 8),
    ({"engine": "ernie", "width": 2048, "height": 1024, "quantity": 3}, 120),
    ({"engine": "anima"}, 10),
    ({"engine": "anima", "route": "sdcpp", "steps": 25}, 8),
    ({"engine": "anima", "variant": "turbo", "steps": 8}, 3),
    ({"engine": "anima", "images": ONE, "strength": 0.5, "steps": 50}, 16),
    # Nobody documents these.
    ({"engine": "krea2", "variant": "turbo"}, None),
    ({"engine": "hidream"}, None),
    ({"engine": "lens"}, None),
    ({"engine": "ideogram4"}, None),
    ({"engine": "boogu"}, None),
    ({"engine": "mageflow", "images": ONE}, None),
    ({"engine": "chroma"}, None),
    ({"engine": "pony-v7"}, None),
    ({"engine": "qwen21", "images": ONE}, None),
    # openai: gpt-image-2 by the cheapest tier that covers the size, however turned.
    ({"engine": "openai"}, 52),
    ({"engine": "openai", "quality": "draft"}, 13),
    ({"engine": "openai", "quality": "high"}, 208),
    ({"engine": "openai", "width": 1024, "height": 768}, 52),
    ({"engine": "openai", "width": 768, "height": 1024}, 52),
    ({"engine": "openai", "width": 1024, "height": 1536}, 52),
    ({"engine": "openai", "width": 1088, "height": 1088}, 78),
    ({"engine": "openai", "width": 1920, "height": 1072, "quantity": 2}, 104),
    ({"engine": "openai", "width": 2560, "height": 1440}, 78),
    ({"engine": "openai", "width": 2160, "height": 3840, "quality": "high"}, 533),
    ({"engine": "openai", "width": 3840, "height": 3840}, None),
    ({"engine": "openai", "variant": "2.5-flare"}, None),
    ({"engine": "openai", "variant": "gpt-image-1.5"}, 100),
    ({"engine": "openai", "variant": "gpt-image-1.5", "quality": "high", "images": ONE}, 375),
    ({"engine": "openai", "variant": "gpt-image-1", "options": {"quality": "auto"}}, 300),
    ({"engine": "openai", "variant": "dall-e-3"}, 300),
    # google and gemini.
    ({"engine": "google", "quantity": 2}, 88),
    ({"engine": "google", "quality": "high"}, 230),
    ({"engine": "google", "variant": "pro", "images": ONE}, 180),
    ({"engine": "google", "variant": "pro", "options": {"resolution": "4K"}}, 320),
    ({"engine": "google", "variant": "nano-banana-2"}, 104),
    ({"engine": "google", "variant": "nano-banana-2", "grounding": True, "quality": "high"}, 176),
    ({"engine": "google", "variant": "nano-banana-2", "options": {
        "enableGoogleSearch": True, "resolution": "4K"}, "grounding": True}, 248),
    ({"engine": "google", "variant": "nano-banana-2.1"}, None),
    ({"engine": "google", "variant": "imagen4"}, 40),
    ({"engine": "gemini", "images": ONE}, 60),
    # krea2, wan, mai, reve, muse, flux1-pro.
    ({"engine": "krea2"}, 39),
    ({"engine": "krea2", "quality": "high"}, 78),
    ({"engine": "krea2", "style_images": ONE}, 46),
    ({"engine": "krea2", "style_images": ONE * 3, "quantity": 2}, 91),
    ({"engine": "krea2", "route": "krea"}, None),
    ({"engine": "krea2", "images": ONE, "strength": 0.5}, None),
    ({"engine": "wan"}, 39),
    ({"engine": "wan", "quality": "draft"}, 33),
    ({"engine": "wan", "quality": "high", "images": ONE}, 98),
    ({"engine": "wan", "variant": "v2.2"}, 150),
    ({"engine": "wan", "variant": "v2.2", "loras": LORA}, 300),
    ({"engine": "wan", "variant": "v2.2-5b"}, 100),
    ({"engine": "mai", "images": ONE, "quantity": 2}, 130),
    ({"engine": "reve"}, None),
    ({"engine": "muse"}, None),
    ({"engine": "flux1-pro"}, None),
]  # fmt: skip


def price(sources: tuple[tuple[int, int] | None, ...] = (), **fields: Any) -> Price:
    strength = {} if fields.get("strength") is None else {"strength": fields.pop("strength")}
    return plan(
        ImageRequest(prompt="a fox", retired=True, **fields, **strength), sources=sources
    ).price


@pytest.mark.parametrize(("fields", "buzz"), MEASURED)
def test_klein_costs_what_users_measured(fields: dict[str, Any], buzz: int) -> None:
    assert price(width=832, height=1248, **fields) == Price(buzz)


@pytest.mark.parametrize(("fields", "buzz"), DOCUMENTED, ids=lambda value: str(value))
def test_a_price_is_the_documented_rule_worked_out(
    fields: dict[str, Any], buzz: int | None
) -> None:
    assert price(**fields) == Price(buzz)


@pytest.mark.parametrize(("sources", "buzz"), [(1, 40), (2, 44), (3, 48), (10, 76)])
def test_a_20b_edit_costs_forty_and_a_tenth_more_for_each_further_source(
    sources: int, buzz: int
) -> None:
    known = ((1024, 1024),) * sources
    assert price(known, engine="qwen", images=ONE * sources) == Price(buzz)


def test_a_20b_variant_costs_thirty_at_1328_by_the_sources_size() -> None:
    fields: dict[str, Any] = {"engine": "qwen", "images": ONE, "strength": 0.4}
    assert price(((1328, 1328),), **fields) == Price(30)
    assert price(((664, 664),), **fields) == Price(8)


def test_an_edit_that_follows_an_unknown_source_says_what_it_may_cost_at_most() -> None:
    found = price(engine="qwen", images=ONE)
    assert (found.buzz, found.cap) == (40, 160)
    assert str(found) == "about 40 Buzz (for a 1024x1024 source, at most 160)"


def test_an_edit_by_gpt_image_2_costs_what_its_source_does_where_it_names_no_size() -> None:
    assert price(((1440, 2560),), engine="openai", images=ONE) == Price(78)
    found = price(engine="openai", images=ONE)
    assert (found.buzz, found.cap) == (52, 143)
    assert price(engine="openai", images=ONE, width=1024, height=1536) == Price(52)


def test_a_flat_price_needs_no_source_and_no_cap() -> None:
    assert price(engine="qwen", variant="2.0", images=ONE) == Price(46)


def test_a_price_that_nobody_documents_says_so() -> None:
    assert str(price(engine="grok")) == "not documented"
    assert str(price()) == "about 3 Buzz"
