"""The REST interface held against its own OpenAPI document, by schemathesis over a port."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

from tests.support.thorough import cases as share

EXAMPLES = share(150)

#: A schema can say what a request looks like, not what each engine takes or what a price may be, so
#: a request that fits it may still be refused.
LEFT_OUT = ("positive_data_acceptance",)

#: What takes nothing, or any text, can't be asked in a form that its schema forbids.
NEVER_WRONG = {
    "GET /engines", "GET /engines/{name}", "GET /health/live", "GET /health/ready", "GET /metrics",
}  # fmt: skip


@pytest.fixture(scope="module")
def own_document(start: Callable[..., Any]) -> Any:
    """The document of a server in a process of its own."""
    address = start("rest", "--max-buzz", "5").address
    document = schemathesis.openapi.from_url(f"{address}/openapi.json")
    # A request that is drawn with a Host of its own is misdirected (421): that is a refusal, too.
    rejected = document.config.checks.negative_data_rejection
    rejected.expected_statuses = [*rejected.expected_statuses, "421"]
    return document


@pytest.mark.slow
def test_every_answer_is_as_documented_and_none_is_a_crash(own_document: Any) -> None:
    left_out = [CHECKS.get_one(name) for name in LEFT_OUT]
    cases: Counter[str] = Counter()
    statuses: Counter[int] = Counter()

    def hold(operation: Any, mode: GenerationMode) -> None:
        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        def answers(case: Any) -> None:
            answer = case.call_and_validate(excluded_checks=left_out)
            cases[operation.label] += 1
            statuses[answer.status_code] += 1

        answers()

    operations = [found.ok() for found in own_document.get_all_operations()]
    for operation in operations:
        hold(operation, GenerationMode.POSITIVE)
        if operation.label not in NEVER_WRONG:
            hold(operation, GenerationMode.NEGATIVE)
    print(f"schemathesis: {cases.total()} cases; by operation {dict(cases)}; {dict(statuses)}")
    assert len(cases) == 9
    assert {status for status in statuses if status >= 500} == set()
    assert statuses[200] > 0
    assert statuses[400] > 0
