"""The REST interface held against its own OpenAPI document, by schemathesis over a port."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS

EXAMPLES = 40

#: A schema can say what a request looks like, not what each engine takes or what a price may be, so
#: a request that fits it may still be refused.
LEFT_OUT = {"positive_data_acceptance"}


@pytest.fixture(scope="module")
def cases() -> Iterator[Counter[str]]:
    """Counts the answers by operation; says at the end how many there were."""
    seen: Counter[str] = Counter()
    yield seen
    print(f"\nschemathesis: {seen.total()} cases, {dict(seen)}")


@pytest.fixture(scope="module")
def own_document(start: Callable[..., Any]) -> Any:
    """The document of a server in a process of its own."""
    address = start("rest", "--max-buzz", "5").address
    return schemathesis.openapi.from_url(f"{address}/openapi.json")


schema = schemathesis.pytest.from_fixture("own_document")


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_documented_and_none_is_a_crash(
    case: Any, cases: Counter[str]
) -> None:
    left_out = [CHECKS.get_one(name) for name in LEFT_OUT]
    answer = case.call_and_validate(excluded_checks=left_out)
    cases[case.operation.label] += 1
    assert answer.status_code < 500
