"""Ctrl-C, SIGTERM and SIGHUP: the first one ends the command, and its ending is told in peace."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

#: What each ending is called; Windows has no SIGHUP.
_NAMES = {2: "Interrupted", 15: "Ended by SIGTERM", 1: "Ended by SIGHUP"}

#: Seconds; a signal after that many ends what the first one could not.
_PATIENCE = 3.0
_LAST_WORDS = b"civitai-skill: Ended at once. What was bought goes on: civitai-skill history\n"


class Interrupts:
    """The signals that end a command. Only the first is heard, as a KeyboardInterrupt.

    While they are held, a signal waits.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.held = True
        self._cancel: Callable[[], object] | None = None
        self._since = 0.0
        self._before: dict[int, Any] = {}

    def catch(self) -> None:
        """Hear the signals of this process, held at first; what is ignored stays ignored."""
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._hear)

    def leave(self) -> None:
        """Leave the signals to a server, which ends by itself."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def hold(self) -> None:
        """Let nothing come between from here on."""
        self.held = True

    def release(self) -> None:
        """Hear what was held, too. Raises KeyboardInterrupt."""
        self.held = False
        if self.number is not None:
            raise KeyboardInterrupt

    @contextmanager
    def canceling(self) -> Iterator[None]:
        """Let a signal cancel the running task of an event loop, where an exception would break
        whatever the loop is at."""
        import asyncio

        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None, "a loop runs tasks"

        def cancel() -> None:
            task.cancel()
            loop.call_soon_threadsafe(lambda: None)  # wakes it

        self._cancel = cancel
        if self.number is not None:
            cancel()
        try:
            yield
        finally:
            self._cancel = None

    @property
    def exit_code(self) -> int:
        return 128 + (self.number or signal.SIGINT)

    @property
    def name(self) -> str:
        """The ending in words."""
        return _NAMES[self.number or signal.SIGINT]

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            if time.monotonic() - self._since > _PATIENCE:
                os.write(2, _LAST_WORDS)
                os._exit(self.exit_code)
            return
        self.number, self._since = number, time.monotonic()
        if self._cancel is not None:
            self._cancel()
        elif not self.held:
            raise KeyboardInterrupt
