"""The sandbox's site, asked through a client that counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from civitai_skill import Civitai
from civitai_skill.api.drivers import drive
from civitai_skill.api.service import Flow
from civitai_skill.resources.site import A_DAY, ModelSite
from civitai_skill.sandbox import SandboxTransport
from civitai_skill.storage.cache import Cache
from tests.support.sandbox import fresh_sandbox


class Counting(SandboxTransport):
    """A sandbox that keeps what its site was asked."""

    def __init__(self) -> None:
        super().__init__(fresh_sandbox(), sleep=lambda seconds: None)
        self.asked: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/api/v1"):
            self.asked.append(request.url.raw_path.decode())
        return super().handle_request(request)


class Asked:
    """A site over a sandbox of its own."""

    def __init__(self, home: Path, clock: Any = None) -> None:
        self.transport = Counting()
        self.client = Civitai(sandbox=True, home=home, transport=self.transport)
        self.cache = None if clock is None else Cache(home / "models.sqlite3", A_DAY, clock)

    def site(self) -> ModelSite:
        """A site that has asked nothing yet."""
        return ModelSite(self.client._service, self.cache)

    def run(self, flow: Flow[Any]) -> Any:
        """Run a flow; nobody waits."""
        return drive(flow, self.client._http, sleep=lambda seconds: None)
