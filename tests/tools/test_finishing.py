"""Finishing over the tools: a tool of its own, an option of making, and a choice that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from civitai_skill import Civitai, Toolbox
from civitai_skill.sandbox import Sandbox

GENERATE, FINISH = "civitai_generate_image", "civitai_finish_image"


@pytest.fixture
def box(tmp_path: Path) -> Toolbox:
    client = Civitai(sandbox=Sandbox(seconds_per_job=0.02, balance={"blue": 1000}))
    chosen = [GENERATE, FINISH, "civitai_choose_engine"]
    return Toolbox(client, include=chosen, out=tmp_path / "out", max_buzz=100)


def test_finishing_is_a_tool_of_its_own_and_an_option_of_making(
    box: Toolbox, tmp_path: Path
) -> None:
    options = [{"name": "remove_background", "value": "true"}, {"name": "exact", "value": "64x64"}]
    icon = box.call(GENERATE, {"prompt": "an icon", "options": options})
    assert (icon.data["images"][0]["size"], icon.data["buzz"]) == ("64x64", 10)
    path = icon.data["images"][0]["path"]
    priced = box.call(FINISH, {"images": path, "upscale": 1, "estimate_only": True})
    assert (priced.data["buzz"], priced.data["engine"]) == (2, "upscale")
    offer = box.offer(FINISH, {"images": [path], "upscale": 1})
    assert str(offer).startswith("Finishing 1 picture (upscale) for 2 Buzz")
    larger = box.call(FINISH, {"images": [path], "upscale": "1", "caption": True})
    assert larger.data["images"][0]["size"] == "128x128"
    assert larger.data["outputs"][0]["picture"] == 1
    refused = box.call(FINISH, {"images": [path], "upscale": 1, "svg": "vtracer"})
    assert refused.failed
    assert "svg without upscale" in refused.data["error"]
    elsewhere = box.call(FINISH, {"images": [str(tmp_path / "a.png")], "upscale": 1})
    assert "a picture that these tools saved" in elsewhere.data["error"]


def test_a_choice_is_told_in_the_words_of_the_tools(box: Toolbox) -> None:
    chosen = box.call("civitai_choose_engine", {"needs": ["transparent"]})
    (first, *_) = chosen.data["choices"]
    assert first["arguments"]["options"] == [{"name": "remove_background", "value": "true"}]
    assert not box.call(GENERATE, {"prompt": "a telephone", **first["arguments"]}).failed
