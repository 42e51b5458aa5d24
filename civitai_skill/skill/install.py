"""Copy the skills to where an agent looks for them, and take them back.

Each installed folder holds a note of what was written into it, with a digest of every file. A file
that no longer has its digest was changed by somebody and is left alone, and so are a link and what
was there before. The note also names the interpreter that has this package, for scripts/civitai.py.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from civitai_skill._version import __version__
from civitai_skill.config import find_program_folder, find_user_home
from civitai_skill.errors import Problem, RequestInvalid
from civitai_skill.skill.bundle import find_bundle

MANIFEST = ".civitai-skill.json"
BUNDLE = "civitai-skill"

#: Where each runtime looks: below the home folder, and below a project.
PLACES: Mapping[str, tuple[str, str]] = {
    "claude": (".claude/skills", ".claude/skills"),
    "codex": (".agents/skills", ".agents/skills"),
    "cursor": (".cursor/skills", ".cursor/skills"),
    "gemini": (".gemini/skills", ".gemini/skills"),
    "openclaw": (".openclaw/skills", "skills"),
}
#: The folder that most runtimes share; Claude Code does not read it.
SHARED = (".agents/skills", ".agents/skills")

_CACHES = re.compile(r"/archive-v\d+/|/\.?cache/")

_LEFT_OUT = frozenset({"__pycache__", MANIFEST})
#: What the whole bundle needs to stand alone in one folder.
_BUNDLE_PARTS = ("SKILL.md", "skills", "scripts/civitai.py", "LICENSE")


@dataclass(frozen=True)
class SkillChange:
    """What became of one skill's folder; the names are of files within it."""

    skill: str
    folder: Path
    written: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    links: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        lists = {name: list(v) for name, v in vars(self).items() if isinstance(v, tuple)}
        return {"skill": self.skill, "folder": str(self.folder), **lists}

    def __str__(self) -> str:
        counts = {"written": self.written, "unchanged": self.unchanged, "removed": self.removed}
        parts = [f"{len(names)} {what}" for what, names in counts.items() if names]
        named = {"kept because they were changed": self.kept,
                 "left alone, links or outside of it": self.links}  # fmt: skip
        parts += [f"{what}: {', '.join(names)}" for what, names in named.items() if names]
        return f"{self.folder}: {'; '.join(parts) or 'nothing to do'}"


def skills_folder(agent: str | None, folder: str | None, project: bool) -> Path:
    """The folder that holds the skills. Raises RequestInvalid for two answers at once."""
    if folder is not None:
        if not folder.strip():
            accepted = "a folder; the current one is ."
            raise RequestInvalid(Problem("dir", folder, accepted, None, "names no folder"))
        if agent is not None or project:
            other = "agent" if agent is not None else "project"
            why = f"it can't be given together with {other}"
            raise RequestInvalid(Problem("dir", folder, f"either dir or {other}", None, why))
        return Path(folder).absolute()
    if agent == "claude" and not project:
        return find_program_folder("CLAUDE_CONFIG_DIR", ".claude") / "skills"
    user, local = SHARED if agent is None else PLACES[agent]
    return Path.cwd() / local if project else find_user_home() / user


def install(target: Path, *, whole: bool = False, force: bool = False) -> list[SkillChange]:
    """Copy every skill into `target`, or the bundle as one folder. Nothing is written if any file
    there was changed by somebody. Raises RequestInvalid, ConfigError."""
    wanted = _list_skills(whole)
    folders = {name: target / name for name in wanted}
    for folder in folders.values():
        _check_not_own(folder)
    try:
        obstacles = [str(p) for n in wanted for p in _find_obstacles(folders[n], wanted[n])]
        if obstacles:
            why = f"links, or folders where files belong: {', '.join(dict.fromkeys(obstacles))}"
            raise RequestInvalid(Problem("dir", str(target), "move them away first", None, why))
        changed = [str(p) for n in wanted for p in _find_changed(folders[n], wanted[n])]
        if changed and not force:
            why = f"these are not as this program wrote them: {', '.join(changed)}"
            raise RequestInvalid(
                Problem("force", None, "overwriting them, if that is meant", None, why)
            )
        return [_copy(name, folders[name], files, force) for name, files in wanted.items()]
    except OSError as error:
        raise _unusable_error(target, error) from None


def uninstall(target: Path, *, force: bool = False) -> list[SkillChange]:
    """Remove what `install` wrote into `target`; a file that was changed stays without `force`, and
    a link always.

    Raises RequestInvalid.
    """
    try:
        noted = sorted(path.parent for path in target.glob(f"*/{MANIFEST}"))
        for folder in noted:
            _check_not_own(folder)
        return [_remove(folder, force) for folder in noted]
    except OSError as error:
        raise _unusable_error(target, error) from None


# -- what belongs where ----------------------------------------------------------------------------
def _list_skills(whole: bool) -> dict[str, dict[str, bytes]]:
    """The files of every folder to install, by name."""
    source = find_bundle()
    if not whole:
        skills = sorted(path.parent for path in source.glob("skills/*/SKILL.md"))
        return {skill.name: dict(_read_files(skill, skill)) for skill in skills}
    parts = [source / name for name in _BUNDLE_PARTS]
    return {BUNDLE: dict(found for part in parts for found in _read_files(part, source))}


def _read_files(part: Path, root: Path) -> Iterator[tuple[str, bytes]]:
    found = [part] if part.is_file() else sorted(p for p in part.rglob("*") if p.is_file())
    for path in found:
        if not _LEFT_OUT & set(path.relative_to(root).parts):
            yield path.relative_to(root).as_posix(), path.read_bytes()


def _check_not_own(folder: Path) -> None:
    """Raises RequestInvalid for a folder that the skills are copied from."""
    source = find_bundle().resolve()
    if folder.resolve() == source or folder.resolve().parent == source / "skills":
        why = "this is where the skills are copied from"
        raise RequestInvalid(Problem("dir", str(folder.parent), "another folder", None, why))


def _find_obstacles(folder: Path, files: Mapping[str, bytes]) -> Iterator[Path]:
    """Where nothing can be written without harm to something else."""
    for path in (folder / name for name in (*files, MANIFEST)):
        for part in (path, *_folders_between(path, folder), folder):
            if part.is_symlink() or (part.exists() and part.is_file() != (part == path)):
                yield part


def _find_changed(folder: Path, files: Mapping[str, bytes]) -> Iterator[Path]:
    """The files there that this program did not write as they are now."""
    noted = _read_manifest(folder)
    for name, data in files.items():
        path = folder / name
        if path.is_file() and _digest(path.read_bytes()) not in (_digest(data), noted.get(name)):
            yield path


def _folders_between(path: Path, folder: Path) -> Iterator[Path]:
    for above in path.parents:
        if above == folder:
            return
        yield above


# -- one folder ------------------------------------------------------------------------------------
def _copy(name: str, folder: Path, files: Mapping[str, bytes], force: bool) -> SkillChange:
    noted = _read_manifest(folder)
    written, unchanged = [], []
    for file, data in files.items():
        path = folder / file
        if path.is_file() and path.read_bytes() == data:
            unchanged.append(file)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        written.append(file)
    old = {n: d for n, d in noted.items() if n not in files}
    gone, kept, links = _remove_files(folder, old, force)
    # What stood there before any copy, though it reads the same, is not ours to take back.
    ours = {n: _digest(data) for n, data in files.items() if n in written or n in noted}
    _write_manifest(folder, ours)
    parts = map(tuple, (written, unchanged, gone, kept, links))
    return SkillChange(name, folder, *parts)


def _remove(folder: Path, force: bool) -> SkillChange:
    if folder.is_symlink():
        return SkillChange(folder.name, folder, links=(folder.name,))
    gone, kept, links = map(tuple, _remove_files(folder, _read_manifest(folder), force))
    if not kept:  # else `force` finds what is left
        (folder / MANIFEST).unlink()
    _prune(folder)
    return SkillChange(folder.name, folder, removed=gone, kept=kept, links=links)


def _remove_files(
    folder: Path, noted: Mapping[str, str], force: bool
) -> tuple[list[str], list[str], list[str]]:
    gone, kept, links = [], [], []
    for name, digest in noted.items():
        path = folder / name
        inside = path.resolve().is_relative_to(folder.resolve())
        if path.is_symlink() or (path.exists() and not inside):
            links.append(name)
            continue
        if not path.is_file():
            continue
        if force or _digest(path.read_bytes()) == digest:
            path.unlink()
            gone.append(name)
        else:
            kept.append(name)
        for above in _folders_between(path, folder):
            _prune(above)
    return gone, kept, links


def _prune(folder: Path) -> None:
    """Remove a folder that holds nothing, or nothing but what Python left there."""
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


# -- the note --------------------------------------------------------------------------------------
def _read_manifest(folder: Path) -> dict[str, str]:
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return {str(name): str(digest) for name, digest in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write_manifest(folder: Path, files: Mapping[str, str]) -> None:
    # An interpreter in a cache (uvx, pipx run) may be gone tomorrow.
    kept = not _CACHES.search(Path(sys.prefix).as_posix())
    note = {"version": __version__, "python": sys.executable if kept else None,
            "files": dict(files)}  # fmt: skip
    (folder / MANIFEST).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _unusable_error(target: Path, error: OSError) -> RequestInvalid:
    why = f"{target} can't be written to: {error.strerror or 'not usable'}"
    return RequestInvalid(Problem("skills folder", None, "another folder", None, why))
