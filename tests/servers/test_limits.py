"""What both servers withstand: connections beyond the files they may open, bodies of tiny parts."""

from __future__ import annotations

import os
import re
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

SERVERS = {"rest": ["rest"], "mcp": ["mcp", "--http"]}
HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


@contextmanager
def served(name: str, folder: Path, files: int = 4096) -> Iterator[tuple[str, int]]:
    """A server that may open so many files: its address, and its process id. It must end well."""
    words = [sys.executable, "-m", "civitai_skill", *SERVERS[name], "--sandbox", "--port", "0"]
    limit = ["bash", "-c", f'ulimit -n {files}; exec "$@"', "limited"]
    home = {"CIVITAI_SKILL_HOME": str(folder / "home")}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*limit, *words], env={**os.environ, **home}, cwd=folder, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
        )  # fmt: skip
    with process:
        try:
            assert process.stdout is not None
            found = re.search(r"ready on (\S+)", process.stdout.readline())
            assert found is not None, (folder / "log").read_text()
            yield found[1], process.pid
        finally:
            process.terminate()
            assert process.wait(30) == 0


def call(name: str, url: str) -> float:
    """Seconds until a small call is answered."""
    began = time.monotonic()
    if name == "rest":
        answer = httpx.get(f"{url}/health/live", timeout=60)
        assert answer.status_code == 200
    else:
        answer = httpx.post(url, json=PING, headers=HEADERS, timeout=60)
        assert answer.status_code < 500
    return time.monotonic() - began


@pytest.mark.parametrize("name", SERVERS)
def test_idle_connections_beyond_the_limit_of_files_stop_nobody(name: str, tmp_path: Path) -> None:
    with served(name, tmp_path, files=256) as (url, _), ExitStack() as stack:
        place = urlsplit(url)
        answering = stack.enter_context(httpx.Client(base_url=url, headers=HEADERS, timeout=30))
        for _ in range(300):
            made = socket.create_connection((place.hostname, place.port), timeout=30)
            stack.enter_context(made)
        assert call(name, url) < 5
        if name == "rest":
            body = {"prompt": "a red fox"}
            bought = answering.post("/v2/consumer/workflows/image", json=body)
            assert bought.is_success, bought.text
    lines = (tmp_path / "log").read_text().splitlines()
    assert [re.sub(r"\d+", "N", line) for line in lines] == [
        "WARNING:  There are more than N connections; idle ones are closed, the oldest first."
    ]


def test_who_is_being_answered_is_not_closed_for_others(tmp_path: Path) -> None:
    slow = {"prompt": "a red fox [sandbox:slow=4]"}
    got: list[httpx.Response] = []
    with served("rest", tmp_path, files=256) as (url, _), ExitStack() as stack:

        def buy() -> None:
            image = f"{url}/v2/consumer/workflows/image?wait=30"
            got.append(httpx.post(image, json=slow, timeout=60))

        waiting = threading.Thread(target=buy)
        waiting.start()
        time.sleep(1)
        place = urlsplit(url)
        for _ in range(300):
            made = socket.create_connection((place.hostname, place.port), timeout=30)
            stack.enter_context(made)
        waiting.join()
    assert [(answer.status_code, answer.json()["status"]) for answer in got] == [(200, "succeeded")]


def memory(process: int) -> int:
    """The most MiB that a process has held."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+)", status)
    assert found is not None
    return int(found[1]) // 1024


@pytest.mark.slow
@pytest.mark.parametrize("name", SERVERS)
def test_bodies_of_a_million_tiny_parts_take_neither_memory_nor_time(
    name: str, tmp_path: Path
) -> None:
    part = b'{"a":1},'
    many = b"[" + part * (13 * 2**20 // len(part)) + b"{}]"
    with served(name, tmp_path) as (url, process):
        if name == "rest":
            image, body = f"{url}/v2/consumer/workflows/image", b'{"loras":' + many + b"}"
        else:
            arguments = b'{"name":"civitai-generate-image","arguments":{"loras":' + many + b"}}"
            head = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":'
            image, body = url, head + arguments + b"}"
        refused: list[Any] = []

        def post() -> None:
            answer = httpx.post(image, content=body, headers=HEADERS, timeout=120)
            refused.append((answer.status_code, answer.json()["code"]))

        threads = [threading.Thread(target=post) for _ in range(12)]
        for thread in threads:
            thread.start()
        longest = 0.0
        while any(thread.is_alive() for thread in threads):
            longest = max(longest, call(name, url))
        assert refused == [(413, "body_too_complex")] * 12
        assert memory(process) < 600
        assert longest < 3, "a second on an idle machine"


def test_a_server_may_open_as_many_files_as_the_system_lets_it(tmp_path: Path) -> None:
    from civitai_skill.servers.serve import _most_connections

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
        assert _most_connections() == min(hard, 65536) // 3
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
