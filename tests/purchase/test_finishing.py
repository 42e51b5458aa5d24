"""Pictures that take several steps: bought once, brought home finished, or as they were before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from civitai_skill import (
    Civitai,
    ConfigError,
    FinishRequest,
    OverBudget,
    RequestInvalid,
    WorkflowFailed,
)
from civitai_skill.api.models import Workflow
from civitai_skill.api.stages import chains_of
from civitai_skill.images.convert import Conversion
from civitai_skill.images.save import Label
from civitai_skill.sandbox import Fault, Sandbox
from tests.support.pictures import picture
from tests.support.sandbox import charged, fresh_sandbox, submits


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    made = fresh_sandbox()
    yield made
    made.close()


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Civitai]:
    with Civitai(sandbox=sandbox) as made:
        yield made


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as opened:
        return opened.size


# -- made and finished ---------------------------------------------------------------------------
def test_all_steps_are_one_purchase_and_the_last_pictures_come_home(
    client: Civitai, sandbox: Sandbox, tmp_path: Path
) -> None:
    told: list[str] = []
    result = client.generate(
        "a red telephone", out=tmp_path, quantity=2, upscale=1, remove_background=True,
        enhance_prompt=True, caption=True, tell=lambda event: told.append(str(event)),
    )  # fmt: skip
    assert (submits(sandbox), charged(sandbox)) == (1, 5 + 1 + 2 * (4 + 9 + 1))
    assert told[0].startswith("flux2 klein-4b, enhanced prompt, upscale, background removed")
    assert "34 Buzz" in told[0]
    assert "34 Buzz, simulated by the sandbox" in told[1]
    assert [size_of(path) for path in result.paths] == [(2048, 2048)] * 2
    assert {path.suffix for path in result.paths} == {".png"}
    with Image.open(result.paths[0]) as cut:
        assert cut.getchannel("A").getextrema() == (0, 255)
    assert result.enhanced_prompt is not None
    assert result.enhanced_prompt.startswith("a red telephone")
    assert [words.get("picture") for words in result.outputs] == [None, 1, 2]
    # The seed is the drawing's, whatever step the file came from.
    first, second = result.pictures
    assert first.seed is not None
    assert second.seed == first.seed + 1


def test_exact_pixels_are_upscaled_where_need_be_and_then_cropped(
    client: Civitai, sandbox: Sandbox, tmp_path: Path
) -> None:
    banner = client.generate("a cat", out=tmp_path, exact="3000x200")
    assert size_of(banner.paths[0]) == (3000, 200)
    assert "upscaled to 3136x1344 by the service" in banner.notes[0]
    spent = charged(sandbox)
    icon = client.generate("a cat", out=tmp_path, exact="256x256", output_format="png")
    assert (size_of(icon.paths[0]), charged(sandbox) - spent) == ((256, 256), 3)


def test_the_pictures_from_before_come_too_where_they_are_wanted(
    client: Civitai, tmp_path: Path
) -> None:
    result = client.generate("a fox", out=tmp_path, svg="vtracer", keep_all=True)
    assert [path.suffix for path in result.paths] == [".svg", ".jpeg"]
    assert result.paths[0].read_text().lstrip().startswith("<")


def test_a_second_drawing_is_upscaled_after_it(client: Civitai, tmp_path: Path) -> None:
    small = {"engine": "sdxl", "width": 512, "height": 512}
    result = client.generate("a fox", out=tmp_path, hires=1.5, upscale=1, keep_all=True, **small)
    assert [size_of(path)[0] for path in result.paths] == [1536, 768, 512]
    kinds = [step["$type"] for step in result.workflow.raw["steps"]]
    assert kinds == ["imageGen", "imageGen", "imageUpscaler"]


def test_a_part_is_repaired_by_control_net_where_an_engine_has_no_masks(
    client: Civitai, sandbox: Sandbox, tmp_path: Path
) -> None:
    photo, mask = tmp_path / "photo.png", tmp_path / "mask.png"
    Image.new("RGB", (768, 512), "teal").save(photo)
    Image.new("RGBA", (768, 512)).save(mask)
    asked = {"images": [photo], "inpaint": mask, "engine": "sd1"}
    price = client.estimate("a garden gnome", **asked).plan.price.buzz
    result = client.generate("a garden gnome", out=tmp_path / "out", **asked)
    assert (size_of(result.paths[0]), charged(sandbox)) == ((768, 512), price)
    (step,) = result.workflow.raw["steps"]
    (net,) = step["input"]["controlNets"]
    assert (step["input"]["operation"], net["preprocessor"]) == ("createVariant", "inpaint")
    assert net["image"] != net["mask"]


def test_whoever_brings_it_home_later_finishes_it_alike(client: Civitai, tmp_path: Path) -> None:
    asked = {"upscale": 1, "file_width": 300, "output_format": "png"}
    with pytest.raises(Exception, match="still running"):
        client.generate("a fox", out=tmp_path, timeout=0, **asked)
    (run,) = client.ledger.unfinished() if client.ledger else ()
    result = client.resume(run)
    assert [(size_of(path), path.suffix) for path in result.paths] == [((300, 300), ".png")]


def test_where_nobody_fetches_it_the_service_converts(client: Civitai, tmp_path: Path) -> None:
    workflow = client.submit("a fox", file_width=300, strip_metadata=True)
    convert = workflow.raw["steps"][-1]
    assert (convert["$type"], convert["name"]) == ("convertImage", "convert-1")
    assert convert["input"]["transforms"] == [{"type": "resize", "targetWidth": 300}]
    with pytest.raises(RequestInvalid, match="waited for"):
        client.submit("a fox", exact="300x300")


# -- a step that fails ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("step", "asked", "width", "reason"),
    [
        ("upscale-1", {"upscale": 1, "remove_background": True}, 1024, "upscaling failed"),
        ("cutout-1", {"upscale": 1, "remove_background": True}, 2048, "removing the background"),
        ("svg-1", {"svg": "vtracer"}, 1024, "drawing it as SVG failed"),
        ("caption-1", {"caption": True}, 1024, None),
    ],
)
def test_the_picture_from_before_a_failed_step_is_saved(
    client: Civitai,
    sandbox: Sandbox,
    tmp_path: Path,
    step: str,
    asked: dict[str, Any],
    width: int,
    reason: str | None,
) -> None:
    sandbox.script(Fault("submit", "fate", fate="failed", reason="no worker", step=step))
    with pytest.raises(WorkflowFailed) as caught:
        client.generate("a fox", out=tmp_path, **asked)
    error = caught.value
    (made,) = error.result.pictures
    assert made.path is not None
    assert size_of(made.path)[0] == width
    assert (made.reason or "").endswith("no worker" if reason else "")
    assert (reason or "") in (made.reason or "")
    assert "no worker" in error.message
    assert error.exit_code == 5
    assert ("1 of them not finished" in error.message) is (reason is not None)
    assert error.spent == "yes"


def test_one_picture_of_several_may_fail_alone(
    client: Civitai, sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.script(Fault("submit", "fate", fate="failed", step="upscale-2"))
    with pytest.raises(WorkflowFailed) as caught:
        client.generate("a fox", out=tmp_path, quantity=2, upscale=1)
    assert [p.width for p in caught.value.result.pictures] == [2048, 1024]


# -- pictures that are there ---------------------------------------------------------------------
def test_a_file_is_finished_by_the_service_and_here(
    client: Civitai, sandbox: Sandbox, tmp_path: Path
) -> None:
    for name, size in (("small.png", (300, 200)), ("large.png", (900, 900))):
        (tmp_path / name).write_bytes(picture(size=size))
    both = [tmp_path / "small.png", tmp_path / "large.png"]
    result = client.finish(both, out=tmp_path / "out", exact="900x900", output_format="jpeg")
    assert [size_of(p.path) for p in result.pictures if p.path] == [(900, 900)] * 2
    assert charged(sandbox) == 4  # two passes of the small one
    assert result.paths[1].name == "large.jpeg"
    said = client.finish(both, out=tmp_path / "out", auto_tags=True)
    assert (said.pictures, [words["picture"] for words in said.outputs]) == ((), [1, 2])


def test_what_this_machine_can_do_costs_nothing_and_asks_nobody(
    client: Civitai, sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(picture(size=(300, 200)))
    asked = FinishRequest(images=[tmp_path / "a.png"], output_format="jpeg")
    assert client.estimate(asked).total == 0
    result = client.finish(tmp_path / "a.png", out=tmp_path, crop="100x100", output_format="webp")
    assert (size_of(result.paths[0]), result.workflow.cost.total) == ((100, 100), 0)
    assert submits(sandbox) == 0
    with pytest.raises(RequestInvalid, match=r"1\.5 times"):
        client.finish(tmp_path / "a.png", out=tmp_path, width=600)


def test_what_this_machine_can_do_needs_no_key(tmp_path: Path) -> None:
    given = picture(size=(640, 360))
    with Civitai(key="", home=tmp_path) as client:
        result = client.finish(given, out=tmp_path / "out", exact="300x300", free=True)
        assert size_of(result.paths[0]) == (300, 300)
        with pytest.raises(ConfigError, match="key"):
            client.finish(given, out=tmp_path / "out", upscale=1)


def test_the_limit_holds_for_all_steps_together(
    client: Civitai, sandbox: Sandbox, tmp_path: Path
) -> None:
    with pytest.raises(OverBudget) as caught:
        client.generate("a fox", out=tmp_path, upscale=3, quantity=2, max_buzz=30)
    assert "1 of the 2 pictures would fit" in (caught.value.fits or "")
    assert submits(sandbox) == 0


# -- reading what is there -----------------------------------------------------------------------
def test_chains_are_known_by_the_names_of_their_steps() -> None:
    def blob(id: str) -> dict[str, Any]:
        return {"id": id, "available": True, "url": "https://example.com/x"}

    steps = [
        {"$type": "imageGen", "name": "picture", "status": "succeeded",
         "input": {"quantity": 2}, "output": {"images": [blob("a"), blob("b"), blob("more")]}},
        {"$type": "imageUpscaler", "name": "upscale-2", "status": "succeeded",
         "output": {"blob": blob("c")}},
        {"$type": "mediaRating", "name": "rating-1", "output": {"nsfwLevel": "pg"}},
    ]  # fmt: skip
    chains = chains_of(Workflow.read({"id": "1", "status": "succeeded", "steps": steps}))
    told = [[s.image.id for s in chain if s.image is not None] for chain in chains]
    assert told == [["a"], ["c", "b"]]
    others = [{**step, "name": f"mine{n}"} for n, step in enumerate(steps)]
    chains = chains_of(Workflow.read({"id": "1", "status": "succeeded", "steps": others}))
    assert len(chains) == 4


def test_words_of_others_are_bounded_and_show_all_they_say() -> None:
    caption = "a\u202e fox\x1b[31m\nover " + "x" * 30_000
    step = {"$type": "mediaCaptioning", "name": "caption-1", "output": {"caption": caption}}
    (said,) = Workflow.read({"id": "1", "status": "succeeded", "steps": [step]}).outputs
    assert said["picture"] == 1
    assert said["caption"].startswith("a fox[31m\nover x")
    assert len(said["caption"]) < 20_010


def test_a_label_is_kept_with_what_becomes_of_its_pictures() -> None:
    for label in (
        Label(("a",), {"n": 1}),
        Label((), None, Conversion(exact=(3, 4), format="png"), keep_all=True),
    ):
        assert Label.from_json(label.to_json()) == label
