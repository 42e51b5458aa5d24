"""The skills as files: names, sizes, what they share and what they may not, what they point at."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest

from civitai_skill.engines import catalog
from civitai_skill.tools.registry import BY_NAME, DEFAULT, FINISH
from tests.support.paths import ROOT

TASKS = sorted(ROOT.glob("skills/*/SKILL.md"))
ROUTER = ROOT / "SKILL.md"
SKILLS = [ROUTER, *TASKS]
SHIMS = sorted(ROOT.glob("skills/*/scripts/civitai.py"))

#: Six keys; a validator that follows the specification refuses any other.
KEYS = {"name", "description", "license", "compatibility", "metadata", "allowed-tools"}
MOST_LINES = {ROUTER: 80}
MOST_TOKENS = {ROUTER: 1000}
SHARED_WORDS = 12


def named(path: Path) -> str:
    return "civitai-skill" if path == ROUTER else path.parent.name


def front(path: Path) -> dict[str, str]:
    """The lines between the fences; a nested one has its parent's name before it."""
    found: dict[str, str] = {}
    parent = ""
    for line in path.read_text(encoding="utf-8").split("---\n")[1].splitlines():
        key, _, value = line.strip().partition(": ")
        key = key.removesuffix(":")
        if line.startswith("  "):
            found[f"{parent}.{key}"] = value
        else:
            parent, found[key] = key, value
    return found


def body(path: Path) -> str:
    return path.read_text(encoding="utf-8").split("---\n", 2)[2]


def every_skill(function: object) -> object:
    return pytest.mark.parametrize("path", SKILLS, ids=named)(function)


def every_task(function: object) -> object:
    return pytest.mark.parametrize("path", TASKS, ids=named)(function)


# -- the head --------------------------------------------------------------------------------------
@every_skill
def test_a_skill_is_named_like_its_folder_and_says_when_it_is_wanted(path: Path) -> None:
    head = front(path)
    assert {key.partition(".")[0] for key in head} <= KEYS
    assert head["name"] == named(path)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", head["name"])
    assert 1 <= len(head["description"]) <= 1024
    assert "Use when" in head["description"]
    assert "Not for" in head["description"] or "not for" in head["description"]
    assert len(head["compatibility"]) <= 500
    # Strict readers know neither angle brackets here nor YAML's one-line lists and maps.
    assert not set("<>") & set(head["description"])
    assert [v for v in head.values() if v[:1] in ("{", "[") or ": " in v] == []


@every_task
def test_a_skill_discloses_tools_that_there_are(path: Path) -> None:
    tools = front(path)["metadata.include_tools"].split()
    assert tools
    assert set(tools) <= set(BY_NAME)


def test_every_default_tool_is_disclosed_by_some_skill() -> None:
    told = {t for path in TASKS for t in front(path)["metadata.include_tools"].split()}
    assert told == {*DEFAULT, FINISH}


# -- size ------------------------------------------------------------------------------------------
@every_skill
def test_a_skill_is_short(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = path.read_text(encoding="utf-8")
    lines, tokens = len(text.splitlines()), len(text) // 4
    with capsys.disabled():
        print(f"\n  {named(path):<24} {lines:>4} lines {tokens:>5} tokens", end="")
    assert lines <= MOST_LINES.get(path, 150)
    assert tokens < MOST_TOKENS.get(path, 2500)


def test_a_default_picture_needs_few_words_and_no_job_many() -> None:
    read = {path: len(path.read_text(encoding="utf-8").split()) for path in SKILLS}
    jobs = {named(path): read[ROUTER] + read[path] for path in TASKS}
    assert jobs["civitai-generate-image"] <= 900, "the default picture"
    # A job reads one page: each is complete, and a skill says which question it answers.
    jobs |= {
        f"{named(path)} {page.name}": jobs[named(path)] + len(page.read_text("utf-8").split())
        for path in TASKS
        for page in path.parent.glob("references/*")
    }
    assert len(jobs) > len(TASKS) + len(catalog.NAMES)
    assert {job: words for job, words in jobs.items() if words > 1500} == {}


WORDS = (
    "wallpaper", "phone", "larger", "cheaper", "better", "lora", "civitai link",
    "pasted parameters", "several versions", "side by side", "story in panels", "today", "running",
    "why did it fail", "from code", "transparent", "exact pixels", "svg",
)  # fmt: skip


@pytest.mark.parametrize("words", WORDS)
def test_the_commonest_words_lead_to_a_row(words: str) -> None:
    rows = [line.lower() for path in SKILLS for line in body(path).splitlines() if "|" in line]
    assert [row for row in rows if words in row.split("|")[1]]


def test_no_two_skills_share_twelve_words_in_a_row() -> None:
    runs = {path: set(windows(path.read_text(encoding="utf-8"))) for path in SKILLS}
    shared = {
        (named(one), named(other)): " ".join(min(runs[one] & runs[other]))
        for one, other in combinations(SKILLS, 2)
        if runs[one] & runs[other]
    }
    assert shared == {}


def windows(text: str) -> Iterator[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return (tuple(words[i : i + SHARED_WORDS]) for i in range(len(words) - SHARED_WORDS + 1))


# -- what it points at -----------------------------------------------------------------------------
@every_task
def test_a_skill_stands_alone_and_names_every_page_it_has(path: Path) -> None:
    text = body(path)
    assert "../" not in text
    there = {p.name for p in path.parent.glob("references/*")}
    told = set(re.findall(r"`references/([\w.-]+)`", text))
    if "NAME.md" in told:
        line = next(line for line in text.splitlines() if "NAME.md" in line)
        names = {name for name in catalog.NAMES if re.search(rf"[ ,]{name}[ ,:]", line)}
        told = told - {"NAME.md"} | {f"{name}.md" for name in names}
    assert told == there


def test_a_page_points_at_no_other_page() -> None:
    pages = sorted(ROOT.glob("skills/*/references/*"))
    assert len(pages) > len(catalog.NAMES)
    assert [p for p in pages if "references/" in p.read_text(encoding="utf-8")] == []


def test_the_router_leads_to_every_skill() -> None:
    told = re.findall(r"`(skills/[\w-]+/SKILL\.md)`", body(ROUTER))
    assert sorted(told) == [path.relative_to(ROOT).as_posix() for path in TASKS]


# -- the shim --------------------------------------------------------------------------------------
def test_every_skill_carries_the_same_shim() -> None:
    assert [shim.parts[-3] for shim in SHIMS] == [path.parent.name for path in TASKS]
    assert {shim.read_bytes() for shim in SHIMS} == {(ROOT / "scripts/civitai.py").read_bytes()}


def test_the_shim_needs_nothing_but_the_standard_library() -> None:
    tree = ast.parse(SHIMS[0].read_text(encoding="utf-8"))
    names = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
        )
    }
    outside = {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names)
    assert outside == {"civitai_skill"}
