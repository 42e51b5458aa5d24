"""A prompt that was moderated is never sent twice: each refusal counts against the account."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from civitai_skill.errors import BadRequest, CivitaiError, Forbidden, WorkflowFailed
from civitai_skill.workflow import is_moderation


class Moderated(Exception):
    """The same prompt was stopped by moderation before."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Prompts:
    """Lets one row of each prompt go first; the others follow once the service has taken it."""

    def __init__(self) -> None:
        self._banned: dict[str, str] = {}
        self._taken: set[str] = set()
        self._first: dict[str, anyio.Lock] = {}

    def ban(self, prompt: str, reason: str) -> None:
        """Moderation stopped it."""
        self._banned.setdefault(prompt, reason)

    @asynccontextmanager
    async def turn(self, prompt: str) -> AsyncIterator[None]:
        """Send a prompt inside. Raises Moderated instead where it must not be sent again."""
        if prompt in self._taken:
            self._check(prompt)
            yield
            return
        async with self._first.setdefault(prompt, anyio.Lock()):
            self._check(prompt)
            try:
                yield
            except CivitaiError as error:
                reason = moderation(error)
                if reason is not None:
                    self.ban(prompt, reason)
                raise
            self._taken.add(prompt)
            self._first.pop(prompt, None)

    def _check(self, prompt: str) -> None:
        if prompt in self._banned:
            raise Moderated(self._banned[prompt])


def moderation(error: CivitaiError) -> str | None:
    """The reason, where an error says that moderation stopped it."""
    if isinstance(error, BadRequest | Forbidden) and is_moderation(*error.reasons):
        return "; ".join(error.reasons)
    if isinstance(error, WorkflowFailed) and getattr(error.workflow, "moderated", False):
        return "; ".join(error.reasons) or error.message
    return None
