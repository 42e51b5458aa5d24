"""SECURITY.md, line by line: what an attacker could try, and that it does not work."""

from __future__ import annotations

import gzip
import json
import os
import stat
import struct
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from civitai_skill import Civitai, CivitaiError, RequestInvalid, Toolbox, run_batch
from civitai_skill.adapters.cli import main
from civitai_skill.api.service import Retry, Service
from civitai_skill.errors import TransportFailed
from civitai_skill.images.sources import SourcePolicy, open_source
from civitai_skill.sandbox import Fault, Sandbox
from tests.support.paths import ROOT
from tests.support.pictures import picture

KEY = "sk-0123456789abcdef-never-seen"
RETRY = Retry(first=0.0, cap=0.0, tries=2)
SIZE = {"engine": "sdxl", "width": 64, "height": 64}
MODEL = SourcePolicy(local=False, private=False, service="https://orchestration.civitai.com")


# -- paths -------------------------------------------------------------------------------
@pytest.mark.parametrize("id", ["../../evil", "/etc/evil", "..\\evil", "a\x00b", "." * 300])
def test_an_id_from_the_service_never_names_a_file_outside(tmp_path: Path, id: str) -> None:
    out = tmp_path / "a" / "b" / "out"

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("picture"):
            return httpx.Response(200, content=picture())
        image = {"id": "x.png", "available": True, "url": "https://p.example/picture"}
        step = {"$type": "imageGen", "status": "succeeded", "output": {"images": [image]}}
        return httpx.Response(200, json={"id": id, "status": "succeeded", "steps": [step]})

    with Civitai(KEY, home=tmp_path / "home", transport=httpx.MockTransport(answer)) as client:
        try:
            made = client.download(client.get("1-2"), out)
        except CivitaiError:
            made = None  # a name that no disk takes is an error of ours, never a file elsewhere
    inside = {p for p in tmp_path.rglob("*") if p.is_file() and "home" not in p.parts}
    assert {p.parent for p in inside} <= {out}
    assert made is None or len(inside) == 1


def test_tools_read_and_write_only_where_they_may(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture())
    box = Sandbox(seconds_per_job=0.02)
    client = Civitai(sandbox=box, home=tmp_path / "home")
    with Toolbox(client, out=tmp_path / "out", local_files=False) as tools:
        for arguments in (
            {"prompt": "x", "images": [str(secret)]},
            {"prompt": "x", "images": [str(tmp_path / "out" / ".." / "secret.png")]},
            {"prompt": "x", "folder": "../elsewhere"},
            {"prompt": "x", "folder": "/tmp"},
        ):
            told = tools.call("civitai_generate_image", arguments)
            assert told.failed, arguments
    client.close()
    assert box.accounts() == []


# -- sources that a model names ----------------------------------------------------------
PRIVATE = (
    "https://127.0.0.1/x.png",
    "https://127.1/x.png",
    "https://2130706433/x.png",
    "https://0x7f000001/x.png",
    "https://0.0.0.0/x.png",
    "https://10.0.0.7/x.png",
    "https://172.16.0.1/x.png",
    "https://192.168.1.1/x.png",
    "https://169.254.169.254/latest/meta-data",
    "https://100.64.0.1/x.png",
    "https://[::1]/x.png",
    "https://[::ffff:127.0.0.1]/x.png",
    "https://[fe80::1%25eth0]/x.png",
    "https://[fc00::1]/x.png",
    "https://localhost/x.png",
    "https://LOCALHOST./x.png",
    "https://printer/x.png",
    "https://nas.local/x.png",
    "https://metadata.google.internal/x.png",
    "https://user@127.0.0.1/x.png",
    "https://127.0.0.1\\@example.com/x.png",
    "https://127.0.0.%31/x.png",
    "https://127.0.0\uff0e1/x.png",
    "https://127.0.0\u30021/x.png",
    "https://foo.localhost\u3002/x.png",
    "https://[64:ff9b::a9fe:a9fe]/x.png",
    "https://[2002:7f00:1::]/x.png",
    "https://[::127.0.0.1]/x.png",
    "https://kubernetes.default.svc/x.png",
    "https://kubernetes.default/x.png",
    "https://224.0.0.1/x.png",
    "https://orchestration.civitai.com@10.0.0.1/x.png",
    "https://[broken/x.png",
    "http://127.0.0.1/x.png",
)


@pytest.mark.parametrize("url", PRIVATE)
def test_an_address_of_this_network_is_refused_where_a_model_names_it(url: str) -> None:
    with pytest.raises(RequestInvalid) as refused:
        open_source(url, policy=MODEL)
    assert refused.value.field == "images"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a.png",
        "https://8.8.8.8/a.png",
        "https://[2606:4700::1111]/a.png",
        "https://orchestration.civitai.com/v2/consumer/blobs/x.png?sig=1",
    ],
)
def test_a_public_address_passes(url: str) -> None:
    assert open_source(url, policy=MODEL) == url


@pytest.mark.parametrize("path", ["/etc/passwd", "~/.ssh/id_rsa", "file:///etc/passwd", "a.png"])
def test_a_file_is_refused_where_a_model_names_it(path: str) -> None:
    with pytest.raises(RequestInvalid):
        open_source(path, policy=MODEL)


def test_the_configured_service_s_own_host_is_let_in_and_no_other_port() -> None:
    own = SourcePolicy(local=False, private=False, service="http://127.0.0.1:8787")
    blob = "http://127.0.0.1:8787/v2/consumer/blobs/x.png"
    assert open_source(blob, policy=own) == blob
    for other in ("http://127.0.0.1:22/x.png", "https://127.0.0.1/x.png"):
        with pytest.raises(RequestInvalid):
            open_source(other, policy=own)


def test_a_policy_holds_through_the_client_and_the_batch(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture())
    box = Sandbox(seconds_per_job=0.02)
    images = [str(tmp_path / "a.png")]
    strict = SourcePolicy(local=False, private=False)
    with Civitai(sandbox=box, home=tmp_path) as client:
        for call in (client.generate, client.submit, client.estimate):
            with pytest.raises(RequestInvalid, match="not allowed here"):
                call("x", images=images, sources=strict)
        rows = [{"prompt": "x", "images": images}]
        with pytest.raises(RequestInvalid, match="not allowed here"):
            run_batch(rows, client=client, out=tmp_path / "out", sources=strict)
    assert box.accounts() == []


def test_tools_refuse_private_addresses_unless_their_developer_lets_them(tmp_path: Path) -> None:
    call = ("civitai_estimate_image", {"prompt": "x", "images": ["https://10.0.0.7/x.png"]})
    client = Civitai(sandbox=Sandbox(), home=tmp_path)
    names = ["civitai_estimate_image"]
    loose = {"include": names, "private_urls": True}
    with Toolbox(client, include=names) as strict, Toolbox(client, **loose) as open_minded:
        refused, passed = strict.call(*call), open_minded.call(*call)
    client.close()
    assert "not allowed here" in refused.text
    assert (refused.failed, passed.failed) == (True, False)


# -- bombs -------------------------------------------------------------------------------
def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def picture_bomb() -> bytes:
    """A PNG of a few bytes that says it has 60,000 by 60,000 pixels."""
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def text_bomb() -> bytes:
    """A small PNG with a text of 200 MB in it."""
    plain = picture()
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 200_000_000, 9))
    return plain[:33] + text + plain[33:]


def served(content: bytes, tmp_path: Path, **headers: str) -> CivitaiError:
    """What comes of a picture with this content."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "p.example":
            return httpx.Response(200, content=content, headers=headers)
        if "/blobs/" in request.url.path:
            return httpx.Response(404)
        image = {"id": "x.png", "available": True, "url": "https://p.example/x"}
        step = {"$type": "imageGen", "status": "succeeded", "output": {"images": [image]}}
        return httpx.Response(200, json={"id": "1-2", "status": "succeeded", "steps": [step]})

    transport = httpx.MockTransport(answer)
    with (
        Civitai(KEY, home=tmp_path / "home", transport=transport, retry=RETRY) as client,
        pytest.raises(TransportFailed) as failed,
    ):
        client.download("1-2", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    return failed.value


@pytest.mark.parametrize("bomb", [picture_bomb, text_bomb], ids=["pixels", "compressed text"])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_bomb_is_not_opened(tmp_path: Path, bomb: Callable[[], bytes]) -> None:
    error = served(bomb(), tmp_path)
    assert error.spent == "yes"
    assert error.workflow_id == "1-2"
    source = tmp_path / "bomb.png"
    source.write_bytes(bomb())
    with pytest.raises(RequestInvalid):
        open_source(str(source))


@pytest.mark.parametrize("twice", [False, True])
def test_an_answer_that_unpacks_without_end_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, twice: bool
) -> None:
    assert Service.request.__kwdefaults__ is not None
    monkeypatch.setitem(Service.request.__kwdefaults__, "limit", 1_000_000)
    packed, coding = gzip.compress(b"[" * 100_000_000), "gzip"
    if twice:
        packed, coding = gzip.compress(packed), "gzip, gzip"

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["accept-encoding"] == "identity"
        whole = httpx.ByteStream(packed)  # as it comes from the network, not unpacked by httpx
        return httpx.Response(200, stream=whole, headers={"Content-Encoding": coding})

    transport = httpx.MockTransport(answer)
    tracemalloc.start()
    with (
        Civitai(KEY, home=tmp_path, transport=transport, retry=RETRY) as client,
        pytest.raises(TransportFailed),
    ):
        client.get("1-2")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 20_000_000


# -- terminals ---------------------------------------------------------------------------
ESCAPES = "\x1b[2J\x1b]0;title\x07\x9b31m\x00\u202e\r"


@pytest.mark.parametrize("words", [["--json"], []], ids=["json", "words"])
def test_foreign_text_never_reaches_a_terminal_as_an_escape(
    tmp_path: Path, clean_environment: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, words: list[str],
) -> None:  # fmt: skip
    box = Sandbox(clean_environment / "sandbox.sqlite3", seconds_per_job=0.02)
    box.script(Fault("submit", "fate", fate="failed", reason=f"because {ESCAPES}"))
    if not words:
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    out = str(tmp_path / "out")
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"prompt": ESCAPES, "id": ESCAPES, **SIZE}) + "\n")
    main(["batch", str(rows), "--sandbox", "--out", out, "--csv", *words])
    main(["generate", f"a fox {ESCAPES}", "--sandbox", "--out", out, *words])
    main(["query", "--sandbox", *words])
    main(["history", "--sandbox", *words])
    main(["again", str(rows), "--sandbox", *words])
    told = capsys.readouterr()

    for text in (told.out, told.err, *(p.read_text() for p in Path(out).glob("*.[jc]s*"))):
        assert [c for c in text if not c.isprintable() and c not in "\n\r"] == []
    assert "\r" not in told.out + told.err


# -- state -------------------------------------------------------------------------------
@pytest.mark.skipif(sys.platform == "win32", reason="files have no such modes there")
def test_state_is_for_its_owner_only(tmp_path: Path) -> None:
    before = os.umask(0o000)
    try:
        home = tmp_path / "home"
        with Civitai(sandbox=True, home=home) as client:
            client.submit("a fox", **SIZE)
            modes = {
                path.relative_to(home).parts[0]: stat.S_IMODE(path.stat().st_mode)
                for path in home.rglob("*")
                if path.is_file()
            }
    finally:
        os.umask(before)
    assert {"sandbox.sqlite3", "sandbox-ledger.sqlite3", "owners"} <= set(modes)
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


# -- the document itself -----------------------------------------------------------------
def test_every_line_of_the_threat_model_names_a_test_that_exists() -> None:
    told = [word for word in (ROOT / "SECURITY.md").read_text().split("`") if "::" in word]
    assert len(told) >= 15
    for name in told:
        file, _, function = name.partition("::")
        assert f"def {function}(" in (ROOT / "tests" / file).read_text(), name


def test_every_test_here_stands_in_the_threat_model() -> None:
    here = Path(__file__)
    text = (ROOT / "SECURITY.md").read_text()
    mine = [
        f"{here.parent.name}/{file.name}::{line.partition('def ')[2].partition('(')[0]}"
        for file in here.parent.glob("test_security*.py")
        for line in file.read_text().splitlines()
        if line.startswith("def test_") and "threat_model" not in line
    ]
    assert len(mine) > 15
    assert [name for name in mine if f"`{name}`" not in text] == []
