"""A command's two streams, which may break under it.

Words on standard error may be lost: nobody listens, and the work goes on. An answer on standard
output must not be lost unnoticed.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from civitai_skill.errors import AnswerLost


@contextmanager
def wrap_streams() -> Iterator[None]:
    """Put a Words and an Answers in the place of the two streams."""
    real = sys.stdin, sys.stdout, sys.stderr
    # Closed before the start, a stream is None: nothing could read it, and print chooses another.
    sys.stdin = sys.stdin or io.TextIOWrapper(io.BytesIO())
    sys.stdout, sys.stderr = (
        cast(TextIO, AnswerStream(real[1])),
        cast(TextIO, MessageStream(real[2])),
    )
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = real


def ignore_lost_answers() -> None:
    """From here on standard output only says where a server is: losing that ends nothing."""
    if isinstance(sys.stdout, AnswerStream):
        sys.stdout = cast(TextIO, MessageStream(sys.stdout.real))


class _Stream:
    def __init__(self, real: TextIO | None) -> None:
        self.real = real or io.TextIOWrapper(io.BytesIO())
        self._why = "" if real is not None else "it is closed"
        if isinstance(real, io.TextIOWrapper):
            real.reconfigure(errors="replace")  # a letter that it lacks must not cost the rest

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def isatty(self) -> bool:
        try:
            return self.real.isatty()
        except ValueError:
            return False  # it was closed

    def write(self, text: str) -> int:
        self._try(lambda: self.real.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self.real.flush)

    def _try(self, act: Callable[[], Any]) -> None:
        if not self._why:
            try:
                act()
            except (OSError, ValueError) as error:
                self._why = getattr(error, "strerror", None) or "it is closed"
                self._redirect_to_null()
        self._on_broken()

    def _redirect_to_null(self) -> None:
        """What is still in the buffer would be tried again at the very end, with a complaint."""
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.real.fileno())
            os.close(nowhere)

    def _on_broken(self) -> None:
        """What a broken stream means for the command."""


class MessageStream(_Stream):
    """Standard error. Writing to it never fails."""


class AnswerStream(_Stream):
    """Standard output. Raises AnswerLost once it is broken."""

    def _on_broken(self) -> None:
        if self._why:
            raise AnswerLost(self._why)
