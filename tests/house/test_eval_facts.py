"""The tasks that are judged by facts: a good way passes, doing nothing fails."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from civitai_skill.adapters.cli import main
from tests.support.paths import ROOT
from tests.support.scripts import load

CHECK = load("evals/check.py")
SET_UP = load("evals/set_up.py")
TASKS = {name: task for name, task in CHECK.tasks().items() if "facts" in task["expect"]}
LORA = "urn:air:sdxl:lora:civitai:12345@67890=0.7"

#: A good way for each: commands, of which the last one's answer is the agent's.
WAYS: dict[str, tuple[str, ...]] = {
    "lock-screen": ('generate "calm mountains" --aspect-ratio 9:19.5',),
    "desktop": ('generate "a misty wood" --aspect-ratio 16:9',),
    "allowance": ('generate "a harbour at dawn" --max-buzz 80',),
    "too-dear": ('estimate "a coral reef" --engine seedream --quality high --offline',),
    "pick-one": ('generate "a paper boat" --quantity 4',),
    "three-hands": ('compare "a tea pot" --engines flux2,z-image,sdxl --out all',),
    "snail": tuple(f'generate "a snail, part {n}" --max-buzz 5' for n in range(4)),
    "since-morning": ("spend --today",),
    "halt": ("query --running", "cancel --all-running"),
    "post-mortem": ("history --today",),
    "bring-home": ("resume --out saved",),
    "bee": ('generate "a bee" --format png',),
    "banner-pixels": ('generate "heather" --exact 1280x768',),
    "empty-street": ('generate "an empty street at midnight"',),
    "knight": (f'generate "a knight on a cliff" --engine sdxl --lora {LORA}',),
    "dusk": ('generate "make it dusk" --image photo.jpg',),
    "watercolour": ('generate "a watercolour" --image photo.jpg --strength strong --engine sdxl',),
    "same-but-good": ("again PICTURE --quality high --out good",),
    "every-line": ("batch list.txt --out all",),
    "cross": ('sweep --prompt "a {a} in {b}" --set a=fox,owl --set b=ink,pastel --out all',),
    "fifty": ('estimate "a mug" --count 50 --offline',),
    "thrift": ("choose cheapest",),
    "account": ("spend --since 7d",),
    "leash": ("budget set 100 --per day",),
    "another": ('generate "a bee on clover" --seed 77 --again',),
    "open-sign": ('generate "a board that reads 开门" --engine qwen',),
    "sticker": ('generate "a cat sticker" --remove-background --format png',),
    "cinema": ('generate "a desert road" --aspect-ratio 2.35:1',),
}


def do(task: dict[str, Any], ways: tuple[str, ...], folder: Path, capsys: Any) -> Path:
    """Do a task like an agent, and write its RESULT.json."""

    def run(line: str) -> tuple[int, Any]:
        code = main([*shlex.split(line), "--json"])
        return code, json.loads(capsys.readouterr().out)

    SET_UP.make_files(task, folder)
    told: Any = {}
    for line in task.get("setup", []):
        killed, _, own = line.rpartition("civitai-skill ")
        # The purchase stays as open as a kill leaves it, without the seconds until then.
        own = own.replace("slow=15", "slow=1") + " --timeout 0" * bool(killed)
        code, told = run(own)
        assert code == (6 if killed else 0)
    drafts = sorted(folder.glob("draft/*.jpeg"))
    calls, result = [], {}
    for way in ways:
        line = way.replace("ID", str(told.get("id")))
        line = line.replace("PICTURE", str(drafts[0]) if drafts else "")
        code, result = run(line)
        calls.append({"command": f"civitai-skill {line}", "exit_code": code})
    done = {"task": task["id"], "calls": calls, "result": result, "answer": json.dumps(result)}
    (folder / "RESULT.json").write_text(json.dumps(done))
    return folder / "RESULT.json"


def verdict(path: Path, capsys: Any) -> Any:
    capsys.readouterr()
    CHECK.main([str(path), "--json"])
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", TASKS)
def test_a_good_way_passes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("CIVITAI_SANDBOX", "1")
    monkeypatch.setenv("CIVITAI_SKILL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert verdict(do(TASKS[name], WAYS[name], tmp_path, capsys), capsys)["wrong"] == []


def test_doing_nothing_fails_every_task(tmp_path: Path, capsys: Any) -> None:
    assert set(WAYS) == set(TASKS)
    for name in TASKS:
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"task": name, "calls": [], "result": {}, "answer": ""}))
        assert verdict(path, capsys)["passed"] is False, name


def test_no_request_is_worded_as_in_the_skills() -> None:
    pages = [ROOT / "SKILL.md", *ROOT.glob("skills/*/SKILL.md")]
    told = " ".join(re.sub(r"\W+", " ", p.read_text(encoding="utf-8").lower()) for p in pages)
    for task in TASKS.values():
        words = re.sub(r"urn:\S+", "", task["request"].lower())
        run = re.findall(r"\w+", words)
        for n in range(len(run) - 3):
            assert " ".join(run[n : n + 4]) not in told, task["id"]
