"""Whatever the service answers: no traceback, and no id or key is lost."""

from __future__ import annotations

import copy
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from civitai_skill import Civitai, CivitaiError
from civitai_skill.api.service import Retry
from civitai_skill.errors import TransportFailed, WorkflowFailed, explain
from civitai_skill.sandbox import Sandbox, SandboxTransport
from tests.support.json_values import places
from tests.support.thorough import THOROUGH, cases

ANSWERS = cases(10_000)
SECONDS = 60.0
SIZE = {"engine": "sdxl", "width": 64, "height": 64}
RETRY = Retry(tries=2, first=0.0, cap=0.0, patience=0.0)
ID = "7-20260101120000000"

JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 1e308, 2**70, 10**400, float("nan"), "\ud83d half", "", "x" * 500,
    "\x00\x1b[31m", "none", [], {}, [[]],
    [None], {"": None}, "2026-13-45T99:99:99Z", "https://", "file:///etc/passwd", "//x", ["a", 1],
)  # fmt: skip
BYTES = (b"", b"\xff\xfe", b"<html>502</html>", b"null", b"[]", b'"id"', b"{", b"NaN",
         b"[" * 50_000, b'{"a":' * 5_000, b'{"id": "' + ID.encode() + b'"',
         b"\x89PNG\r\n\x1a\n")  # fmt: skip
HEADERS: tuple[dict[str, str], ...] = (
    {}, {}, {}, {"Retry-After": "soon"}, {"Retry-After": "-1"}, {"Content-Length": "5"},
    {"Content-Type": "image/png"}, {"Location": "::::"}, {"Location": "https://[x/"},
    {"Content-Encoding": "gzip"}, {"Location": "https://a..b/"}, {"Location": "//h\u00f6/"},
    {"Retry-After": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"},
    {"Content-Encoding": "br"}, {"Retry-After": "9" * 400},
)  # fmt: skip
STATUSES = (200, 200, 200, 200, 202, 204, 206, 301, 302, 308, 400, 401, 402, 403, 404, 409, 418,
            429, 500, 502, 503, 599)  # fmt: skip


def recorded(tmp_path: Path) -> list[Any]:
    """Answers as they are when all is well: a submit, a finished workflow, a page, a blob."""
    box = Sandbox(seconds_per_job=0.0)
    found = []

    class Noting(SandboxTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            response = super().handle_request(request)
            response.read()
            if "json" in response.headers.get("content-type", ""):
                found.append(json.loads(response.content))
            return response

    with Civitai(sandbox=box, home=tmp_path / "well", transport=Noting(box)) as client:
        made = client.generate("a fox", out=tmp_path / "well", quantity=2, **SIZE)
        client.estimate("a fox", **SIZE)
        list(client.query())
        client.get(made.id or "")
    return found


class Spoiler:
    """Makes malformed answers from good ones, the same ones each time."""

    def __init__(self, good: list[Any], seed: int) -> None:
        self.good = good
        self.draw = random.Random(seed)
        self.made = 0
        self.submitted = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.made += 1
        asks = request.url.params.get("whatif") == "true"
        self.submitted += request.method == "POST" and not asks
        draw = self.draw
        status, headers = draw.choice(STATUSES), draw.choice(HEADERS)
        if draw.random() < 0.25:
            return self.response(status, draw.choice(BYTES), headers)
        value = copy.deepcopy(draw.choice(self.good))
        for _ in range(draw.randint(1, 6)):
            holder, key = draw.choice([*places(value)] or [({}, "x")])
            if isinstance(holder, dict) and draw.random() < 0.4:
                holder.pop(key, None)
            elif isinstance(holder, dict) or key < len(holder):
                holder[key] = copy.deepcopy(draw.choice(JUNK))
        data = json.dumps(value).encode()
        if draw.random() < 0.1:
            data = data[: draw.randrange(len(data) + 1)]
        return self.response(status, data, headers)

    @staticmethod
    def response(status: int, data: bytes, headers: dict[str, str]) -> httpx.Response:
        return httpx.Response(status, stream=httpx.ByteStream(data), headers=headers)


def names(error: CivitaiError, *words: str) -> bool:
    """Does the error, or what it carries, name one of these?"""
    told = json.dumps(explain(error).as_dict(), default=str)
    return any(word in told for word in words)


@pytest.mark.slow
def test_malformed_answers_lose_nothing_and_break_nothing(tmp_path: Path) -> None:
    spoil = Spoiler(recorded(tmp_path), 20261123)
    began = time.monotonic()
    out = tmp_path / "out"
    transport = httpx.MockTransport(spoil)
    ends: dict[str, int] = {}

    def tried(call: Callable[[], Any], check: Callable[[CivitaiError], bool]) -> None:
        caught: CivitaiError | None = None
        try:
            call()
        except CivitaiError as error:
            caught = error
        if caught is not None:
            assert explain(caught).text()
            assert check(caught), (type(caught), explain(caught).as_dict())
        name = "good" if caught is None else type(caught).__name__
        ends[name] = ends.get(name, 0) + 1

    def keeps_the_id(error: CivitaiError) -> bool:
        return error.spent != "unknown" and names(error, ID)

    def keeps_the_key(error: CivitaiError) -> bool:
        return error.spent != "unknown" or names(error, "cs-")

    calls = 0
    with (
        Civitai("key", home=tmp_path / "a", transport=transport, retry=RETRY, ledger=False) as bare,
        Civitai("key", home=tmp_path / "b", transport=transport, retry=RETRY) as kept,
    ):
        assert kept.ledger is not None
        while spoil.made < ANSWERS:
            calls += 1
            tried(lambda: bare.get(ID), lambda error: True)
            tried(lambda: bare.submit("x", **SIZE), keeps_the_key)
            tried(lambda: bare.estimate("x", **SIZE), lambda error: error.spent == "no")
            tried(lambda: list(bare.query(take=5)), lambda error: True)
            tried(lambda: bare.cancel(ID), lambda error: True)
            tried(lambda: bare.wait(ID, timeout=0.0), keeps_the_id)
            tried(lambda: bare.download(ID, out), lambda error: True)
            if calls % 20 == 0:
                before = {run["key"] for run in kept.ledger.history(limit=10_000)}
                sent = spoil.submitted
                tried(
                    lambda: kept.generate("x", out=out, timeout=0.0, again=True, **SIZE),
                    keeps_the_key,
                )
                new = {run["key"] for run in kept.ledger.history(limit=10_000)} - before
                # A price that could not be asked ends it before anything is bought.
                assert len(new) == 1 or (not new and spoil.submitted == sent)
                for run in map(kept.ledger.run, new):
                    assert run is not None
                    # Either the service certainly did not take it, or it can be taken up again.
                    assert run.state in ("dropped", "closed") or run.body
    assert set(ends) >= {"good", TransportFailed.__name__}
    assert WorkflowFailed.__name__ in ends or not THOROUGH
    assert time.monotonic() - began < SECONDS, f"{spoil.made} answers"
