"""install-skill copies, tells and respects; uninstall-skill takes back; the shim finds the way."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from civitai_skill.adapters.cli import main
from civitai_skill.adapters.cli.skill import AGENTS
from civitai_skill.errors import ConfigError, RequestInvalid
from civitai_skill.skill import bundle as bundle_module
from civitai_skill.skill.bundle import find_bundle
from civitai_skill.skill.install import BUNDLE, MANIFEST, PLACES, install, skills_folder, uninstall
from tests.support.paths import ROOT

NAMES = sorted(path.name for path in (ROOT / "skills").iterdir())
CHANGED = "civitai-edit-image/SKILL.md"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST and "__pycache__" not in path.parts
    }


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "agent" / "skills"


# -- where -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("agent", "user", "project"),
    [
        (None, ".agents/skills", ".agents/skills"),
        ("claude", ".claude/skills", ".claude/skills"),
        ("codex", ".agents/skills", ".agents/skills"),
        ("cursor", ".cursor/skills", ".cursor/skills"),
        ("gemini", ".gemini/skills", ".gemini/skills"),
        ("openclaw", ".openclaw/skills", "skills"),
    ],
)
def test_each_agent_has_its_place(
    agent: str | None, user: str, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.chdir(tmp_path)
    assert skills_folder(agent, None, False) == tmp_path / "home" / user
    assert skills_folder(agent, None, True) == tmp_path / project


def test_claude_code_s_own_folder_is_where_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "work"))
    monkeypatch.chdir(tmp_path)
    assert skills_folder("claude", None, False) == tmp_path / "work" / "skills"
    assert skills_folder("claude", None, True) == tmp_path / ".claude" / "skills"
    assert main(["install-skill", "--agent", "claude", "--quiet"]) == 0
    assert contents(tmp_path / "work" / "skills") == contents(ROOT / "skills")


def test_the_command_line_knows_every_agent() -> None:
    assert set(AGENTS) == set(PLACES)


@pytest.mark.parametrize(("agent", "project"), [("claude", False), (None, True)])
def test_a_folder_and_an_agent_are_two_answers(agent: str | None, project: bool) -> None:
    with pytest.raises(RequestInvalid, match="dir: it can't be given together"):
        skills_folder(agent, "here", project)


# -- copy ------------------------------------------------------------------------------------------
def test_the_skills_are_copied_whole_and_told(target: Path) -> None:
    done = install(target)
    assert contents(target) == contents(ROOT / "skills")
    assert [one.skill for one in done] == NAMES
    assert {f"{one.skill}/{name}" for one in done for name in one.written} == set(contents(target))


def test_the_bundle_is_copied_as_one_folder(target: Path) -> None:
    install(target, whole=True)
    alone = ("SKILL.md", "scripts/civitai.py", "LICENSE")
    skills = {f"skills/{name}": data for name, data in contents(ROOT / "skills").items()}
    wanted = skills | {name: (ROOT / name).read_bytes() for name in alone}
    assert contents(target / BUNDLE) == wanted


def test_copying_again_changes_nothing(target: Path) -> None:
    install(target)
    before = contents(target)
    assert [one.written for one in install(target)] == [()] * len(NAMES)
    assert contents(target) == before


def test_an_older_copy_is_renewed(target: Path) -> None:
    install(target)
    note = json.loads((target / CHANGED).with_name(MANIFEST).read_text())
    old = b"an older text"
    (target / CHANGED).write_bytes(old)
    note["files"] |= {"SKILL.md": digest(old), "references/gone.md": digest(old)}
    (target / CHANGED).with_name(MANIFEST).write_text(json.dumps(note))
    (target / "civitai-edit-image" / "references" / "gone.md").write_bytes(old)

    (renewed,) = (one for one in install(target) if one.written)
    assert (renewed.written, renewed.removed) == (("SKILL.md",), ("references/gone.md",))
    assert contents(target) == contents(ROOT / "skills")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("installed", [True, False], ids=["after a copy", "before any copy"])
def test_a_changed_file_stops_everything_until_it_is_forced(target: Path, installed: bool) -> None:
    if installed:
        install(target)
    (target / CHANGED).parent.mkdir(parents=True, exist_ok=True)
    (target / CHANGED).write_text("mine")
    before = contents(target)
    with pytest.raises(RequestInvalid, match=CHANGED):
        install(target)
    assert contents(target) == before
    install(target, force=True)
    assert contents(target) == contents(ROOT / "skills")


def test_a_link_is_never_written_through(target: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    target.mkdir(parents=True)
    (target / "civitai-edit-image").symlink_to(elsewhere)
    for force in (False, True):
        with pytest.raises(RequestInvalid, match="civitai-edit-image"):
            install(target, force=force)
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", ["SKILL.md", "scripts", MANIFEST])
def test_a_link_within_a_skill_is_never_written_through(
    name: str, target: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (target / "civitai-edit-image").mkdir(parents=True)
    (target / "civitai-edit-image" / name).symlink_to(victim)
    with pytest.raises(RequestInvalid, match="links"):
        install(target, force=True)
    assert victim.read_text() == "precious"


def test_a_place_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RequestInvalid, match=r"Not a directory|File exists"):
        install(tmp_path / "file" / "skills")


def test_no_folder_is_not_the_current_one() -> None:
    for nothing in ("", " "):
        with pytest.raises(RequestInvalid, match="names no folder"):
            skills_folder(None, nothing, False)


def test_the_skills_are_not_copied_onto_themselves(tmp_path: Path) -> None:
    own = tmp_path / "link"
    own.symlink_to(ROOT)
    for target, whole in ((ROOT / "skills", False), (own / "skills", True)):
        with pytest.raises(RequestInvalid, match="copied from"):
            install(target, whole=whole, force=True)
    assert not list(ROOT.glob(f"skills/*/{MANIFEST}"))


# -- take back -------------------------------------------------------------------------------------
def test_what_was_copied_is_taken_back(target: Path) -> None:
    target.mkdir(parents=True)
    (target / "another").mkdir()
    (target / "another" / "SKILL.md").write_text("someone else's")
    install(target)
    (target / "civitai-edit-image" / "scripts" / "__pycache__").mkdir()
    uninstall(target)
    assert sorted(p.relative_to(target).as_posix() for p in target.rglob("*")) == [
        "another",
        "another/SKILL.md",
    ]
    assert uninstall(target) == []


def test_a_changed_file_and_a_foreign_one_stay(target: Path) -> None:
    install(target)
    (target / CHANGED).write_text("mine")
    (target / "civitai-edit-image" / "notes.md").write_text("mine, too")
    kept = {one.skill: one.kept for one in uninstall(target) if one.kept}
    assert kept == {"civitai-edit-image": ("SKILL.md",)}
    assert contents(target) == {CHANGED: b"mine", "civitai-edit-image/notes.md": b"mine, too"}


def test_what_was_kept_goes_when_it_is_forced_later(target: Path) -> None:
    install(target)
    (target / "civitai-edit-image" / "SKILL.md").write_text("mine")
    uninstall(target)
    assert uninstall(target)[0].kept == ("SKILL.md",)
    assert uninstall(target, force=True)[0].removed == ("SKILL.md",)
    assert not (target / "civitai-edit-image").exists()


def test_a_changed_file_goes_when_it_is_forced(target: Path) -> None:
    install(target)
    (target / CHANGED).write_text("mine")
    uninstall(target, force=True)
    assert contents(target) == {}


def test_what_was_there_before_is_not_taken_back(target: Path) -> None:
    shutil.copytree(ROOT / "skills" / "civitai-edit-image", target / "civitai-edit-image")
    before = contents(target)
    for _ in range(2):
        install(target)
    uninstall(target, force=True)
    assert contents(target) == before


def test_a_link_is_left_alone_and_told(target: Path, tmp_path: Path) -> None:
    install(target)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (target / CHANGED).unlink()
    (target / CHANGED).symlink_to(victim)
    elsewhere = tmp_path / "elsewhere"
    (target / "civitai-track-images").rename(elsewhere)
    (target / "civitai-track-images").symlink_to(elsewhere)
    there = contents(elsewhere)
    links = {one.skill: one.links for one in uninstall(target, force=True) if one.links}
    assert links == {
        "civitai-edit-image": ("SKILL.md",),
        "civitai-track-images": ("civitai-track-images",),
    }
    assert victim.read_text() == "precious"
    assert contents(elsewhere) == there


def test_a_note_that_lies_removes_nothing_outside(target: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    folder = target / "civitai-bad"
    folder.mkdir(parents=True)
    note = {"files": {"../../../victim.txt": digest(b"precious"), "gone.md": "x"}}
    (folder / MANIFEST).write_text(json.dumps(note))
    for force in (False, True):
        (folder / MANIFEST).parent.mkdir(exist_ok=True)
        (folder / MANIFEST).write_text(json.dumps(note))
        uninstall(target, force=force)
    assert victim.read_text() == "precious"


# -- the commands ----------------------------------------------------------------------------------
def test_the_commands_say_what_they_did(target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install-skill", "--dir", str(target), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["folder"] == str(target)
    assert [one["skill"] for one in told["skills"]] == NAMES
    (target / CHANGED).write_text("mine")
    assert main(["install-skill", "--dir", str(target), "--json"]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["install-skill", "--dir", str(target), "--force", "--json"]) == 0
    assert main(["uninstall-skill", "--dir", str(target), "--json"]) == 0
    assert contents(target) == {}


# -- the bundle -----------------------------------------------------------------------------------
def test_a_package_without_its_bundle_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert contents(find_bundle() / "skills") == contents(ROOT / "skills")
    monkeypatch.setattr(bundle_module, "_PACKAGE", tmp_path / "civitai_skill")
    with pytest.raises(ConfigError):
        find_bundle()
    packed = tmp_path / "civitai_skill" / "_bundle"
    (packed / "skills").mkdir(parents=True)
    (packed / "SKILL.md").write_text("")
    assert find_bundle() == packed
