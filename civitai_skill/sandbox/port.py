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
from dataclasses import dataclass, field

import h11
import httpx

from civitai_skill.sandbox.service import Dropped, Sandbox
from civitai_skill.sandbox.wire import Abort, problem, with_end

_CHUNK = 256 * 1024

# A target in absolute form (RFC 9112, section 3.2.2): its host counts, whatever the header says.
_ABSOLUTE = re.compile(r"https?://", re.I)

# Seconds for which the rest of too large a body is thrown away, so that its sender can hear why.
_LINGER = 10.0
# Works that run at once, each in a thread: drawing a large picture takes some hundred megabytes.
_AT_ONCE = 2
_BACKLOG = 2048


def serve(sandbox: Sandbox, listener: socket.socket, ready: str) -> None:
    """Serve on a listening socket until SIGINT or SIGTERM; prints `ready` when it is."""

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            # Where the platform has no handlers, the interrupt itself ends the run.
            with contextlib.suppress(NotImplementedError):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with listening(sandbox, listener):
            print(ready, flush=True)
            await stop.wait()

    asyncio.run(run())


@contextlib.asynccontextmanager
async def listening(sandbox: Sandbox, listener: socket.socket | None = None) -> AsyncIterator[str]:
    """Serve inside a running event loop, on loopback without a `listener`; gives the address."""
    tasks: set[asyncio.Task[None]] = set()
    turn = asyncio.Semaphore(_AT_ONCE)

    def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_Connection(sandbox, turn, reader, writer).run())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = listener or socket.create_server(("127.0.0.1", 0))
    server = await asyncio.start_server(connect, sock=listener, backlog=_BACKLOG)
    try:
        yield "http://{}:{}".format(*listener.getsockname()[:2])
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


@dataclass
class _Connection:
    """One connection: requests one after another. `turn` is for works that take memory."""

    sandbox: Sandbox
    turn: asyncio.Semaphore
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    http: h11.Connection = field(default_factory=lambda: h11.Connection(h11.SERVER))
    method: str = ""

    async def run(self) -> None:
        try:
            while await self._answer_one():
                self.http.start_next_cycle()
        except (OSError, h11.ProtocolError):
            pass  # the client is gone, or does not speak HTTP
        finally:
            self.writer.close()
            with contextlib.suppress(OSError):
                await self.writer.wait_closed()

    async def _answer_one(self) -> bool:
        """Answer one request; False when the connection is over."""
        try:
            request = await self._receive()
            response = None if request is None else await self._handle(request)
        except Abort as abort:
            await self._refuse(abort.response)
            return False
        except Dropped:  # broken with a reset, not a farewell
            plain, linger = self.writer.get_extra_info("socket"), struct.pack("ii", 1, 0)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.writer.transport.abort()
            return False
        return response is not None and await self._send_response(response)

    async def _receive(self) -> httpx.Request | None:
        """The next request, None where the client has ended. Raises Abort."""
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self.http.next_event()
            if event is h11.NEED_DATA:
                if self.http.they_are_waiting_for_100_continue:
                    await self._send(h11.InformationalResponse(status_code=100, headers=[]))
                self.http.receive_data(await self.reader.read(_CHUNK))
            elif isinstance(event, h11.Request):
                head = event
                self.method = head.method.decode("ascii")
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > self.sandbox.largest_body:
                    raise Abort(problem(413, "The body is too large."))
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return _as_httpx(head, bytes(body))
            else:
                return None

    async def _handle(self, request: httpx.Request) -> httpx.Response | None:
        """The sandbox's response; None where the client hung up meanwhile. Raises Dropped."""
        try:
            for step in with_end(self.sandbox.handle(request)):
                if isinstance(step, httpx.Response):
                    return step
                if callable(step):
                    async with self.turn:
                        await asyncio.to_thread(step)
                else:
                    await asyncio.sleep(step)
                if self.reader.at_eof():
                    break
        except Dropped:
            raise
        except Exception:  # a defect of the sandbox: say so, and go on serving
            traceback.print_exc(file=sys.stderr)
            return problem(500, "The sandbox failed; see its standard error.")
        return None

    async def _refuse(self, response: httpx.Response) -> None:
        """Answer at once, and read on for a while: closing now would break the answer off too."""
        response.headers["Connection"] = "close"
        await self._send_response(response)
        self.writer.write_eof()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER):
                while await self.reader.read(_CHUNK):
                    pass

    async def _send_response(self, response: httpx.Response) -> bool:
        """Send it; False when the connection is over."""
        headers, body = list(response.headers.raw), response.stream
        has_body = self.method != "HEAD" and response.status_code not in (204, 304)
        if has_body and isinstance(body, httpx.ByteStream) and not response.content:
            headers.append((b"Content-Length", b"0"))
        await self._send(h11.Response(status_code=response.status_code, headers=headers))
        if has_body and isinstance(body, httpx.AsyncByteStream):
            try:
                async for chunk in body:
                    await self._send(h11.Data(data=chunk))
            except httpx.RemoteProtocolError:
                return False  # a body that breaks off: closed in the middle
        await self._send(h11.EndOfMessage())
        return self.http.our_state is h11.DONE and self.http.their_state is h11.DONE

    async def _send(self, event: h11.Event) -> None:
        data = self.http.send(event)
        if data:
            self.writer.write(data)
            await self.writer.drain()


def _as_httpx(head: h11.Request, body: bytes) -> httpx.Request:
    headers, target = httpx.Headers(list(head.headers)), head.target.decode("latin-1")
    if not _ABSOLUTE.match(target):
        if not target.startswith("/"):
            raise Abort(problem(400, "The request's target is neither a path nor an address."))
        target = f"http://{headers.get('Host', '127.0.0.1')}{target}"
    try:
        url = httpx.URL(target)
        url.netloc.decode("ascii")
        return httpx.Request(head.method.decode("ascii"), url, headers=headers, content=body)
    except (httpx.InvalidURL, UnicodeError):
        raise Abort(problem(400, "The request's address can't be read.")) from None
