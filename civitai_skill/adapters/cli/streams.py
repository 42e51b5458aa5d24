"""The two streams of a command, when whoever reads them has gone or the disk is full.

What is said on the way never breaks the work; an answer that can't be given is an ending of its
own.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TextIO


class Unheard(Exception):
    """The answer could not be written to standard output."""


def aside(text: str, end: str = "\n") -> None:
    """Write to standard error; unheard where nobody listens."""
    if sys.stderr is not None:
        _whispered(sys.stderr, text + end)


def told(text: str, end: str = "\n") -> None:
    """Write to standard output. Raises Unheard."""
    if sys.stdout is None:
        raise Unheard("it is closed")
    try:
        _written(sys.stdout, text + end)
    except (OSError, ValueError) as error:
        _silenced(sys.stdout)
        raise Unheard(getattr(error, "strerror", None) or "it is closed") from None


def is_terminal(stream: TextIO | None) -> bool:
    """Does a person look at it?"""
    return stream is not None and stream.isatty()


class Aside(io.TextIOBase):
    """Standard error, as it is now, as a file that never fails."""

    def __init__(self) -> None:
        self._stream = sys.stderr

    def write(self, text: str) -> int:
        _whispered(self._stream, text)
        return len(text)

    def isatty(self) -> bool:
        return is_terminal(self._stream)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._stream, "encoding", None) or "utf-8"


def _whispered(stream: TextIO, text: str) -> None:
    try:
        _written(stream, text)
    except (OSError, ValueError):
        _silenced(stream)


def _written(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "replace").decode(encoding))
    stream.flush()


def _silenced(stream: TextIO) -> None:
    """Let what is left in a broken stream go nowhere, so that the end of the process does not
    stumble over it."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
