"""Work that takes a while: named by the decisions, done by whoever drives them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

import httpx

T = TypeVar("T")


class Work(Generic[T]):
    """Something to run where it holds nobody up; `result` is there afterwards."""

    def __init__(self, job: Callable[[], T]) -> None:
        self._job = job
        self.result: T

    def run(self) -> None:
        """Do it."""
        self.result = self._job()


#: What a request yields until its response is there: seconds to sleep, or work to run.
Step = float | Work[Any]
Answer = Generator[Step, None, httpx.Response]


def done(job: Callable[[], T]) -> Generator[Work[T], None, T]:
    """Let the driver do this; gives what came of it."""
    work = Work(job)
    yield work
    return work.result
