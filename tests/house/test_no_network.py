"""The tests' own guard: nothing leaves this machine."""

from __future__ import annotations

import os
import socket

import httpx
import pytest


def test_a_connection_to_another_machine_is_refused() -> None:
    with (
        socket.socket() as sock,
        pytest.raises(AssertionError, match="no network in tests"),
    ):
        sock.connect(("192.0.2.1", 80))


def test_a_name_of_another_machine_is_not_looked_up() -> None:
    with pytest.raises(AssertionError, match="no network in tests"):
        httpx.get("https://example.com/")


def test_this_machine_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        with socket.create_connection((host, port)) as client:
            assert client.getpeername() == (host, port)


def test_no_setting_of_the_user_reaches_a_test() -> None:
    ours = {name for name in os.environ if name.startswith("CIVITAI_")}
    assert ours - {"CIVITAI_OPENAPI"} == {"CIVITAI_SKILL_HOME"}
