"""The quickstart of the servers does what the README shows."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTION = README.partition("\n## Servers\n")[2].partition("\n## ")[0]
STARTS = re.findall(r"^```console\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
SHOWN = re.findall(r"^```json\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)


def fits(shown: Any, real: Any) -> bool:
    """Is everything that is shown there, in the same shape?"""
    if isinstance(shown, dict):
        return isinstance(real, dict) and all(fits(v, real.get(n)) for n, v in shown.items())
    if isinstance(shown, list):
        return isinstance(real, list) and len(real) == len(shown) and all(map(fits, shown, real))
    return type(shown) is type(real)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.slow
@pytest.mark.parametrize("n", [0, 1], ids=["rest", "mcp"])
def test_two_commands_give_the_answer_that_is_shown(n: int, tmp_path: Path) -> None:
    assert len(STARTS) == len(SHOWN) == 2
    start, use = STARTS[n].splitlines()
    program, *words = shlex.split(start.removesuffix("&"))
    assert program == "civitai-skill"
    (usual,) = re.findall(r"127\.0\.0\.1:(\d+)", use)
    port = free_port()
    environment = {**os.environ, "CIVITAI_SKILL_HOME": str(tmp_path)}
    server = subprocess.Popen(
        [sys.executable, "-m", "civitai_skill", *words, "--port", port],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        asked = shlex.split(use.replace(usual, port))
        done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True)
    finally:
        server.terminate()
        server.wait(30)
    shown, real = json.loads(SHOWN[n]), json.loads(done.stdout)
    assert fits(shown, real), real
    told = real.get("result", {}).get("structuredContent", real)
    assert told["status"] == "succeeded"
