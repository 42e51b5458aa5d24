"""Pictures land under their names, over nothing of somebody else's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from civitai_skill.images import save
from civitai_skill.images.decode import FetchedPicture
from civitai_skill.images.save import save_picture, save_with_sidecar


def fetched(data: bytes) -> FetchedPicture:
    return FetchedPicture(data, ".png", (1, 1))


def test_a_picture_never_lands_on_a_file_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"mine")
    (tmp_path / "a-2.json").write_text("{}")
    path = save_with_sidecar(tmp_path, ("a",), {"key": "k"}, 0, fetched(b"new"))

    assert path == tmp_path / "a-3.png"
    assert (tmp_path / "a.png").read_bytes() == b"mine"
    assert (tmp_path / "a-2.json").read_text() == "{}"


def test_a_picture_that_an_earlier_run_saved_is_taken_as_it_is(tmp_path: Path) -> None:
    first = save_with_sidecar(tmp_path, ("a",), {"key": "k"}, 0, fetched(b"same"))
    (tmp_path / "a.json").unlink()
    second = save_with_sidecar(tmp_path, ("a",), {"key": "k"}, 0, fetched(b"same"))

    assert first == second
    assert {p.name for p in tmp_path.iterdir()} == {"a.png", "a.json"}


def test_a_disk_without_links_gets_its_pictures_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*paths: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(save.os, "link", refuse)
    (tmp_path / "a.png").write_bytes(b"mine")
    path = save_with_sidecar(tmp_path, ("a",), {"key": "k"}, 0, fetched(b"new"))

    assert (path.name, path.read_bytes()) == ("a-2.png", b"new")
    assert {p.name for p in tmp_path.iterdir()} == {"a.png", "a-2.png", "a-2.json"}


def test_a_folder_with_a_picture_s_name_is_a_name_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    assert (
        save_with_sidecar(tmp_path, ("a",), {"key": "k"}, 0, fetched(b"x")) == tmp_path / "a-2.png"
    )


def test_a_picture_of_a_workflow_never_lands_on_a_file_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "holiday-0.png").write_bytes(b"mine")
    (tmp_path / "holiday-0-2.png").symlink_to(tmp_path / "nowhere")
    path = save_picture(fetched(b"new"), tmp_path, "holiday-0")

    assert path == tmp_path / "holiday-0-3.png"
    assert (tmp_path / "holiday-0.png").read_bytes() == b"mine"
    assert save_picture(fetched(b"new"), tmp_path, "holiday-0") == path
    assert not (tmp_path / "nowhere").exists()


def test_a_sidecar_that_appears_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(save.sidecar, "is_of", lambda *given: True)
    (tmp_path / "a.json").write_text("mine")
    save_with_sidecar(tmp_path, ("a",), {"key": "k"}, 0, fetched(b"new"))

    assert (tmp_path / "a.json").read_text() == "mine"
