"""How the servers start where something is missing: without their packages, a key, a folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Runs the command line as if some packages were not installed.
_WITHOUT = """
import runpy, sys

missing = sys.argv[1].split(",")

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
sys.argv[:2] = ["civitai-skill"]
runpy.run_module("civitai_skill", run_name="__main__", alter_sys=True)
"""


def run(
    folder: Path, *words: str, without: str = "", say: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    home = {"CIVITAI_SKILL_HOME": str(folder / "home"), "HOME": str(folder / "user")}
    return subprocess.run(
        [sys.executable, "-c", _WITHOUT, without, *words],
        env={**os.environ, **home, **environment},
        cwd=folder, capture_output=True, text=True, timeout=60, check=False, input=say,
    )  # fmt: skip


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn", "starlette", "prometheus_client"])
def test_rest_without_its_extra_says_what_to_install(tmp_path: Path, missing: str) -> None:
    done = run(tmp_path, "rest", "--sandbox", without=missing)
    assert done.returncode == 3
    assert "pip install '.[rest]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("missing", ["mcp", "uvicorn"])
def test_mcp_without_its_extra_says_what_to_install(tmp_path: Path, missing: str) -> None:
    done = run(tmp_path, "mcp", "--sandbox", without=missing)
    assert (done.returncode, done.stdout) == (3, "")
    assert "pip install '.[mcp]'" in done.stderr


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (["mcp", "--stdio"], {"CIVITAI_API_KEY": "two words"}),
        (["mcp"], {"CIVITAI_BASE_URL": "no address"}),
        (["mcp", "--json", "--sandbox", "--port", "9"], {}),
        (["mcp", "--json", "--no-such-flag"], {}),
        (["--json", "mcp", "--max-buzz", "x"], {}),
    ],
    ids=["key", "address", "http only", "flag", "number"],
)
def test_a_start_that_fails_writes_nothing_on_the_protocols_stream(
    tmp_path: Path, words: list[str], environment: dict[str, str]
) -> None:
    done = run(tmp_path, *words, **environment)
    assert done.stdout == ""
    assert done.returncode in (2, 3)
    assert done.stderr.startswith("civitai-skill: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["mcp", "rest"])
@pytest.mark.parametrize(
    "environment",
    [{"HTTPS_PROXY": "://x"}, {"SSL_CERT_FILE": "/nowhere/certs.pem"}, {"ALL_PROXY": "socks4://x"}],
    ids=lambda one: next(iter(one)),
)
def test_a_variable_that_is_wrong_is_named(
    tmp_path: Path, name: str, environment: dict[str, str]
) -> None:
    key = {"CIVITAI_API_KEY": "a-key-of-some-length"}
    done = run(tmp_path, name, **key, **environment)
    assert done.returncode == 3, done.stderr
    assert next(iter(environment)) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_picture_is_made_where_nothing_can_be_written(tmp_path: Path) -> None:
    hello = {
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {},
                   "clientInfo": {"name": "test", "version": "1"}},
    }  # fmt: skip
    call = {
        "jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": {"name": "civitai-generate-image", "arguments": {"prompt": "a fox"}},
    }  # fmt: skip
    home = {"CIVITAI_SKILL_HOME": str(tmp_path / "home"), "HOME": str(tmp_path / "user")}
    with subprocess.Popen(
        [sys.executable, "-m", "civitai_skill", "mcp", "--sandbox"],
        env={**os.environ, **home}, cwd="/proc", text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        for message in (hello, call):
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
        answers = [json.loads(process.stdout.readline())]
        while answers[-1].get("id") != 2:
            answers.append(json.loads(process.stdout.readline()))
        process.stdin.close()
        told = process.stderr.read()
    folder = tmp_path / "user" / "Pictures" / "civitai-skill"
    (image,) = answers[-1]["result"]["structuredContent"]["images"]
    assert Path(image["path"]).parent == folder
    assert Path(image["path"]).is_file()
    assert str(folder) in told
