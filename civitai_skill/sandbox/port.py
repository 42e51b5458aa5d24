"""The sandbox on a port: HTTP/1.1 by asyncio and h11, so that resets and stalls are real.

Every request is one coroutine; one that waits costs nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import socket
import struct
import sys
import traceback
from collections.abc import AsyncIterator

import h11
import httpx

from civitai_skill.errors import ConfigError, preview
from civitai_skill.sandbox.answers import problem
from civitai_skill.sandbox.service import Dropped, Sandbox
from civitai_skill.sandbox.work import Work

_CHUNK = 256 * 1024

# A target in absolute form (RFC 9112, section 3.2.2): its host counts, whatever the header says.
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.I | re.S)

# Seconds for which the rest of a body that is too large is read and thrown away, so that its sender
# can hear why.
_LINGER = 10.0

# Works that run at once, each in a thread: drawing a large picture takes some hundred megabytes.
_AT_ONCE = 2

_BACKLOG = 2048


def serve(sandbox: Sandbox, host: str = "127.0.0.1", port: int = 8787) -> None:
    """Serve until SIGINT or SIGTERM; prints one line when ready. Port 0 takes a free one.

    Raises ConfigError where the address can't be taken.
    """
    asyncio.run(_until_stopped(sandbox, host, port))


async def _until_stopped(sandbox: Sandbox, host: str, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Where the platform has no handlers, the interrupt itself ends the run.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    async with listening(sandbox, host, port) as address:
        print(f"The sandbox is ready on {address} (stop it with Ctrl-C).", flush=True)
        await stop.wait()


@contextlib.asynccontextmanager
async def listening(sandbox: Sandbox, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve inside a running event loop; gives the address. Raises ConfigError."""
    tasks: set[asyncio.Task[None]] = set()
    turn = asyncio.Semaphore(_AT_ONCE)

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(sandbox, turn, reader, writer)
        task = asyncio.get_running_loop().create_task(connection.run())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    try:
        server = await asyncio.start_server(connected, host, port, backlog=_BACKLOG)
    except (OSError, OverflowError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a usable address"
        raise ConfigError(
            f"The address {preview(f'{host}:{port}')} can't be taken: {why}.",
            hint="Choose another with --port N (0 takes a free one).",
        ) from None
    try:
        name, number = server.sockets[0].getsockname()[:2]
        yield f"http://{f'[{name}]' if ':' in name else name}:{number}"
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


class _Gone(Exception):
    """The client hung up."""


class _Refused(Exception):
    """A request that is answered before it has been read to its end."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.response = problem(status, detail)


class _Connection:
    """One connection: requests one after another."""

    def __init__(
        self,
        sandbox: Sandbox,
        turn: asyncio.Semaphore,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._sandbox = sandbox
        self._turn = turn
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)
        self._method = ""

    async def run(self) -> None:
        """Answer until either side closes."""
        try:
            while await self._one():
                self._http.start_next_cycle()
        except (OSError, _Gone, h11.ProtocolError):
            pass  # the client is gone, or does not speak HTTP
        finally:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    async def _one(self) -> bool:
        """Answer one request; False when the connection is over."""
        try:
            request = await self._request()
        except _Refused as refused:
            await self._refuse(refused.response)
            return False
        if request is None:
            return False
        try:
            response = await self._answer(request)
        except Dropped:
            self._reset()
            return False
        except _Gone:
            raise
        except Exception:  # a defect of the sandbox: say so, and go on serving
            traceback.print_exc(file=sys.stderr)
            response = problem(500, "The sandbox failed; see its standard error.")
        return await self._respond(response)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        answer = self._sandbox.handle(request)
        try:
            while True:
                step = next(answer)
                if isinstance(step, Work):
                    async with self._turn:
                        await asyncio.to_thread(step.run)
                else:
                    await asyncio.sleep(step)
                if self._reader.at_eof():
                    raise _Gone
        except StopIteration as done:
            response: httpx.Response = done.value
            return response

    async def _request(self) -> httpx.Request | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    await self._send(h11.InformationalResponse(status_code=100, headers=[]))
                self._http.receive_data(await self._reader.read(_CHUNK))
            elif isinstance(event, h11.Request):
                head = event
                self._method = head.method.decode("ascii")
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > self._sandbox.largest_body:
                    raise _Refused(413, "The body is too large.")
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return _as_httpx(head, bytes(body))
            else:
                return None

    async def _refuse(self, response: httpx.Response) -> None:
        """Answer at once, and go on reading for a while: closing on what was not read would break
        the connection before the answer is."""
        response.headers["Connection"] = "close"
        await self._respond(response)
        if self._writer.can_write_eof():
            self._writer.write_eof()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER):
                while await self._reader.read(_CHUNK):
                    pass

    async def _respond(self, response: httpx.Response) -> bool:
        headers = list(response.headers.raw)
        whole = isinstance(response.stream, httpx.ByteStream)
        no_body = self._method == "HEAD" or response.status_code in (204, 304)
        if whole and not no_body and "content-length" not in response.headers:
            headers.append((b"Content-Length", str(len(response.content)).encode()))
        await self._send(h11.Response(status_code=response.status_code, headers=headers))
        if not no_body:
            try:
                if whole:
                    await self._send(h11.Data(data=response.content))
                else:
                    async for chunk in response.aiter_raw():
                        await self._send(h11.Data(data=chunk))
            except httpx.RemoteProtocolError:
                return False  # a body that breaks off: closed in the middle
        await self._send(h11.EndOfMessage())
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            self._writer.write(data)
            await self._writer.drain()

    def _reset(self) -> None:
        """Break the connection with a reset, not a farewell."""
        plain = self._writer.get_extra_info("socket")
        if plain is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


def _as_httpx(head: h11.Request, body: bytes) -> httpx.Request:
    headers = list(head.headers)
    host = next((value for name, value in headers if name == b"host"), b"127.0.0.1")
    absolute = _ABSOLUTE.fullmatch(head.target)
    host, path = absolute.groups() if absolute else (host, head.target)
    if not path.startswith(b"/"):
        if not absolute:
            raise _Refused(400, "The request's target is neither a path nor an address.")
        path = b"/" + path
    try:
        url = httpx.URL(f"http://{host.decode('latin-1')}{path.decode('latin-1')}")
        url.netloc.decode("ascii")
        return httpx.Request(head.method.decode("ascii"), url, headers=headers, content=body)
    except (httpx.InvalidURL, UnicodeError):
        raise _Refused(400, "The request's address can't be read.") from None
