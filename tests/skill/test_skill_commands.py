"""What the skills say is run: every command, every row of flags, every shown output."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from civitai_skill.adapters.cli import main
from civitai_skill.adapters.cli.parser import COMMANDS, build_parser
from tests.support.paths import ROOT

PAGES = [ROOT / "SKILL.md", *sorted(ROOT.glob("skills/**/*.md"))]
RUN = "python3 scripts/civitai.py "

#: What differs from run to run; everything else in a shown output must be as shown.
VOLATILE = {"id", "created", "path", "paths", "url", "seed", "balance", "prompting"}
STATE = re.compile(r"\b(ID|CURSOR|PICTURE)\b")
BATCH = ROOT / "skills" / "civitai-batch-images" / "SKILL.md"


@dataclass(frozen=True)
class Said:
    """A command or a row of flags, and where it is said; `shown` is the output below it."""

    page: Path
    text: str
    shown: Any = None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix()}: {self.text[:60]}"


def commands() -> Iterator[Said]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(r"^```sh\n(.*?)^```\n(\n```json\n(.*?)^```)?", text, re.M | re.S):
            *before, last = match[1].splitlines()
            for line in before:
                yield Said(page, line)
            yield Said(page, last, json.loads(match[3]) if match[3] else None)
        for line in re.findall(rf"`({RUN}[^`]+)`", text):
            yield Said(page, line)


def sums() -> Any:
    """The sum of a batch, which stands apart from its command."""
    blocks = re.findall(r"^```json\n(.*?)^```$", BATCH.read_text(encoding="utf-8"), re.M | re.S)
    return json.loads(blocks[-1])


def flags() -> Iterator[Said]:
    """The flags in the cells of tables, where they stand without their command."""
    for page in PAGES:
        for row in re.findall(r"^\|.*\|$", page.read_text(encoding="utf-8"), re.MULTILINE):
            for words in re.findall(r"`(--[^`]+)`", row):
                if page.parent.name != "civitai-track-images":
                    yield Said(page, words)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with three photos and a list, and the sandbox for a service."""
    monkeypatch.setenv("CIVITAI_SANDBOX", "1")
    place = tmp_path / "user"
    place.mkdir()
    for n, name in enumerate(("photo.jpg", "other.jpg", "third.jpg")):
        picture = Image.effect_mandelbrot((640, 480), (-2, -1.5, 1, 1.5), 20 + n)
        picture.convert("RGB").save(place / name)
    Image.new("RGBA", (640, 480), (0, 0, 0, 0)).save(place / "mask.png")
    (rows,) = re.findall(r"^```csv\n(.*?)^```$", BATCH.read_text(encoding="utf-8"), re.M | re.S)
    (place / "rows.csv").write_text(rows, encoding="utf-8")
    (place / "prompts.txt").write_text("# mugs\na blue enamel mug\n", encoding="utf-8")
    monkeypatch.chdir(place)
    return place


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    code = main([*words, "--json"])
    out, err = capsys.readouterr()
    # What the sandbox was told to let fail fails again.
    assert code == (5 if "--retry-failed" in words and words[0] == "resume" else 0), err
    return json.loads(out)


@pytest.mark.parametrize("said", list(commands()), ids=str)
def test_a_command_runs_and_prints_what_is_shown(
    said: Said, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = said.text.removeprefix(RUN)
    assert line != said.text, "commands go through the shim"
    line = re.sub(r"\bNAME\b", "grok", line)
    if STATE.search(line) or line.startswith("query"):
        line = STATE.sub(lambda match: prepared(match[1], line, capsys), line)
    if line.startswith("query") and said.shown:
        first = next(c for c in commands() if c.page.parent.name == "civitai-generate-image")
        answer(capsys, *shlex.split(first.text.removeprefix(RUN)))
    told = answer(capsys, *shlex.split(line))
    if isinstance(told, dict):
        told.pop("sandbox", None)  # what is shown is the real service
    if said.shown is not None:
        assert differences(said.shown, told) == []
    for image in told.get("images", []) if line.startswith("generate") else []:
        with Image.open(here / image["path"]) as picture:
            assert picture.size == (image["width"], image["height"])


def prepared(what: str, line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a placeholder stands for, made ready: a job in the state that the command is for."""
    if what == "CURSOR":
        for n in range(6):
            answer(capsys, "generate", f"picture {n}", "--no-wait")
        return str(answer(capsys, "query", "--take", "5")["next"])
    if what == "PICTURE":
        answer(capsys, "batch", "rows.csv", "--out", "catalogue")
        return str(next(Path("catalogue").glob("*.jpeg")))
    if line.startswith("release"):
        words = ("generate", "a beach [sandbox:mature]", "--timeout", "30")
        assert main([*words, "--json", "--out", "held"]) == 5
        return str(json.loads(capsys.readouterr().out)["id"])
    if line.startswith("resume"):
        assert main(["generate", "a fox [sandbox:failed]", "--json"]) == 5
        return str(json.loads(capsys.readouterr().out)["id"])
    marker = " [sandbox:slow=60]" if line.startswith("cancel") else ""
    return str(answer(capsys, "generate", f"a fox{marker}", "--no-wait")["id"])


@pytest.mark.parametrize("said", list(flags()), ids=str)
def test_a_row_of_flags_is_accepted(
    said: Said, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(said.text.replace("FILE", "photo.jpg"))
    if main(["estimate", "a test", *words, "--json"]) == 0:
        return
    refused = capsys.readouterr().err
    assert said.page.parent.name == "civitai-choose-engine", refused
    answer(capsys, "choose", *words)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_flag_that_is_named_exists(page: Path) -> None:
    known = {
        o
        for made in build_parser(COMMANDS)[1].values()
        for a in made._actions
        for o in a.option_strings
    }
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text(encoding="utf-8")))
    assert told - known == set()


def differences(shown: Any, told: Any, where: str = "") -> list[str]:
    """Where an output differs from the one shown; a list may go on after what is shown of it."""
    if where.rpartition(".")[2] in VOLATILE:
        return [] if type(shown) is type(told) else [f"{where}: another kind of value"]
    if isinstance(shown, dict) and isinstance(told, dict):
        if shown.keys() != told.keys():
            return [f"{where}: {sorted(shown.keys() ^ told.keys())} on one side only"]
        return [d for key in shown for d in differences(shown[key], told[key], f"{where}.{key}")]
    if isinstance(shown, list) and isinstance(told, list):
        if len(told) < len(shown):
            return [f"{where}: shorter than shown"]
        pairs = zip(shown, told, strict=False)
        return [d for a, b in pairs for d in differences(a, b, where)]
    return [] if shown == told else [f"{where}: shown {shown!r}, is {told!r}"]


def test_a_batch_sums_up_as_shown(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = answer(capsys, "batch", "rows.csv", "--out", "catalogue", "--csv")
    assert {name: told[name] for name in sums()} == sums()
    assert len((here / "catalogue" / "results.jsonl").read_text().splitlines()) == 3
    assert {p.suffix for p in (here / "catalogue").iterdir()} == {
        ".jpeg",
        ".json",
        ".jsonl",
        ".csv",
    }
    # Run again, it has nothing to buy.
    assert answer(capsys, "batch", "rows.csv", "--out", "catalogue")["new"] == 0


def test_a_shown_output_that_lies_is_noticed() -> None:
    told = {"id": "b", "cost": {"total": 3}, "images": [{"seed": 2}, {"seed": 3}]}
    assert differences({"id": "a", "cost": {"total": 3}, "images": [{"seed": 1}]}, told) == []
    assert differences({"id": "a", "cost": {"total": 4}, "images": []}, told) == [
        ".cost.total: shown 4, is 3"
    ]
    assert differences({"id": 1, "cost": {}, "images": []}, told) == [
        ".id: another kind of value",
        ".cost: ['total'] on one side only",
    ]
