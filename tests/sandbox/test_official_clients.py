"""What official clients send works here: the older step, recipes, resources."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from civitai_skill.api.models import Workflow
from civitai_skill.sandbox.state.money import UNDOCUMENTED

Play = Callable[..., Any]
FOX = {"prompt": "a fox in the snow"}
STEP: dict[str, Any] = {
    "$type": "textToImage", "name": "step_0", "timeout": "00:10:00",
    "input": {
        **FOX, "negativePrompt": "snow", "model": "urn:air:sdxl:checkpoint:civitai:101055@128078",
        "width": 1024, "height": 768, "steps": 25, "cfgScale": 5, "seed": 1234, "quantity": 2,
        "batchSize": 2, "scheduler": "dpM2MKarras",
        "additionalNetworks": {"urn:air:sdxl:lora:civitai:1@2": {"strength": 0.8}},
        "sourceImageDenoiseStrenght": 0.5, "outputFormat": "png",
    },
}  # fmt: skip


def test_the_older_step_makes_its_pictures(play: Play, referee: Any) -> None:
    client = play()
    assert referee.request({"steps": [STEP], "currencies": []}) == []
    value = client.submit(STEP, wait=5).json()
    step = value["steps"][0]
    assert (value["status"], value["cost"]["total"]) == ("succeeded", 4 * UNDOCUMENTED)
    assert set(step["output"]) == {"images"}
    workflow = Workflow.read(value)
    assert [(i.width, i.height, i.seed) for i in workflow.images] == [
        (1024, 768, 1234 + n) for n in range(4)
    ]
    picture = client.get(workflow.images[0].url, follow_redirects=True)
    assert picture.content.startswith(b"\x89PNG")
    bare = client.submit({"$type": "textToImage", "input": FOX}, whatif=True).json()
    assert {"seed", "cfgScale"} <= set(bare["steps"][0]["input"])
    failed = client.submit({**STEP, "input": {"prompt": "[sandbox:failed]"}}, wait=5).json()
    assert (failed["status"], failed["cost"]["total"]) == ("failed", 0)


@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"cfgScale": 0.5}, {"width": 63}, {"scheduler": "Euler"}, {"x": 1}]
)
def test_what_the_document_refuses_of_it_is_refused(
    play: Play, referee: Any, wrong: dict[str, Any]
) -> None:
    step = {**STEP, "input": {**STEP["input"], **wrong}}
    assert play().submit(step, whatif=True).status_code == 400
    assert referee.request({"steps": [step], "currencies": []}) != []


def test_it_is_a_recipe_too(play: Play) -> None:
    answer = play().post("/v2/consumer/recipes/textToImage", json=STEP["input"])
    assert answer.status_code == 200
    assert len(answer.json()["images"]) == 4


def test_a_resource_is_told_under_its_right_air(play: Play, referee: Any) -> None:
    client = play()
    told = client.get("/v2/resources/urn:air:sd1:checkpoint:civitai:9001@90012")
    assert told.json()["air"] == "urn:air:sdxl:checkpoint:civitai:9001@90012"
    assert referee.check(told.json(), "ResourceInfo") == []
    unknown = "urn:air:sdxl:checkpoint:civitai:101055@128078"
    assert client.get(f"/v2/resources/{unknown}").json()["air"] == unknown
    assert client.get("/v2/resources/no air").status_code == 400
    assert client.get("/v2/resources").status_code == 400
    assert client.get("/v2/resources?view=queue").json() == {"items": []}
    assert play(key=None).get(f"/v2/resources/{unknown}").status_code == 401
