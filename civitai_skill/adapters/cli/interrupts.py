"""Ctrl-C, SIGTERM and SIGHUP: the first one ends the command, and its ending is told in peace."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

#: What each ending is called; Windows has no SIGHUP.
_NAMES = {2: "Interrupted", 15: "Ended by SIGTERM", 1: "Ended by SIGHUP"}

#: Seconds; a signal after that many ends what the first one could not.
_PATIENCE = 3.0
#: Seconds until a signal is heard again that a callback has swallowed.
_SHORTLY = 0.01
_LAST_WORDS = b"civitai-skill: Ended at once. What was bought goes on: civitai-skill history\n"


class Interrupted(KeyboardInterrupt):
    """A signal. Where a plain KeyboardInterrupt went through an eval or exec of text, Python ends
    itself by SIGINT at its end, although it was handled."""


class Interrupts:
    """The signals that end a command. Only the first is heard, as Interrupted.

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
        sys.unraisablehook = self._hear_again

    def leave(self) -> None:
        """Leave the signals to a server, which ends by itself."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
        sys.unraisablehook = sys.__unraisablehook__

    def ignore(self) -> None:
        """Let no signal change how the process ends, once all is told."""
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def hold(self) -> None:
        """Let nothing come between from here on."""
        self.held = True

    def release(self) -> None:
        """Hear what was held, too. Raises Interrupted."""
        self.held = False
        if self.number is not None:
            raise Interrupted

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

    def _hear_again(self, lost: Any) -> None:
        """Raise once more what Python could only have complained about, as in a callback."""
        if lost.exc_type is not Interrupted:
            sys.__unraisablehook__(lost)
            return
        import threading

        again = signal.raise_signal if os.name == "nt" else partial(os.kill, os.getpid())
        threading.Timer(_SHORTLY, again, (self.number,)).start()
        self.number = None

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
            raise Interrupted
