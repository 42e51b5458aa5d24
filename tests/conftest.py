"""What every test gets: no network, no key, a home of its own, and the published document if any;
and what several get: a sandbox with the servers before it.

The service's published document is not part of this project. Where CIVITAI_OPENAPI names a copy of
it, with `sample-bodies.json` beside it and the referee at `../tools/spec_check.py`, the tests
marked `needs_document` must run: skipping one is then a failure. Without the variable they skip.
The same holds for `remix_cases` and CIVITAI_REMIX_CASES, the folder of generation data of other
programs with its right reading.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from civitai_skill.engines.published import kept
from civitai_skill.sandbox import BASE_URL, Sandbox, SandboxTransport
from tests.support.sandbox import fresh_sandbox
from tests.support.scripts import load

if TYPE_CHECKING:
    from tests.support.mcp_server import Open
    from tests.support.rest_server import Rest

# What a shell runs in the background is deaf to Ctrl-C, and with nohup to a hang-up; commands would
# inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

_NAMED = os.environ.get("CIVITAI_OPENAPI")
DOCUMENT = Path(_NAMED).resolve() if _NAMED else None
_CASES = os.environ.get("CIVITAI_REMIX_CASES")
REMIX_CASES = Path(_CASES).resolve() if _CASES else None
#: What a test may need that is not part of this project: its mark, where it is, its variable.
_OUTSIDE = (
    ("needs_document", DOCUMENT, "CIVITAI_OPENAPI"),
    ("needs_remix_cases", REMIX_CASES, "CIVITAI_REMIX_CASES"),
)
_LOOPBACK = ("127.", "::1", "localhost")
_NEEDS_DOCUMENT = frozenset({"document", "sample_bodies", "referee"})


# -- no network ------------------------------------------------------------------------------------
class NetworkRefused(AssertionError):
    """A test tried to leave this machine."""


def _is_local(address: Any) -> bool:
    host = address[0] if isinstance(address, tuple) else None
    return host is None or str(host).startswith(_LOOPBACK)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection and every name look-up that leaves this machine."""
    # For each test anew: a plugin that comes with langchain-tests puts `connect` back after each.
    real = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def guarded(call: Any) -> Any:
        def connect(sock: socket.socket, address: Any) -> Any:
            if not _is_local(address):
                raise NetworkRefused(f"no network in tests: {address}")
            return call(sock, address)

        return connect

    def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and not _is_local((name,)):
            raise NetworkRefused(f"no network in tests: {name}")
        return real[2](host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded(real[0]))
    monkeypatch.setattr(socket.socket, "connect_ex", guarded(real[1]))
    monkeypatch.setattr(socket, "getaddrinfo", look_up)


# -- no key, no state ------------------------------------------------------------------------------
@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Forget the user's settings and keep all state in a folder of this test's own."""
    for name in [n for n in os.environ if n.startswith("CIVITAI_") and n != "CIVITAI_OPENAPI"]:
        monkeypatch.delenv(name)
    home = tmp_path / "skill-home"
    monkeypatch.setenv("CIVITAI_SKILL_HOME", str(home))
    kept.followed.set(None)  # what another test fetched is not in force here
    return home


@pytest.fixture(autouse=True)
def no_pictures_left_here() -> Iterator[None]:
    """No test saves pictures into the folder that the tests were started from."""
    here = Path.cwd()
    before = set(here.glob("*-[0-9].*"))
    yield
    assert set(here.glob("*-[0-9].*")) <= before, "give it a folder: out=tmp_path"


@pytest.fixture(autouse=True)
def a_service_that_does_not_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no picture that a workflow does not show at once (see test_lagging_service)."""
    monkeypatch.setattr("civitai_skill.api.wait.LAG", 0.1)


# -- the published document ------------------------------------------------------------------------
@pytest.hookimpl(optionalhook=True)  # Ray's own environment is without xdist
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Twice as many workers as there are cores: about half of the time tests wait for processes."""
    return 2 * (os.cpu_count() or 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _NEEDS_DOCUMENT & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.needs_document)
        if "remix_cases" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.needs_remix_cases)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark, place, variable in _OUTSIDE:
        if item.get_closest_marker(mark) and not place:
            pytest.skip(f"{variable} names nothing")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    for mark, place, variable in _OUTSIDE:
        if report.skipped and place and item.get_closest_marker(mark):
            report.outcome = "failed"
            report.longrepr = f"skipped, although {variable} names what it needs"
    return report


@pytest.fixture(scope="session")
def remix_cases() -> Path:
    """The folder of other programs' generation data."""
    assert REMIX_CASES is not None
    assert REMIX_CASES.is_dir(), f"CIVITAI_REMIX_CASES names no folder: {REMIX_CASES}"
    return REMIX_CASES


@pytest.fixture(scope="session")
def document() -> Path:
    """Where the published document is."""
    assert DOCUMENT is not None
    assert DOCUMENT.is_file(), f"CIVITAI_OPENAPI names no file: {DOCUMENT}"
    return DOCUMENT


@pytest.fixture(scope="session")
def sample_bodies(document: Path) -> Any:
    """The request bodies that the service's own pages show as working."""
    return json.loads((document.parent / "sample-bodies.json").read_text())


@pytest.fixture(scope="session")
def referee(document: Path) -> Any:
    """The independent judge of bodies and answers."""
    return load(document.parent.parent / "tools" / "spec_check.py").Referee(document)


# -- the sandbox, watched --------------------------------------------------------------------------
_WORKFLOWS, _BLOBS = "/v2/consumer/workflows", "/v2/consumer/blobs"
_RECIPES = "/v2/consumer/recipes/"


@pytest.fixture(autouse=True)
def watched(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold every JSON answer of every sandbox against the document, where there is one."""
    if DOCUMENT is None:
        return
    referee = request.getfixturevalue("referee")
    real = Sandbox.handle

    def handle(self: Sandbox, asked: httpx.Request) -> Generator[float, None, httpx.Response]:
        response = yield from real(self, asked)
        later = self._context.switches.tomorrow or self._context.switches.unheard_status
        if later or asked.url.path.startswith("/openapi"):
            return response  # the document says nothing of what comes after it, nor of itself
        _judge(referee, asked, response)
        return response

    monkeypatch.setattr(Sandbox, "handle", handle)


def _judge(referee: Any, request: httpx.Request, response: httpx.Response) -> None:
    """Fail the test where an answer does not fit."""
    if "json" not in response.headers.get("Content-Type", ""):
        return
    value = response.json()
    if request.url.path == _WORKFLOWS and "items" in value:
        wrong = [p for item in value["items"] for p in referee.response(item)]
    else:
        name = _schema(request, response, value)
        wrong = [] if name is None else referee.check(value, name)
    assert wrong == [], (request.method, str(request.url), value)


def _schema(request: httpx.Request, response: httpx.Response, value: Any) -> str | None:
    path = request.url.path
    if path.startswith(("/_sandbox", "/api/")) or not isinstance(value, dict):
        return None
    if response.status_code >= 400 or "title" in value:  # a scripted status has a problem's body
        return "ValidationProblemDetails" if "errors" in value else "ProblemDetails"
    if path.startswith(_WORKFLOWS):
        return "WorkflowStep" if "/steps/" in path else "Workflow"
    if path.startswith(_RECIPES):
        kind = path.removeprefix(_RECIPES)
        return {"wdTagging": "WDTagging"}.get(kind, kind[0].upper() + kind[1:]) + "Output"
    if path.startswith("/v2/resources"):
        return None if "items" in value else "ResourceInfo"
    if path.startswith(_BLOBS):
        return "ConsumerBlobPresignResponse" if "uploadUrl" in value else "Blob"
    return "PaginatedResponseOfServiceResponse" if "items" in value else "ServiceResponse"


class Clock:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_786_401_435.659

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Played(httpx.Client):
    """A plain client of a sandbox in this process, on a clock of its own."""

    def __init__(self, key: str | None, **settings: Any) -> None:
        self.clock = Clock()
        self.sandbox = Sandbox(clock=self.clock, **settings)
        self.under = SandboxTransport(self.sandbox, sleep=self.clock.sleep)
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        super().__init__(transport=self.under, base_url=BASE_URL, headers=headers, timeout=None)

    def submit(self, *steps: dict[str, Any], wait: int = 0, **fields: Any) -> httpx.Response:
        """POST a workflow of imageGen inputs, or of whole steps where a `$type` says so."""
        given = [s if "$type" in s else {"$type": "imageGen", "input": s} for s in steps]
        whatif = {"whatif": "true"} if fields.pop("whatif", False) else {}
        body = {"steps": given, **fields}
        return self.post(_WORKFLOWS, params={"wait": wait, **whatif}, json=body)

    def workflow(self, id: str, **query: Any) -> Any:
        """GET a workflow that must be there."""
        response = self.get(f"{_WORKFLOWS}/{id}", params=query)
        assert response.status_code in (200, 202), response.text
        return response.json()

    def put_changes(self, id: str, **changes: Any) -> httpx.Response:
        """PUT changes to a workflow."""
        return self.put(f"{_WORKFLOWS}/{id}", json=changes)

    @property
    def balance(self) -> dict[str, int]:
        """What the account of this client's key holds."""
        answer = self.get("/_sandbox/accounts").json()["accounts"]
        balance: dict[str, int] = answer[0]["balance"]
        return balance


@pytest.fixture
def play() -> Iterator[Callable[..., Played]]:
    """Opens sandboxes with a client each."""
    opened: list[Played] = []

    def open_one(key: str | None = "key", **settings: Any) -> Played:
        opened.append(Played(key, **settings))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()
        one.sandbox.close()


# -- servers in processes of their own -------------------------------------------------------------
class Started:
    """A server of ours in a process of its own, on a free port."""

    def __init__(self, words: tuple[str, ...], folder: Path) -> None:
        self.log = folder / f"{words[0]}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "civitai_skill", words[0], "--port", "0", *words[1:]],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"ready on (\S+)", line)
        if found is None:
            self.close()
        assert found is not None, (line, self.log.read_text())
        self.address = found[1]

    def ended(self, number: int = signal.SIGTERM, timeout: float = 60) -> tuple[int, str]:
        """Send a signal and wait; gives the exit code and what it wrote to standard error."""
        self.process.send_signal(number)
        code = self.process.wait(timeout)
        return code, self.log.read_text()

    def close(self) -> None:
        """Make sure that it has ended."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Started]]:
    """Starts servers over a sandbox: start("rest", "--budget", "9").address."""
    running: list[Started] = []

    def start_one(*words: str, home: Path | None = None, **environment: str) -> Started:
        folder = home or tmp_path_factory.mktemp("server")
        with pytest.MonkeyPatch.context() as patch:
            for name in [n for n in os.environ if n.startswith("CIVITAI_")]:
                patch.delenv(name)
            patch.setenv("CIVITAI_SANDBOX", "1")
            patch.setenv("CIVITAI_SKILL_HOME", str(folder / "home"))
            patch.setenv("PYTHONWARNINGS", "default")
            for name, value in environment.items():
                patch.setenv(name, value)
            running.append(Started(words, folder))
        return running[-1]

    yield start_one
    for one in running:
        one.close()


# -- cassettes -------------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def recorder() -> ModuleType:
    """scripts/record_cassettes.py, which knows how cassettes are written and replayed."""
    return load("scripts/record_cassettes.py")


# -- the servers, whose packages are loaded by the tests that open one -----------------------------
@pytest.fixture
def sandbox() -> Sandbox:
    """A quick one with much Buzz."""

    return fresh_sandbox()


@pytest.fixture
def open_client(sandbox: Sandbox, tmp_path: Path) -> Open:
    """Opens clients of MCP servers on the sandbox (see tests/support/mcp_server.py)."""
    from tests.support.mcp_server import opener

    return opener(sandbox, tmp_path)


@pytest.fixture
async def rest(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[Rest]:
    """Opens REST servers on the sandbox (see tests/support/rest_server.py)."""
    from tests.support.rest_server import rests

    async with rests(sandbox, tmp_path / "home") as open_one:
        yield open_one
