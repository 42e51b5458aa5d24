"""The note beside a picture: what made it, so that it can be made once more or varied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from civitai_skill import Civitai, ImageRequest, RequestInvalid, run_batch
from civitai_skill.adapters.cli import main
from civitai_skill.client.again import vary_picture
from civitai_skill.images import save
from civitai_skill.images.sidecar import read_request, sidecar_facts
from civitai_skill.sandbox import Sandbox

_ENDLESS = '{"kind": "civitai-skill picture", "request": {}, "n": 1e999}'
SIZE = {"engine": "sdxl", "width": 64, "height": 64}


@pytest.fixture
def box(clean_environment: Path) -> Sandbox:
    return Sandbox(clean_environment / "sandbox.sqlite3", seconds_per_job=0.02)


@pytest.fixture
def pictures(box: Sandbox, tmp_path: Path) -> tuple[Path, ...]:
    given = [{"prompt": "a fox", "quantity": 2, "seed": 7, **SIZE}]
    with Civitai(sandbox=box) as client:
        return run_batch(given, client=client, out=tmp_path / "out").paths


def test_the_note_tells_what_made_the_picture(pictures: tuple[Path, ...]) -> None:
    told = json.loads(pictures[1].with_suffix(".json").read_text())

    assert {name: told[name] for name in ("kind", "engine", "variant", "seed", "n", "row")} == {
        "kind": "civitai-skill picture",
        "engine": "sdxl",
        "variant": "base",
        "seed": 7,
        "n": 1,
        "row": 1,
    }
    assert told["request"] == {"prompt": "a fox", "quantity": 2, "seed": 7, **SIZE}


def test_again_makes_the_very_same_picture(
    pictures: tuple[Path, ...], box: Sandbox, tmp_path: Path
) -> None:
    request = vary_picture(pictures[1], {})
    with Civitai(sandbox=box) as client:
        made = client.generate(request, out=tmp_path / "more", notes=True)

    with Image.open(made.paths[0]) as again, Image.open(pictures[1]) as first:
        assert again.tobytes() == first.tobytes()
    assert read_request(made.paths[0]) == {"prompt": "a fox", "seed": 8, "variant": "base", **SIZE}


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        ({"seed": 9}, {"prompt": "a fox", "seed": 9, "variant": "base", **SIZE}),
        ({"prompt": "an owl"}, {"prompt": "an owl", "seed": 8, "variant": "base", **SIZE}),
        ({"quality": "high"}, {"prompt": "a fox", "seed": 8, "quality": "high", **SIZE}),
        (
            {"engine": "flux2", "aspect_ratio": "16:9"},
            {"prompt": "a fox", "seed": 8, "engine": "flux2", "aspect_ratio": "16:9"},
        ),
    ],
)
def test_what_is_said_otherwise_wins(
    pictures: tuple[Path, ...], said: dict[str, Any], fields: dict[str, Any]
) -> None:
    assert vary_picture(pictures[1], said) == ImageRequest(**fields)


@pytest.mark.parametrize("content", [None, "{", "{}", '{"kind": "other"}', _ENDLESS, "[" * 100_000])
def test_a_picture_without_a_note_of_ours_is_refused(tmp_path: Path, content: str | None) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"")
    if content is not None:
        picture.with_suffix(".json").write_text(content)
    with pytest.raises(RequestInvalid) as refused:
        read_request(picture)
    assert refused.value.field == "PICTURE"


def test_a_local_source_is_noted_by_its_full_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    request = ImageRequest(prompt="x", images=["a.png", "https://example.com/b.png"])
    assert sidecar_facts(request)["request"]["images"] == [
        str(tmp_path / "a.png"),
        "https://example.com/b.png",
    ]
    nets = ["canny=a.png", {"preprocessor": "tile", "image": "urn:air:other:x:y@1"}]
    guided = ImageRequest(prompt="x", engine="z-image", control_nets=nets)
    told = sidecar_facts(guided)["request"]["control_nets"]
    assert [net["image"] for net in told] == [str(tmp_path / "a.png"), "urn:air:other:x:y@1"]
    assert ImageRequest(prompt="x", control_nets=told).control_nets[1] == guided.control_nets[1]


def test_the_command_again_varies_a_picture(
    pictures: tuple[Path, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "more"
    words = ["again", str(pictures[0]), "--seed", "99", "--sandbox", "--quiet", "--out", str(out)]
    assert main(words) == 0

    told = json.loads(capsys.readouterr().out)
    assert (told["images"][0]["seed"], told["images"][0]["width"]) == (99, 64)
    assert Path(told["images"][0]["path"]).with_suffix(".json").exists()


class Again:
    """The command `again`, on one picture."""

    def __init__(self, picture: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._words = ["again", str(picture), "--prompt", "an owl", "--out", str(out)]
        self._capsys = capsys

    def __call__(self, *more: str) -> tuple[int, Any, str]:
        return self.said(*self._words, *more)

    def said(self, *words: str) -> tuple[int, Any, str]:
        code = main([*words, "--sandbox"])
        out, err = self._capsys.readouterr()
        return code, json.loads(out), err


@pytest.fixture
def again(pictures: tuple[Path, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Again:
    return Again(pictures[0], tmp_path / "more", capsys)


def test_a_note_that_can_not_be_written_is_told_and_made_good(
    again: Again, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(facts: Any) -> bytes:
        raise OSError(28, "No space left on device")

    before = box.accounts()[0]["workflows"]
    with monkeypatch.context() as patch:
        patch.setattr(save.sidecar, "encode_sidecar", no_room)
        code, told, err = again()
    assert (code, told["error"]["spent"]) == (7, "yes")
    assert "No space left on device" in err
    assert "Traceback" not in err

    code, told, _ = again()
    assert (code, told["resumed"]) == (0, True)
    assert read_request(Path(told["images"][0]["path"]))["prompt"] == "an owl"
    assert box.accounts()[0]["workflows"] == before + 1


def test_what_comes_of_a_failed_request_has_notes_too(again: Again) -> None:
    code, told, _ = again("--prompt", "an owl [sandbox:partial]", "--quantity", "3")
    made = [Path(image["path"]) for image in told["images"] if image["path"]]

    assert code == 5
    assert made
    assert all(path.with_suffix(".json").exists() for path in made)


def test_what_is_brought_home_later_has_notes_too(again: Again, tmp_path: Path) -> None:
    code, _, _ = again("--timeout", "0")
    assert code == 6
    code, told, _ = again.said("resume")

    assert code == 0
    assert read_request(Path(told["resumed"][0]["images"][0]["path"]))["prompt"] == "an owl"


def test_again_takes_up_what_is_open_unless_it_is_told_otherwise(
    again: Again, box: Sandbox
) -> None:
    before = box.accounts()[0]["workflows"]
    for more, bought in (((), 1), ((), 1), (("--again",), 2)):
        assert again("--timeout", "0", "--prompt", "[sandbox:stuck]", *more)[0] == 6
        assert box.accounts()[0]["workflows"] == before + bought
