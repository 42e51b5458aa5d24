"""A command's two streams, which may break under it.

Words on standard error may be lost: nobody listens, and the work goes on. An answer on standard
output must not be lost unnoticed.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, cast

from civitai_skill.errors import AnswerLost


@contextmanager
def wrap_streams() -> Iterator[None]:
    """Put a Stream in the place of each of the two."""
    real = sys.stdin, sys.stdout, sys.stderr
    # Closed before the start, a stream is None: nothing could read it, and print chooses another.
    sys.stdin = sys.stdin or io.TextIOWrapper(io.BytesIO())
    sys.stdout = cast(TextIO, Stream(real[1], answers=True))
    sys.stderr = cast(TextIO, Stream(real[2], answers=False))
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = real


def ignore_lost_answers() -> None:
    """From here on standard output only says where a server is: losing that ends nothing."""
    if isinstance(sys.stdout, Stream):
        sys.stdout.answers = False


class Stream:
    """A stream whose writing never fails; with `answers` it raises AnswerLost once it is broken."""

    def __init__(self, real: TextIO | None, *, answers: bool) -> None:
        self._real = real or io.TextIOWrapper(io.BytesIO())
        self._why = "" if real is not None else "it is closed"
        self.answers = answers
        if isinstance(real, io.TextIOWrapper):
            real.reconfigure(errors="replace")  # a letter that it lacks must not cost the rest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def isatty(self) -> bool:
        return not self._real.closed and self._real.isatty()

    def write(self, text: str) -> int:
        self._try(self._real.write, text)
        return len(text)

    def flush(self) -> None:
        self._try(self._real.flush)

    def _try(self, act: Callable[..., Any], *given: str) -> None:
        if not self._why:
            try:
                act(*given)
            except (OSError, ValueError) as error:
                self._why = getattr(error, "strerror", None) or "it is closed"
                # What is still in the buffer would be tried, and complained about, at the very end.
                with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
                    os.dup2(nowhere.fileno(), self._real.fileno())
        if self._why and self.answers:
            raise AnswerLost(self._why)


# -- what is written into them ---------------------------------------------------------------------
def to_json(data: Any) -> str:
    """JSON in which only printable characters stand as they are."""
    as_utf8 = str(sys.stdout.encoding).lower().replace("-", "").startswith("utf")
    text = json.dumps(data, ensure_ascii=not as_utf8, indent=2)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def to_printable(text: str) -> str:
    """Foreign text must not move the cursor or colour the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
