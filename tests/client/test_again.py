"""Our own pictures: known by the note beside them, by the ledger, and by what stands in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from civitai_skill import Civitai, ImageRequest, RequestInvalid, Toolbox, again_image
from civitai_skill.adapters.cli import main
from civitai_skill.images.embedded import MOST_BYTES, embed
from civitai_skill.sandbox import Sandbox
from civitai_skill.sandbox.switches import Switches
from tests.support.pictures import picture

LORA = "urn:air:sdxl:lora:civitai:123456@789012"
PIXEL = "urn:air:sdxl:lora:civitai:9105@91051"
ASKED: dict[str, Any] = {
    "prompt": "a fox at dusk", "engine": "sdxl", "negative_prompt": "fog", "seed": 7,
    "width": 64, "height": 96, "steps": 12, "guidance": 5.5, "sampler": "euler",
    "scheduler": "karras", "loras": [{"air": LORA, "strength": 0.6}],
}  # fmt: skip


def open_box(home: Path, **switches: Any) -> Sandbox:
    return Sandbox(home / "sandbox.sqlite3", seconds_per_job=0.01, switches=Switches(**switches))


def test_a_renamed_picture_is_known_to_the_ledger_and_keeps_what_it_was(
    clean_environment: Path, tmp_path: Path
) -> None:
    with Civitai(sandbox=open_box(clean_environment)) as client:
        made = client.generate(ASKED, quantity=2, out=tmp_path)
        renamed = made.paths[1].rename(tmp_path / "renamed.jpeg")
        stranger = tmp_path / "other.png"
        stranger.write_bytes(picture())
        # A note beside it by chance is another picture's.
        renamed.with_suffix(".json").write_text(json.dumps({"kind": "civitai-skill picture"}))
        better = again_image(renamed, quality="high", out=tmp_path / "better", client=client)

        assert better.plan is not None
        form: Any = better.plan.form
        assert (form.prompt, form.seed, form.width, form.height) == ("a fox at dusk", 8, 64, 96)
        assert (form.steps, form.loras, form.sampler) == (12, {LORA: 0.6}, "euler")
        assert (
            json.loads(better.paths[0].with_suffix(".json").read_text())["request"]["quality"]
            == "high"
        )
        with pytest.raises(RequestInvalid, match="was not made here"):
            client.again(stranger, out=tmp_path)


def test_generate_writes_the_note_and_again_takes_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("civitai_skill.sandbox.state.life.SECONDS_PER_JOB", 0.01)
    out = str(tmp_path / "out")
    assert main(["generate", "a fox", "--seed", "5", "--sandbox", "--quiet", "--out", out]) == 0
    path = json.loads(capsys.readouterr().out)["images"][0]["path"]
    assert json.loads(Path(path).with_suffix(".json").read_text())["request"]["prompt"] == "a fox"
    words = ["again", path, "--prompt", "an owl", "--sandbox", "--quiet", "--out", out]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["images"][0]["seed"] == 5
    assert main(["again", path, "--sandbox", "--out", out]) == 0
    told = json.loads(capsys.readouterr().out)["notes"]
    assert told == [
        "The same picture again, seed 5; another seed makes another. For another one: --seed 105."
    ]
    assert main(["again", path, "--seed", "105", "--sandbox", "--quiet", "--out", out]) == 0
    different = json.loads(capsys.readouterr().out)
    assert (different["images"][0]["seed"], different.get("notes")) == (105, None)


def test_changes_name_models_in_every_way(clean_environment: Path, tmp_path: Path) -> None:
    with Civitai(sandbox=open_box(clean_environment)) as client:
        (path,) = client.generate({**ASKED, "loras": []}, out=tmp_path).paths
        page = "https://civitai.com/models/9105"
        made = client.again(path, loras=[page], trigger=True, out=tmp_path)
        assert made.plan is not None
        form: Any = made.plan.form
        assert (form.loras, form.seed) == ({PIXEL: 1.0}, 7)
        assert form.prompt == "a fox at dusk, pixel art"
        with pytest.raises(RequestInvalid, match="which flux1 takes"):
            client.again(path, loras=["https://civitai.com/models/9101?modelVersionId=91013"])
        hash = client.describe_model(PIXEL).chosen.hashes["AutoV2"]
        for way in (page, "name:Pixel Grid", hash, "civitai:9105@91051"):
            request = client.remix(path, loras=[f"{way}=0.5"], trigger=True).request
            assert [(lora.air, lora.strength) for lora in request.loras] == [(PIXEL, 0.5)], way
            assert (request.seed, request.steps, request.trigger) == (7, 12, True)


def test_a_tool_remixes_any_picture_of_ours_exactly(
    clean_environment: Path, tmp_path: Path
) -> None:
    names = ["civitai_generate_image", "civitai_remix_image"]
    with Civitai(sandbox=open_box(clean_environment)) as client:
        with Toolbox(client, include=names, out=tmp_path) as box:
            noted, other = client.generate(ASKED, quantity=2, out=tmp_path, notes=True).paths
            # One is known by the note beside it, one by the ledger.
            renamed = other.rename(tmp_path / "renamed.jpeg")
            for path, seed in ((noted, 7), (renamed, 8)):
                told = box.call(names[1], {"source": str(path)}).data
                given = told["quoted"]["arguments"]
                bought = box.call(names[0], given | {"folder": str(seed)}).data
                assert (told["dialect"], bought["engine"]) == ("civitai-skill", "sdxl base")
                assert bought["images"][0]["seed"] == seed
                exact = ImageRequest(**{**ASKED, "seed": seed, "variant": "base"})
                assert client.remix(path).request == exact
                assert client.remix(bought["images"][0]["path"]).request == exact
            moved = box.call(names[1], {"source": str(noted), "engine": "flux2"}).data
            assert "loras" not in moved["quoted"]["arguments"]
            stranger = tmp_path / "other.png"
            stranger.write_bytes(picture())
            refused = box.call(names[1], {"source": str(stranger)}).data
            assert "holds no generation data" in refused["error"]
        assert client.remix(renamed.read_bytes()).request.seed == 8


def test_the_request_stands_in_the_picture_and_comes_back_exactly(
    clean_environment: Path, tmp_path: Path
) -> None:
    with Civitai(sandbox=open_box(clean_environment, embeds_metadata=True)) as client:
        made = client.generate(ASKED, quantity=2, out=tmp_path)
        read = client.remix(made.paths[1])
        moved = client.remix(made.paths[1], engine="flux2")

    fields = {**ASKED, "variant": "base", "seed": 8}
    assert read.request == ImageRequest(**fields)
    assert (read.changes, read.unresolved) == ((), ())
    assert set(moved.fields) >= {"prompt", "engine", "seed"}
    assert "loras" not in moved.fields


def test_what_stands_in_a_picture_names_no_file_and_is_bounded(
    clean_environment: Path, tmp_path: Path
) -> None:
    source = tmp_path / "secret-name.png"
    source.write_bytes(picture())
    request = ImageRequest(prompt="winter", images=[source], strength=0.5, engine="sdxl")
    text = embed(request, "sdxl", "base", 3)
    assert text is not None
    assert "secret" not in text
    assert json.loads(text)["civitaiSkill"] == {
        "prompt": "winter", "engine": "sdxl", "variant": "base", "seed": 3,
    }  # fmt: skip
    assert embed(ImageRequest(prompt="x" * MOST_BYTES), "sdxl", "base", 3) is None


def test_it_is_no_part_of_what_makes_a_purchase_the_same(
    clean_environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from civitai_skill.purchase.order import Order
    from civitai_skill.purchase.prepare import prepare

    request = ImageRequest(prompt="a fox", seed=3)
    before = prepare(Order(request))
    assert "imageMetadata" in before.body()["steps"][0]["input"]
    monkeypatch.setattr("civitai_skill.purchase.prepare.embed", lambda *told: None)
    after = prepare(Order(request))
    assert "imageMetadata" not in after.body()["steps"][0]["input"]
    assert before.identity(Order(request)) == after.identity(Order(request))
    own = prepare(Order(ImageRequest(prompt="a fox", options={"imageMetadata": "mine"})))
    assert own.body()["steps"][0]["input"]["imageMetadata"] == "mine"
