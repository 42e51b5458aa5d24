"""The cassettes: replayed with the network blocked, and free of anything private."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import vcr
import yaml
from anyio.from_thread import BlockingPortal, start_blocking_portal

from civitai_skill import AsyncCivitai, Civitai
from tests.support.paths import ROOT

FILES = sorted((ROOT / "cassettes").glob("*.yaml"))
NAMES = [path.stem for path in FILES]


@pytest.fixture(scope="module")
def vcr_cassette_dir() -> str:
    return str(ROOT / "cassettes")


@pytest.fixture(scope="module")
def vcr_config(recorder: ModuleType) -> dict[str, Any]:
    return dict(recorder.vcr_config())


@pytest.fixture
def given(recorder: ModuleType, tmp_path: Path) -> dict[str, Any]:
    return {**recorder.settings("https://service.invalid"), "home": tmp_path}


def kept(name: str) -> dict[str, Any]:
    """What the file says of itself."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "cassettes" / f"{name}.yaml").read_text())
    return found


def replays(name: str) -> Any:
    return pytest.param(name, marks=pytest.mark.default_cassette(f"{name}.yaml"), id=name)


class Awaited:
    """An async client whose calls are awaited in its loop, for a caller that does not wait."""

    def __init__(self, client: AsyncCivitai, portal: BlockingPortal) -> None:
        self._client, self._portal = client, portal

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        return lambda *args, **given: self._portal.call(partial(method, *args, **given))


# -- replay ----------------------------------------------------------------------------------------
@pytest.mark.vcr
@pytest.mark.block_network
@pytest.mark.parametrize("name", [replays(name) for name in NAMES])
def test_a_cassette_replays(
    name: str, recorder: ModuleType, given: dict[str, Any], tmp_path: Path, vcr: Any
) -> None:
    scenario = recorder.BY_NAME[name]
    with Civitai(**given) as client:
        outcome = scenario.play(client, recorder.Place(tmp_path))
    assert outcome == kept(name)["outcome"]
    assert scenario.shows(outcome)
    assert vcr.all_played


@pytest.mark.vcr
@pytest.mark.block_network
@pytest.mark.parametrize("name", [replays(name) for name in NAMES])
def test_a_cassette_replays_without_blocking(
    name: str, recorder: ModuleType, given: dict[str, Any], tmp_path: Path, vcr: Any
) -> None:
    with start_blocking_portal() as portal:
        client = portal.call(lambda: AsyncCivitai(**given))
        with portal.wrap_async_context_manager(client):
            outcome = recorder.BY_NAME[name].play(Awaited(client, portal), recorder.Place(tmp_path))
    assert outcome == kept(name)["outcome"]
    assert vcr.all_played


@pytest.mark.vcr
@pytest.mark.block_network
@pytest.mark.default_cassette("estimate.yaml")
def test_a_request_that_was_not_recorded_is_not_answered(given: dict[str, Any]) -> None:
    with (
        Civitai(**given) as client,
        pytest.raises(Exception, match=r"Can't overwrite existing|No usable"),
    ):
        client.estimate("something else", seed=7, quality="draft")


def test_every_scenario_has_its_cassette_and_its_line(recorder: ModuleType) -> None:
    assert sorted(recorder.BY_NAME) == NAMES
    said = (ROOT / "cassettes" / "README.md").read_text()
    rows = dict(re.findall(r"^\| ([a-z-]+) \|.*\| (yes|no) \|$", said, re.MULTILINE))
    assert rows == {s.name: "yes" if s.live else "no" for s in recorder.SCENARIOS}


def test_states_on_the_way_are_seen() -> None:
    statuses = kept("queued-to-succeeded")["outcome"]["statuses"]
    assert statuses[-1] == "succeeded"
    assert len(statuses) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_a_cassette_says_with_what_it_was_made(name: str, recorder: ModuleType) -> None:
    about = kept(name)
    assert about["made_with"] in {recorder.SANDBOX, recorder.STAND_IN, "the service"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", about["recorded"])


# -- nothing private -------------------------------------------------------------------------------
@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_cassette_holds_nothing_private(path: Path, recorder: ModuleType) -> None:
    assert list(recorder.suspicions(path.read_text())) == []


SECRETS = {
    "key": "civitai_sk_0123456789abcdef0123456789abcdef",
    "account": "4711042",
    "mail": "jo.doe@mail.example.org",
    "signature": "CfDJ8NrAt2pWq5eYFz0uTzV3kLm9QxB7cR1sD4gH6jK8",
    "token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0NzExMDQyIn0.c2lnbmF0dXJl",
    "machine": "10.20.30.40",
    "cookie": "session-9f86d081884c7d659a2feaa0c55ad015",
}


def leaky(request: httpx.Request) -> httpx.Response:
    """A service that tells everything it should not."""
    if request.url.path.endswith(".png"):
        return httpx.Response(200, content=b"\x89PNG secret pixels \xff\xfe" * 50)
    body = {
        "id": f"{SECRETS['account']}-20261123155137403",
        "externalId": f"{SECRETS['account']}-cassette-x",
        "userId": int(SECRETS["account"]),
        "email": SECRETS["mail"],
        "note": f"mail {SECRETS['mail']} from {SECRETS['machine']} with Bearer {SECRETS['key']}",
        "jwt": SECRETS["token"],
        "url": f"https://blobs.real-host.example/a.png?sig={SECRETS['signature']}&exp=1",
    }
    headers = {
        "Set-Cookie": SECRETS["cookie"],
        "X-Account": SECRETS["account"],
        "Location": f"https://real-host.example/v2/consumer/blobs/content/{SECRETS['signature']}",
    }
    return httpx.Response(200, json=body, headers=headers)


def test_a_secret_recorded_on_purpose_is_scrubbed(recorder: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "leaky.yaml"
    recording = vcr.VCR(record_mode="all")
    base = "https://real-host.example"
    with (
        recording.use_cassette(str(path), **recorder.vcr_config(base)),
        httpx.Client(transport=httpx.MockTransport(leaky)) as http,
    ):
        answer = http.post(
            f"{base}/v2/consumer/workflows?token={SECRETS['signature']}",
            json={"email": SECRETS["mail"], "key": f"Bearer {SECRETS['key']}"},
            headers={"Authorization": f"Bearer {SECRETS['key']}", "Cookie": SECRETS["cookie"]},
        )
        http.get(answer.json()["url"])
    assert answer.json()["email"] == SECRETS["mail"]  # only the file is scrubbed
    text = path.read_text()
    assert [name for name, secret in SECRETS.items() if secret in text] == []
    assert "real-host" not in text
    assert "secret pixels" not in text
    assert list(recorder.suspicions(text)) == []


@pytest.mark.parametrize("name", SECRETS)
def test_the_guard_sees_each_kind_of_secret(name: str, recorder: ModuleType) -> None:
    lines = {
        "account": f"id: {SECRETS['account']}-20261123155137403",
        "signature": f"url: https://service.invalid/a?sig={SECRETS['signature']}",
        "machine": f"url: http://{SECRETS['machine']}/a",
        "cookie": f"set-cookie: {SECRETS['cookie']}",
    }
    assert list(recorder.suspicions(lines.get(name, f"said: {SECRETS[name]}"))) != []


# -- recording -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("names", "what"),
    [([], "about 6 Buzz"), (["download"], "about 2 Buzz"), (["query-two-pages"], "about 4 Buzz")],
)
def test_recording_live_asks_before_it_spends(
    recorder: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    names: list[str],
    what: str,
) -> None:
    monkeypatch.setenv("CIVITAI_API_KEY", "some-key")
    assert recorder.main(["--live", *names]) == 2
    said = capsys.readouterr().out
    assert f"It spends {what}" in said
    assert "some-key" not in said


@pytest.mark.slow
def test_a_recording_brings_what_it_builds_on_and_each_run_has_keys_of_its_own(
    recorder: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(recorder, "FOLDER", tmp_path)
    with recorder.sandbox_port() as address:
        monkeypatch.setenv("CIVITAI_BASE_URL", address)
        monkeypatch.setenv("CIVITAI_API_KEY", "some-key")
        for _ in range(2):
            assert recorder.main(["--live", "--yes", "download"]) == 0
        accounts = httpx.get(f"{address}/_sandbox/accounts").json()["accounts"]
        assert recorder.main(["--live", "--yes", "bad-key"]) == 1
    assert [account["workflows"] for account in accounts] == [2]
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["download", "submit-and-wait"]
    for path in tmp_path.iterdir():
        told = yaml.safe_load(path.read_text())
        assert told["made_with"] == "a stand-in at another address, not the service"
        bodies = [json.loads(i["request"]["body"] or "{}") for i in told["interactions"]]
        assert {body["externalId"] for body in bodies if "externalId" in body} == {
            "cassette-generate"
        }
    assert "bad-key: not kept: error is None" in capsys.readouterr().err
