"""The way to the service: proxies, certificates, a deadline that holds, a log without addresses."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import ssl
import struct
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from civitai_skill import AsyncCivitai, Civitai
from civitai_skill.adapters.cli import main
from civitai_skill.api.connections import AsyncTransport, SyncTransport
from civitai_skill.api.proxies import make_ssl_context, read_network
from civitai_skill.api.send import asend, send
from civitai_skill.api.service import Retry, Service
from civitai_skill.config import Secret
from civitai_skill.errors import ConfigError, TransportFailed
from tests.support import paths
from tests.support.raw_server import json_answer, serve

RETRY = Retry(tries=3, first=0.0, cap=0.0)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.lower().endswith("_proxy") or name.startswith("SSL"):
            monkeypatch.delenv(name)


def ok(connection: socket.socket, head: bytes) -> None:
    connection.sendall(json_answer('{"items": []}'))


# -- variables that are wrong ----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ALL_PROXY", "socks4://127.0.0.1:1", "SOCKS4"),
        ("HTTP_PROXY", "htp://127.0.0.1:1", "no proxy's address"),
        ("https_proxy", "http://a:b:c", "no proxy's address"),
        ("HTTPS_PROXY", "http://", "no proxy's address"),
        ("HTTPS_PROXY", "http://me:s3cret@host:99999", "no proxy's address"),
        ("ALL_PROXY", "\x01", "no proxy's address"),
        ("NO_PROXY", "localhost,example.com:https", "no host"),
        ("SSL_CERT_FILE", "/nowhere.pem", "there is none"),
        ("SSL_CERT_FILE", paths.__file__, "can't be used"),
        ("SSL_CERT_DIR", "/nowhere", "there is none"),
        ("SSLKEYLOGFILE", "/nowhere/keys", "No such file"),
    ],
)
def test_a_variable_that_is_wrong_is_named(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    for client in (Civitai, AsyncCivitai):
        with pytest.raises(ConfigError, match=words) as caught:
            client("key", ledger=False)
        assert caught.value.message.startswith(name)
        assert "s3cret" not in caught.value.message


@pytest.mark.parametrize("words", [["doctor"], ["estimate", "a fox"], ["rest", "--port", "0"],
                                   ["mcp", "--http", "--port", "0"]])  # fmt: skip
def test_every_command_that_needs_the_network_ends_with_exit_3(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CIVITAI_API_KEY", "abcdef123456")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    assert main(words) == 3
    err = capsys.readouterr().err
    assert "SSL_CERT_FILE is '/nowhere.pem'" in err
    assert "Traceback" not in err


def test_the_sandbox_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "nonsense://x")
    with Civitai(sandbox=True, ledger=False) as client:
        assert client.health().reachable


# -- which proxy -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("direct", "url", "through"),
    [
        ("", "https://a.example/", True),
        ("*", "https://a.example/", False),
        ("example.com", "https://example.com/", False),
        ("example.com", "https://www.example.com/", False),
        ("example.com", "https://notexample.com/", True),
        (".example.com", "https://www.example.com/", False),
        ("*.example.com:8080", "https://www.example.com:8080/", False),
        ("*.example.com:8080", "https://www.example.com/", True),
        ("example.com:443", "https://example.com/", False),
        ("[::1]", "http://[::1]:80/", False),
        ("::1/128", "http://[::1]:80/", False),
        ("[::1]:81", "http://[::1]:80/", True),
        ("10.0.0.0/8, localhost", "http://10.2.3.4/", False),
        ("10.0.0.0/8 localhost", "http://localhost:7/", False),
        ("10.0.0.0/8", "http://11.2.3.4/", True),
        ("127.0.0.1", "http://127.0.0.1:9/", False),
    ],
)
def test_no_proxy_is_read_as_people_write_it(direct: str, url: str, through: bool) -> None:
    network = read_network({"ALL_PROXY": "socks://localhost:1", "NO_PROXY": direct})
    proxy = network.proxy_for(httpx.URL(url))
    assert (proxy is not None) == through
    assert proxy is None or proxy.url == "socks5://localhost:1"


def test_a_scheme_s_own_proxy_comes_first() -> None:
    network = read_network({"https_proxy": "secure:1", "HTTPS_PROXY": "b", "all_proxy": "any:2"})
    assert str(network.proxy_for(httpx.URL("https://x/"))) == (
        "the proxy http://secure:1 (https_proxy)"
    )
    assert str(network.proxy_for(httpx.URL("http://x/"))) == "the proxy http://any:2 (all_proxy)"


def socks(connection: socket.socket, head: bytes) -> None:
    """SOCKS5 without a password (RFC 1928), for one connection."""
    connection.recv(2 + 255)
    connection.sendall(b"\x05\x00")
    kind = connection.recv(4)[3]
    host = connection.recv(4) if kind == 1 else connection.recv(connection.recv(1)[0])
    name = socket.inet_ntoa(host) if kind == 1 else host.decode()
    (port,) = struct.unpack(">H", connection.recv(2))
    with socket.create_connection((name, port)) as target:
        connection.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        back = threading.Thread(target=pump, args=(target, connection), daemon=True)
        back.start()
        pump(connection, target)
        back.join()


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.mark.parametrize("scheme", ["socks", "socks5", "socks5h"])
async def test_a_socks_proxy_works(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(ok) as service, serve(socks, raw=True) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:{proxy.port}")
        with Civitai("key", base_url=service.url, ledger=False) as client:
            assert client.health().key_accepted
        async with AsyncCivitai("key", base_url=service.url, ledger=False) as client:
            assert (await client.health()).key_accepted
        assert proxy.connections == 2
        assert len(service.heads) == 4


def refuse_tunnel(connection: socket.socket, head: bytes) -> None:
    connection.sendall(json_answer("", "502 No such host"))


async def failures(given: dict[str, Any], out: Path) -> list[TransportFailed]:
    """How a purchase by each of the two clients fails."""
    with Civitai("key", **given) as client, pytest.raises(TransportFailed) as first:
        client.generate("a fox", out=out)
    async with AsyncCivitai("key", **given) as client:
        with pytest.raises(TransportFailed) as second:
            await client.generate("a fox", out=out)
    return [first.value, second.value]


async def test_a_proxy_that_fails_is_named_and_nothing_was_spent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve(refuse_tunnel) as alive:
        dead = "socks5://me:s3cret@127.0.0.1:9"
        for url, words in ((dead, "no connection could be made through the proxy"),
                           (alive.url, "made no connection (502 No such host)")):  # fmt: skip
            monkeypatch.setenv("HTTPS_PROXY", url)
            given: Any = {"retry": RETRY, "home": tmp_path, "base_url": "https://service.invalid"}
            for error in await failures(given, tmp_path / "out"):
                assert words in error.message
                assert "(HTTPS_PROXY)" in error.message
                assert "s3cret" not in error.message
                assert error.spent == "no"


def answer_nonsense(connection: socket.socket, head: bytes) -> None:
    connection.recv(100)
    connection.sendall(b"HTTP")


def agree_and_hang_up(connection: socket.socket, head: bytes) -> None:
    connection.recv(100)
    connection.sendall(b"\x05\x00")
    connection.recv(100)


@pytest.mark.parametrize("behave", [answer_nonsense, agree_and_hang_up])
async def test_what_is_no_socks_proxy_is_named_and_nothing_was_spent(
    behave: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: Any = {"retry": RETRY, "home": tmp_path, "base_url": "https://service.invalid"}
    with serve(behave, raw=True) as proxy, warnings.catch_warnings():
        # httpcore closes no connection whose SOCKS greeting failed.
        warnings.simplefilter("ignore", ResourceWarning)
        monkeypatch.setenv("ALL_PROXY", f"socks5://127.0.0.1:{proxy.port}")
        for error in await failures(given, tmp_path / "out"):
            assert "made no connection (it does not answer as a SOCKS5" in error.message
            assert "(ALL_PROXY)" in error.message
            assert error.spent == "no"
        del error
        gc.collect()


# -- certificates ----------------------------------------------------------------------------------
# Made for these tests: nobody trusts it, and nothing else uses the key.
CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg7+dFYWrCrMD2/SW6
pZqDHLYNrKsUAoftOBBT9alGyAGhRANCAATIbx2Vq9mpvw82rePB2WRihGvYVE4J
gylebQiGVHTEnxUsuLhITCLuCMCzAr9guQoNtwGGl55WcY69uP4AED31
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBmjCCAUGgAwIBAgIUPdCvGlSfRzWUjCNEbigyj/HsYYEwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyODIwNTE1N1oYDzIxMjYxMTA0
MjA1MTU3WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATIbx2Vq9mpvw82rePB2WRihGvYVE4JgylebQiGVHTEnxUsuLhITCLu
CMCzAr9guQoNtwGGl55WcY69uP4AED31o28wbTAdBgNVHQ4EFgQUhUEm5ZCZZYRR
EzH3k6TbkN7mSbEwHwYDVR0jBBgwFoAUhUEm5ZCZZYRREzH3k6TbkN7mSbEwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDRwAwRAIgD3aBU0KbWVPtLga6LqFSCoIVK8G3Xl5X7XomtYVyx0kCIAdK
9ReDyQ3gtJCMm+MwCAv2dSfR8WZd0Qfd3FAAzX1f
-----END CERTIFICATE-----
"""


async def test_a_certificate_that_is_not_accepted_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text(CERTIFICATE)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "c.pem")
    with serve(ok, tls=tls) as server:
        given: Any = {"home": tmp_path, "base_url": f"https://127.0.0.1:{server.port}"}
        with Civitai("key", **given) as client, pytest.raises(TransportFailed) as first:
            client.generate("a fox", out=tmp_path / "out")
        async with AsyncCivitai("key", **given) as client:
            with pytest.raises(TransportFailed) as second:
                await client.generate("a fox", out=tmp_path / "out")
        assert server.connections == 2
    for caught in (first, second):
        assert "after one try: the certificate of 127.0.0.1 is not accepted (self" in str(
            caught.value
        )
        assert "SSL_CERT_FILE" in caught.value.hint
        assert caught.value.spent == "no"


def test_a_network_s_own_certificate_is_trusted_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c.pem").write_text(CERTIFICATE)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "c.pem"))
    assert len(make_ssl_context().get_ca_certs()) == 1


# -- one deadline for every request ----------------------------------------------------------------
def drip(first: bytes, then: bytes) -> Callable[[socket.socket, bytes], None]:
    def answer(connection: socket.socket, head: bytes) -> None:
        connection.sendall(first)
        for _ in range(100):
            connection.sendall(then)
            time.sleep(0.05)

    return answer


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        drip(b"HTTP/1.1 200 OK\r\nX: ", b"a"),
        drip(b"", b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n"),
        drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"a"),
        drip(CHUNKED, b"1\r\na\r\n"),
        drip(CHUNKED + b"0\r\n", b"X: a\r\n"),
    ],
    ids=["headers", "103", "100", "body", "chunks", "trailers"],
)
async def test_no_request_outlasts_its_seconds_whatever_drips(answer: Any) -> None:
    with serve(answer) as server:
        service = Service(server.url, Secret("key"), "tests")

        def request() -> httpx.Request:
            made = service.request("GET", "/", read=30.0)
            made.extensions["seconds"] = 0.5
            return made

        began = time.monotonic()
        with httpx.Client(transport=SyncTransport()) as http, pytest.raises(httpx.TransportError):
            send(http, request())
        async with httpx.AsyncClient(transport=AsyncTransport()) as http:
            with pytest.raises(httpx.TransportError):
                await asend(http, request())
        assert time.monotonic() - began < 3.0


def test_a_look_comes_back_at_its_deadline_though_the_answer_drips(tmp_path: Path) -> None:
    with serve(drip(b"HTTP/1.1 200 OK\r\nX: ", b"a")) as server:
        given: Any = {"base_url": server.url, "ledger": False, "home": tmp_path}
        began = time.monotonic()
        with Civitai("key", **given) as client, pytest.raises(TimeoutError):
            client.wait("7-1", timeout=1)
        assert time.monotonic() - began < 8.0


# -- event loops -----------------------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a loop that ends leaves its sockets open
def test_a_transport_works_in_several_event_loops_one_after_the_other() -> None:
    with serve(ok) as server:
        http = httpx.AsyncClient(transport=AsyncTransport())
        for _ in range(3):
            assert asyncio.run(_get(http, server.url)) == 200
        assert server.connections == 3
        del http
        gc.collect()


async def _get(http: httpx.AsyncClient, url: str) -> int:
    return (await http.get(url)).status_code


# -- the log ---------------------------------------------------------------------------------------
def redirect(connection: socket.socket, head: bytes) -> None:
    if b"blobs/content" in head:
        ok(connection, head)
    else:
        connection.sendall(json_answer("", "301 Moved", "Location: /blobs/content/T0KEN"))


async def test_the_log_of_a_host_program_holds_no_signed_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with serve(redirect) as server:
        service = Service(server.url, Secret("key"), "tests")
        requests = [
            service.request("GET", f"{server.url}/blobs/1?sig=S1GNED", read=9, limit=99),
            service.request("GET", f"{server.url}/blobs/content/T0KEN", read=9, limit=99),
            service.request("GET", "/v2/consumer/workflows/7-1", params={"wait": 5}),
        ]
        with httpx.Client(transport=SyncTransport()) as http:
            for request in requests:
                send(http, request)
        async with httpx.AsyncClient(transport=AsyncTransport()) as http:
            for request in requests:
                await asend(http, request)
            await http.get(f"{server.url}/blobs/content/of-their-own")
    assert "S1GNED" not in caplog.text
    assert "T0KEN" not in caplog.text
    assert caplog.text.count("/v2/consumer/workflows/7-1 ") == 2
    assert "of-their-own" in caplog.text
