"""A server of plain sockets on this machine: it answers with bytes that no library would send."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

#: Gets the connection and the request's head (with what came after it).
Answer = Callable[[socket.socket, bytes], None]


@dataclass
class RawServer:
    """Where it listens, and the heads that it was sent, in order."""

    port: int
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def read_head(connection: socket.socket) -> bytes:
    """Everything up to the empty line; b"" where the other side hung up."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return b""
        data += more
    return data


@contextlib.contextmanager
def serve(
    answer: Answer, *, tls: ssl.SSLContext | None = None, raw: bool = False
) -> Iterator[RawServer]:
    """Serve in threads until the block ends; `raw` leaves the reading to `answer` as well."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = RawServer(listener.getsockname()[1])
    open_ones: list[socket.socket] = []

    def one(connection: socket.socket) -> None:
        # Whatever the client hangs up on is no fault of the server's.
        with contextlib.suppress(OSError), connection:
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
            if raw:
                answer(connection, b"")
                return
            while head := read_head(connection):
                server.heads.append(head)
                answer(connection, head)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            server.connections += 1
            open_ones.append(connection)
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in open_ones:
            with contextlib.suppress(OSError):
                connection.close()


def json_answer(text: str = "{}", status: str = "200 OK", *headers: str) -> bytes:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json",
             f"Content-Length: {len(text)}", *headers]  # fmt: skip
    return ("\r\n".join(lines) + "\r\n\r\n" + text).encode()
