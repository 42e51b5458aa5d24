"""SECURITY.md, the key: it is seen by the service and by nobody else."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from pathlib import Path

import httpx
import pytest

from civitai_skill import Civitai, CivitaiError, run_batch
from civitai_skill.api.service import Retry
from civitai_skill.config import Settings
from civitai_skill.errors import TransportFailed, explain
from civitai_skill.sandbox import Fault, Sandbox, SandboxTransport
from tests.support.paths import ROOT
from tests.support.pictures import picture

KEY = "sk-0123456789abcdef-never-seen"
RETRY = Retry(first=0.0, cap=0.0, tries=2)
SIZE = {"engine": "sdxl", "width": 64, "height": 64}


# -- the key -----------------------------------------------------------------------------
def test_the_key_is_in_no_log_no_error_no_repr_and_no_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    box = Sandbox(seconds_per_job=0.02)
    seen = []
    with Civitai(KEY, sandbox=box, home=tmp_path / "home", retry=RETRY) as client:
        seen += [repr(client), str(client), repr(client.settings), repr(vars(client))]
        run_batch([{"prompt": "a fox", **SIZE}], client=client, out=tmp_path / "out", table=True)
        for on in ("submit", "get", "blob"):
            box.script(Fault(on, "status", status=401))  # type: ignore[arg-type]
            box.script(Fault(on, "reset", times=2))  # type: ignore[arg-type]
            for prompt in ("an owl", "a hare"):
                try:
                    client.generate(f"{prompt} {on}", out=tmp_path / "out", **SIZE)
                except CivitaiError as error:
                    told = "".join(traceback.format_exception(error))
                    seen += [
                        told,
                        repr(error),
                        repr(vars(error)),
                        json.dumps(explain(error).as_dict()),
                    ]
    assert seen[4:], "some errors must have been made"
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) > 5
    for text in (*seen, caplog.text):
        assert KEY not in text
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path


def test_no_cassette_holds_a_key() -> None:
    folder = ROOT / "cassettes"
    for path in folder.rglob("*.y*ml"):
        text = path.read_text().lower()
        assert "bearer " not in text, path
        assert "authorization" not in text, path


def test_a_key_can_t_be_pickled_by_mistake() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Settings.load(KEY))


class Elsewhere(SandboxTransport):
    """A sandbox whose blobs lie on another host, and which notes who was sent the key."""

    def __init__(self, sandbox: Sandbox, target: str) -> None:
        super().__init__(sandbox)
        self.target = target
        self.told: list[tuple[str, bool]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.told.append((request.url.host, "authorization" in request.headers))
        if request.url.host != "sandbox.invalid":
            return httpx.Response(200, content=picture(), headers={"Content-Type": "image/png"})
        if "/blobs/" in request.url.path:
            return httpx.Response(302, headers={"Location": self.target}, request=request)
        return super().handle_request(request)


def test_the_key_never_follows_a_picture_to_another_host(tmp_path: Path) -> None:
    box = Sandbox(seconds_per_job=0.02)
    under = Elsewhere(box, "https://pictures.example/a.png")
    with Civitai(KEY, sandbox=box, home=tmp_path, transport=under) as client:
        client.generate("a fox", out=tmp_path / "out", **SIZE)

    assert ("pictures.example", False) in under.told
    assert ("pictures.example", True) not in under.told


@pytest.mark.parametrize("host", ["169.254.169.254", "127.0.0.1", "10.0.0.7", "[fd00::1]",
                                  "kubernetes.default", "router"])  # fmt: skip
def test_a_picture_s_redirect_into_a_private_network_is_not_asked(
    host: str, tmp_path: Path
) -> None:
    box = Sandbox(seconds_per_job=0.02)
    under = Elsewhere(box, f"http://{host}/latest/meta-data")
    with (
        Civitai(KEY, sandbox=box, home=tmp_path, transport=under, retry=RETRY) as client,
        pytest.raises(TransportFailed, match="private network") as caught,
    ):
        client.generate("a fox", out=tmp_path / "out", **SIZE)
    assert caught.value.spent == "yes"
    assert {asked for asked, _ in under.told} == {"sandbox.invalid"}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_submit_that_is_redirected_is_not_followed(tmp_path: Path, status: int) -> None:
    hosts: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        hosts.append(request.url.host)
        return httpx.Response(status, headers={"Location": "https://evil.example/"})

    transport = httpx.MockTransport(answer)
    with (
        Civitai(KEY, home=tmp_path, transport=transport, retry=RETRY) as client,
        pytest.raises(CivitaiError),
    ):
        client.submit("a fox", **SIZE)
    assert set(hosts) == {"orchestration.civitai.com"}


@pytest.mark.parametrize("url", ["http://civitai.example", "ftp://x", "https://u:p@x", "file:///x"])
def test_a_base_url_that_would_leak_the_key_is_refused(url: str) -> None:
    with pytest.raises(CivitaiError) as refused:
        Settings.load(KEY, base_url=url)
    assert "u:p" not in str(refused.value)
