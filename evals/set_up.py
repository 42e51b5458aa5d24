"""Make the files of a task of tasks.json and run its set-up, here: python evals/set_up.py TASK"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

TASKS = Path(__file__).resolve().parent / "tasks.json"


def make_files(task: Mapping[str, Any], folder: Path) -> None:
    """Make what the task's request names: a picture of these pixels, or a list of these lines."""
    for name, holds in task.get("files", {}).items():
        if isinstance(holds, list):
            (folder / name).write_text("".join(f"{line}\n" for line in holds), encoding="utf-8")
        else:
            width, height = map(int, holds.split("x"))
            drawn = Image.effect_mandelbrot((width, height), (-2, -1.5, 1, 1.5), 30)
            drawn.convert("RGB").save(folder / name)


def main() -> int:
    """Set a task up in the current folder; its commands want civitai-skill on the PATH."""
    found = json.loads(TASKS.read_text(encoding="utf-8"))["tasks"]
    task = next((task for task in found if [task["id"]] == sys.argv[1:]), None)
    if task is None:
        print(f"{sys.argv[0]} TASK, one of " + ", ".join(t["id"] for t in found), file=sys.stderr)
        return 2
    make_files(task, Path())
    for line in task.get("setup", []):
        # One that is killed on its way ends otherwise than well.
        subprocess.run(line, shell=True, check=False, stdin=subprocess.DEVNULL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
