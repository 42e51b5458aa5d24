"""What models and programs are shown is plain JSON Schema: none of pydantic's own words in it."""

from __future__ import annotations

import json
import re

from civitai_skill import ImageRequest
from civitai_skill.tools.outputs import OUTPUTS
from civitai_skill.tools.registry import TOOLS


def test_no_schema_holds_a_word_of_pydantics_own() -> None:
    """`Annotated[Whole, Bounds(1, 50)]` gives minimum and maximum; `Field(ge=1)` behind a type
    that reads its value gives `ge`, which OpenAI, ADK and redocly refuse."""
    models = [ImageRequest, *(tool.arguments for tool in TOOLS), *OUTPUTS.values()]
    for model in models:
        written = json.dumps(model.model_json_schema())
        found = re.findall(r'"(?:ge|le|gt|lt|multiple_of|min_length|max_length)": [-0-9]', written)
        assert found == [], model.__name__
