"""Which row goes next. Each moderated prompt counts against the account, so none is sent twice:
one row of a prompt goes first, and the others follow once its workflow ended without moderation.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from functools import partial

import anyio

from civitai_skill.api.models import is_moderation
from civitai_skill.batch.states import Line
from civitai_skill.errors import BadRequest, CivitaiError, Forbidden, WorkflowFailed


class NotSent(CivitaiError):
    """A row is not sent; the text says why."""


class PromptModerated(NotSent):
    """The same prompt was stopped by moderation before."""


@dataclass
class RowQueue:
    """Hand out the rows of a batch in an order that sends no moderated prompt twice: what is
    `bought` already before what is `new`."""

    bought: deque[Line] = field(default_factory=deque)
    new: deque[Line] = field(default_factory=deque)
    _waiting: defaultdict[str, list[Line]] = field(default_factory=partial(defaultdict, list))
    _trying: Counter[str] = field(default_factory=Counter)
    _passed: set[str] = field(default_factory=set)
    _banned: dict[str, str] = field(default_factory=dict)
    _unsure: set[str] = field(default_factory=set)
    # Prompts of which something was learned since rows were handed out.
    _learned: list[str] = field(default_factory=list)
    _news: anyio.Event = field(default_factory=anyio.Event)

    async def next(self) -> Line | None:
        """The next row to make; None when there are no more."""
        while True:
            while self._learned:
                self.new.extendleft(reversed(self._waiting.pop(self._learned.pop(), [])))
            line = self.bought.popleft() if self.bought else None
            while line is None and self.new:
                row, state = self.new.popleft()
                prompt = row.request.prompt
                settled = prompt in self._passed or prompt in self._banned
                if settled or not self._trying[prompt]:
                    line = row, state
                else:
                    self._waiting[prompt].append((row, state))
            if line is not None:
                self._trying[line[0].request.prompt] += 1
                return line
            if not self._waiting:
                return None
            if self._news.is_set():
                self._news = anyio.Event()
            await self._news.wait()

    # -- what is learned of a prompt -------------------------------------------------------------
    def mark_passed(self, prompt: str) -> None:
        """A workflow with it ended, and moderation did not stop it."""
        self._passed.add(prompt)
        self._learned.append(prompt)
        self._news.set()

    def mark_banned(self, prompt: str, reason: str) -> None:
        """Moderation stopped it."""
        self._banned.setdefault(prompt, reason)
        self._learned.append(prompt)
        self._news.set()

    def mark_ended(self, prompt: str, *, unsure: bool) -> None:
        """A row that was given out has its result; `unsure` says that its workflow has no end yet,
        or that nobody knows whether there is one."""
        self._trying[prompt] -= 1
        if unsure:
            self._unsure.add(prompt)
        if not self._trying[prompt]:
            del self._trying[prompt]
            self._learned.append(prompt)
            self._news.set()

    def check_prompt(self, prompt: str) -> None:
        """Raises NotSent where a prompt must not be sent now."""
        if prompt in self._banned:
            reason = self._banned[prompt]
            raise PromptModerated(f"not sent: the same prompt was stopped by moderation ({reason})")
        if prompt in self._unsure and prompt not in self._passed:
            raise NotSent(
                "not sent: what becomes of another row with the same prompt is not known yet; "
                "the same batch again goes on"
            )


def moderation_reason(error: CivitaiError) -> str | None:
    """The reason, where an error says that moderation stopped it."""
    if isinstance(error, BadRequest | Forbidden) and is_moderation(*error.reasons):
        return "; ".join(error.reasons)
    if isinstance(error, WorkflowFailed) and getattr(error.workflow, "moderated", False):
        return "; ".join(error.reasons) or error.message
    return None
