"""What is counted, in Prometheus' text form."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from civitai_skill.errors import (
    CivitaiError,
    Forbidden,
    RateLimited,
    ServerError,
    TransportFailed,
    Unauthorized,
)
from civitai_skill.servers.http import App, Message, Receive, Send

#: What is no caller's doing. The key is the server's own.
_UPSTREAM = TransportFailed | ServerError | RateLimited | Unauthorized | Forbidden

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 90)


class Metrics:
    """Requests and their seconds, upstream errors, Buzz. `spent` gives the Buzz."""

    def __init__(self, spent: Callable[[], float]) -> None:
        self.registry = own = CollectorRegistry()
        told = "Requests by operation and status."
        names = ("operation", "status")
        self._requests = Counter("civitai_rest_requests", told, names, registry=own)
        told = "Seconds until an answer was sent."
        self._seconds = Histogram(
            "civitai_rest_request_seconds", told, ("operation",), buckets=_SECONDS, registry=own
        )
        told = "Requests that failed because of the service or the way to it."
        self._upstream = Counter("civitai_rest_upstream_errors", told, ("code",), registry=own)
        told = "Buzz reserved and spent by this server since it started."
        Gauge("civitai_rest_buzz_spent", told, registry=own).set_function(spent)

    def count_error(self, error: CivitaiError) -> None:
        """Count an error, where it is the service's."""
        if isinstance(error, _UPSTREAM):
            self._upstream.labels(error.code).inc()

    def wrap(self, app: App) -> App:
        """The same application, counted."""

        async def counted(scope: Message, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            started, status = time.perf_counter(), 500

            async def watched(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            try:
                await app(scope, receive, watched)
            finally:
                name = getattr(scope.get("route"), "operation_id", None) or "none"
                self._requests.labels(name, str(status)).inc()
                self._seconds.labels(name).observe(time.perf_counter() - started)

        return counted
