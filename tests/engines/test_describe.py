"""Descriptions say what requests do: prices, sizes and limits come from the same place."""

from __future__ import annotations

import json
import sys
from datetime import date
from types import ModuleType
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from civitai_skill.engines import catalog, index
from civitai_skill.engines.cards import card, table
from civitai_skill.engines.catalog import NAMES, Entry
from civitai_skill.engines.describe import (
    describe_engine,
    estimate_offline,
)
from civitai_skill.engines.family import Family, Measured, Retired, Variant, Way
from civitai_skill.engines.forms import LoraMap, Seed32, Sized, Wire
from civitai_skill.engines.index import list_engines
from civitai_skill.engines.limits import limits
from civitai_skill.engines.planning.plan import Price, plan
from civitai_skill.engines.sizing import FollowsSource, Ratio
from civitai_skill.engines.summary import summary
from civitai_skill.errors import RequestInvalid
from civitai_skill.schema.request import ImageRequest
from civitai_skill.schema.types import Flag, Picture, Text, Whole

VARIANTS = [(name, v.name) for name in NAMES for v in catalog.family(name).variants]


def request(engine: str, **fields: Any) -> ImageRequest:
    return ImageRequest(prompt="a fox", engine=engine, **fields)


# -- the engines that there are --------------------------------------------------------------------
def test_every_engine_is_listed_once_in_the_order_of_the_catalog() -> None:
    assert [engine["name"] for engine in list_engines()] == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_description_survives_json(name: str) -> None:
    described = describe_engine(name)
    assert json.loads(json.dumps(described)) == described


@pytest.mark.parametrize("name", NAMES)
def test_a_description_leaves_no_word_empty(name: str) -> None:
    described = describe_engine(name)
    needed = ("title", "maker", "best_for", "avoid_for", "prompt", "operations", "sources")
    assert [key for key in needed if not described[key]] == []
    assert [v["name"] for v in described["variants"] if not v["best_for"]] == []


# Worked out by hand from the documented rules at the settings of each quality.
@pytest.mark.parametrize(
    ("name", "buzz"),
    [
        ("flux2", [2, 3, 6]),  # 0.3 x 4, 0.3 x 8, 0.5 x 12
        ("z-image", [8, 8, 28]),  # turbo 8 x 9/9; base 20 x 28/20
        ("flux1-kontext", [35, 45, 90]),  # flat: dev, pro, max
        ("seedream", [40, 60, 60]),  # flat: v4, v4.5
        ("grok", [None, None, None]),  # v2.0 has no documented price
    ],
)
def test_the_price_of_each_quality_is_the_documented_one(name: str, buzz: list[Any]) -> None:
    qualities = describe_engine(name)["qualities"]
    assert [qualities[q]["buzz"] for q in ("draft", "standard", "high")] == buzz
    assert next(e for e in list_engines() if e["name"] == name)["buzz"] == dict(
        zip(("draft", "standard", "high"), buzz, strict=True)
    )


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_every_ratio_that_is_described_is_taken_at_the_size_described(
    name: str, variant: str
) -> None:
    described = next(v for v in describe_engine(name)["variants"] if v["name"] == variant)
    sources = {} if "create" in described["operations"] else {"images": ["https://example.com/a"]}
    taken = {
        ratio: plan(
            request(name, variant=variant, aspect_ratio=ratio, retired=True, **sources)
        ).size
        for ratio in described["sizes"]
    }
    assert taken == {r: tuple(s) if s else None for r, s in described["sizes"].items()}
    with pytest.raises(RequestInvalid):
        plan(request(name, variant=variant, aspect_ratio="31:1", retired=True, **sources))


@pytest.mark.parametrize("name", NAMES)
def test_every_field_of_every_form_is_described_and_no_other(name: str) -> None:
    sizes = {"width", "height", "aspect_ratio", "image_size"}
    known = {
        limit.label
        for variant in catalog.family(name).variants
        for way in variant.ways
        for field, limit in limits(way.form).items()
        if field not in way.fixed
        and not (isinstance(way.form.sizing, FollowsSource) and field in sizes)
    }
    assert set(describe_engine(name)["fields"]) == known


@pytest.mark.parametrize("name", [e["name"] for e in list_engines() if "seed" in e["takes"]])
def test_a_described_seed_range_is_the_one_that_is_held(name: str) -> None:
    with pytest.raises(RequestInvalid) as refused:
        plan(request(name, seed=0))
    assert refused.value.accepted in [e["accepts"] for e in describe_engine(name)["fields"]["seed"]]


@pytest.mark.parametrize(
    ("steps", "guidance", "buzz"), [(4, 1, 2), (8, 1, 3), (20, 1, 6), (20, 5, 12)]
)
def test_klein_costs_what_others_measured(steps: int, guidance: float, buzz: int) -> None:
    asked = request("flux2", width=832, height=1248, steps=steps, guidance=guidance)
    assert estimate_offline(asked) == Price(buzz)


def test_a_price_that_nobody_documented_is_not_made_up() -> None:
    assert str(estimate_offline(request("flux2", variant="max"))) == "not documented"


def test_an_unknown_engine_is_refused_with_the_nearest() -> None:
    with pytest.raises(RequestInvalid) as refused:
        card("sedream")
    assert refused.value.nearest == "seedream"


# -- an engine that nobody has heard of ------------------------------------------------------------
class Toy(Sized):
    prompt: Annotated[Text, Field(max_length=50)]
    seed: Seed32 = None
    quantity: Annotated[Whole, Field(ge=1, le=4)] = 1


class ToyCreate(Toy):
    engine: Literal["box"] = "box"
    operation: Literal["createImage"] = "createImage"
    steps: Annotated[Whole, Field(ge=1, le=9)] = 5
    loras: LoraMap = {}
    shiny: Flag = False

    def buzz(self) -> float:
        return 1.5 * self.steps


class ToyEdit(Toy):
    engine: Literal["shelf"] = "shelf"
    operation: Literal["editImage"] = "editImage"
    images: list[Picture]


class ToyPlain(Wire):
    sizing = Ratio()
    engine: Literal["shelf"] = "shelf"
    operation: Literal["createImage"] = "createImage"
    prompt: Annotated[Text, Field(max_length=50)]
    aspect_ratio: Literal["1:1", "2:1"] = "1:1"


TOY = Family(
    name="toy",
    title="Toy",
    maker="Nobody",
    suits="playing",
    variants=(
        Variant(
            "wood",
            (Way(ToyCreate, draft={"steps": 2}, standard={"steps": 4}, high={"steps": 8}),
             Way(ToyEdit)),
            best_for="trying",
            seconds="1-2",
            measured={"edit": Measured(3, 9.5, 0.991, date(2026, 8, 31), "a clock")},
        ),
        Variant(
            "tin",
            (Way(ToyPlain),),
            best_for="nothing",
            avoid_for="children",
            notes=("It rusts.",),
            retired=Retired(date(2026, 12, 1), "its box", "wood"),
        ),
    ),
    quality={"draft": "wood", "standard": "wood", "high": "wood"},
    best_for=("tests", "this | that"),
    avoid_for=("life",),
    prompt="Few words.",
    sizes={"1:1": (64, 64), "2:1": (128, 64)},
    multiple=8,
    ecosystems=frozenset({"toys"}),
    sources=("made up",),
)  # fmt: skip

CARD = """\
toy: Toy by Nobody
also called plaything

Best for
  - tests
  - this | that

Avoid for
  - life

How to write prompts
  - Few words.

Quality, and the price of one picture (documented, August 2026)
  - draft: wood, 1024x1024, steps 2: 3 Buzz
  - standard: wood, 1024x1024, steps 4: 6 Buzz
  - high: wood, 1024x1024, steps 8: 12 Buzz

Variants
  - wood (create, edit; 6 Buzz; edit 3 s, rarely over 9.5 (99.1% succeed); 1-2 s by its page,
    not measured): trying.
  - tin (create; price not documented): nothing. Not for children. Withdrawn on 2026-12-01 (its
    box); use wood. It rusts.

Sizes
  - wood: 1:1 64x64, 2:1 128x64, 1:2 64x128
  - tin: 1:1, 2:1
  - width and height are multiples of 8

Fields
  - prompt: at most 50 characters, required
  - width: 64 to 2048 (wood), 1024 when left out
  - height: 64 to 2048 (wood), 1024 when left out
  - aspect_ratio: one of 1:1, 2:1 (tin), 1:1 when left out
  - quantity: 1 to 4 (wood), 1 when left out
  - seed: 1 to 2147483647 (wood)
  - steps: 1 to 9 (wood creating), 4 when left out
  - loras: a list of {air, strength} (wood creating)
  - images: a list, required (wood editing)
  - output_format: one of jpeg, png, webP
  - options.imageMetadata: text
  - options.shiny: true or false (wood creating), false when left out

Takes models and LoRAs made for
  - toys

Good to know
  - The maker's content filter applies besides Civitai's moderation.

Sources
  - made up
"""


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> str:
    """A catalog with one engine, which no other file has heard of."""
    module = ModuleType("civitai_skill.engines.families.toy")
    module.FAMILY = TOY  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(catalog, "CATALOG", (Entry("toy", "toy", ("plaything",)),))
    monkeypatch.setattr(catalog, "NAMES", ("toy",))
    monkeypatch.setattr(index, "records", lambda: (summary(TOY),))
    return "toy"


def test_a_page_is_made_of_the_family_s_own_data_only(toy: str) -> None:
    assert card(toy) == CARD


def test_a_row_of_the_table_is_made_of_the_family_s_own_data_only(toy: str) -> None:
    assert table().splitlines()[2:] == [
        "| `toy` | wood | create, edit | 3, 6, 12 | tests; this / that | life |"
    ]


def test_the_parts_of_a_description_say_where_they_hold(toy: str) -> None:
    described = describe_engine(toy)
    assert described["qualities"]["high"] == {
        "variant": "wood",
        "route": "box",
        "settings": {"steps": 8},
        "size": [1024, 1024],
        "buzz": 12,
        "edit_buzz": None,
    }
    assert described["fields"]["steps"] == [
        {
            "accepts": "1 to 9",
            "where": ["wood creating"],
            "defaults": [{"value": 4, "where": ["wood creating"]}],
        }
    ]
    assert described["variants"][1] == {
        "name": "tin",
        "aliases": [],
        "operations": ["create"],
        "routes": ["shelf"],
        "best_for": "nothing",
        "avoid_for": "children",
        "seconds": "",
        "buzz": None,
        "sizes": {"1:1": None, "2:1": None},
        "notes": ["It rusts."],
        "retired": {"on": "2026-12-01", "source": "its box", "instead": "wood"},
    }


def test_the_short_list_is_enough_to_choose_by(toy: str) -> None:
    assert list_engines() == [
        {
            "name": "toy",
            "title": "Toy",
            "best_for": ["tests", "this | that"],
            "avoid_for": ["life"],
            "operations": ["create", "edit"],
            "variants": ["wood"],
            "buzz": {"draft": 3, "standard": 6, "high": 12},
            "takes": [
                "prompt",
                "width",
                "height",
                "aspect_ratio",
                "quantity",
                "seed",
                "steps",
                "loras",
                "images",
                "output_format",
            ],
        }
    ]
