"""What a refusal above the limit suggests is true: the same request, said so, is within it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from civitai_skill import Civitai, OverBudget
from civitai_skill.api.service import Retry
from civitai_skill.engines.planning.plan import plan
from civitai_skill.purchase.order import Order
from civitai_skill.purchase.price import over_budget_error
from civitai_skill.schema.request import ImageRequest

URL = "https://example.org/a.png"
SQUARE, LARGE = (1024, 1024), (2048, 2048)


def hint(limit: int, size: tuple[int, int] | None, price: int | None = None, **fields: Any) -> str:
    images = [] if size is None else [URL]
    request = ImageRequest(prompt="a fox", images=images, **fields)
    sources = () if size is None else (size,)
    decided = plan(request, sources=sources)
    most = decided.price.most if price is None else price
    assert most is not None
    assert most > limit
    return over_budget_error(Order(request, limit=limit), decided, most).fits


@pytest.mark.parametrize(
    ("limit", "size", "fields", "said", "change"),
    [
        (5, None, {"quality": "high"}, "quality=standard would cost about 3 Buzz.",
         {"quality": "standard"}),
        (11, SQUARE, {"quality": "high"}, "quality=standard would cost about 5 Buzz.",
         {"quality": "standard"}),
        (5, None, {"quality": "high", "variant": "9b"}, "quality=draft would cost about 4 Buzz.",
         {"quality": "draft"}),
        (50, None, {"engine": "seedream", "variant": "v4.5"},
         "Without variant, quality=draft would cost about 40 Buzz.",
         {"quality": "draft", "variant": None}),
        (45, SQUARE, {"engine": "qwen", "quality": "high"},
         "quality=standard would cost about 40 Buzz.", {"quality": "standard"}),
        (200, LARGE, {"engine": "qwen", "quality": "high"},
         "quality=standard would cost about 160 Buzz.", {"quality": "standard"}),
        (100, LARGE, {"engine": "qwen", "quality": "high"}, "", {}),
        (7, None, {"engine": "z-image", "quality": "draft"}, "", {}),
        (30, None, {"engine": "flux1-kontext"}, "", {}),
        (50, SQUARE, {"engine": "qwen", "strength": 0.5, "quality": "high", "steps": 90}, "", {}),
    ],
    ids=str,
)  # fmt: skip
def test_a_cheaper_quality_is_priced_as_the_same_request(
    limit: int, size: Any, fields: dict[str, Any], said: str, change: dict[str, Any]
) -> None:
    assert hint(limit, size, **fields) == said
    if change:
        images = [] if size is None else [URL]
        request = ImageRequest(prompt="a fox", images=images, **{**fields, **change})
        price = plan(request, sources=() if size is None else (size,)).price
        assert f"about {price.most} Buzz" in said
        assert price.most is not None
        assert price.most <= limit


def test_what_the_service_asks_above_the_rule_is_counted_in() -> None:
    assert hint(30, None, 40, engine="flux1", quality="high") == (
        "quality=standard would cost about 27 Buzz."
    )
    assert hint(5, None, 40, engine="flux1", quality="high") == ""
    assert hint(60, None, 120, engine="qwen", quality="high") == (
        "quality=draft would cost about 48 Buzz."
    )


def test_fewer_pictures_are_offered_where_some_would_fit() -> None:
    assert hint(130, None, engine="seedream", quantity=4) == "2 of the 4 pictures would fit."


def test_a_price_that_shows_late_counts_though_nothing_stopped_it(tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        told: dict[str, Any] = {"id": "w-1", "status": "processing"}
        if request.method == "PUT":
            return httpx.Response(500)
        if "whatif" in request.url.params or request.method == "GET":
            told["cost"] = {"total": 3 if request.method == "POST" else 99}
        else:
            told["externalId"] = json.loads(request.content)["externalId"]
        return httpx.Response(200, json=told)

    with Civitai(
        "a-key-of-no-one", home=tmp_path, transport=httpx.MockTransport(answer),
        retry=Retry(tries=1),
    ) as client:  # fmt: skip
        with pytest.raises(OverBudget, match="could not be canceled") as refused:
            client.generate("a fox", max_buzz=10, out=tmp_path)
        assert refused.value.spent == "yes"
        assert client.ledger is not None
        assert [row["buzz"] for row in client.ledger.spend()] == [99]
