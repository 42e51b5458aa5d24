"""The light table of fields says what ImageRequest says, and every interface takes its fields."""

from __future__ import annotations

from typing import Any

import pytest

from civitai_skill.adapters.cli.parser import parse
from civitai_skill.adapters.cli.request import build_request, request_fields
from civitai_skill.batch.rows import read_text
from civitai_skill.client.options import RequestFields
from civitai_skill.engines.sources import holders
from civitai_skill.errors import RequestInvalid
from civitai_skill.schema.fields import FIELDS, RequestField
from civitai_skill.schema.request import FOLLOWING, ImageRequest
from civitai_skill.tools.arguments import IN_OPTIONS, EstimateImage
from civitai_skill.tools.registry import BY_NAME

NAMES = list(ImageRequest.model_fields)
LORA = "urn:air:sdxl:lora:civitai:1@2"

#: Of each kind: a word on a command line, a cell of a table, and what both mean.
SAID: dict[str, tuple[str, str, Any]] = {
    "text": ("7", "7", "7"),
    "choice": ("png", "png", "png"),
    "whole": ("7", "7", 7),
    "number": ("0.5", "0.5", 0.5),
    "flag": ("", "true", True),
    "texts": ("a.png", "a.png", ["a.png"]),
    "loras": (f"{LORA}=0.5", f"{LORA}=0.5", [f"{LORA}=0.5"]),
    "options": ("clipSkip=2", '"{""clipSkip"": 2}"', {"clipSkip": 2}),
}  # fmt: skip


def test_every_interface_knows_every_field() -> None:
    assert [field.name for field in FIELDS] == NAMES
    assert ["prompt", *RequestFields.__annotations__] == NAMES
    assert sorted([*EstimateImage.model_fields, *IN_OPTIONS]) == sorted(NAMES)


def test_a_source_is_never_written_into_a_picture() -> None:
    written = {field.name for field in FIELDS if field.embedded}
    assert {"prompt", "negative_prompt", "loras", "aspect_ratio"} <= written
    assert not written & {*holders(ImageRequest), *FOLLOWING, "seed", "quantity", "options"}


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_field_means_the_same_on_a_command_line_and_in_a_table(field: RequestField) -> None:
    word, cell, meant = SAID[field.kind]
    given = parse(["sweep", "--prompt", "a fox", field.flag, *filter(None, [word])])
    typed = {"prompt": given.prompt, **request_fields(given)}
    (row,) = read_text(f"prompt,{field.name}\na fox,{cell}" if field.name != "prompt" else
                       f"prompt\n{cell}", is_csv=True)  # fmt: skip
    assert row.fields[field.name] == typed[field.name] == meant


def test_a_strength_may_be_a_word_at_every_interface() -> None:
    source: dict[str, Any] = {"prompt": "a fox", "images": ["https://a.test/b.png"]}
    words = ["generate", "a fox", "--image", "https://a.test/b.png", "--strength", "Strong"]
    (row,) = read_text("prompt,images,strength\na fox,https://a.test/b.png,touch", is_csv=True)
    given: Any = BY_NAME["civitai_generate_image"].arguments(**source, strength="clear")

    assert ImageRequest(**source, strength="touch").strength == 0.35
    assert ImageRequest(**row.fields).strength == 0.35
    assert build_request(parse(words)).strength == 0.8
    assert given.strength == 0.6
    with pytest.raises(RequestInvalid, match="strength"):
        ImageRequest(**source, strength="huge")
