"""The tree of errors, as values."""

import copy
import pickle

import pytest

from civitai_skill import errors
from civitai_skill.errors.next_steps import Allow, Look


@pytest.mark.parametrize(
    "error",
    [
        errors.RequestInvalid(errors.Problem("size", 1, "2", 2, "why"), engine="flux2"),
        errors.BudgetUsedUp("dear", price=3, limit=2, fits="one", next=[Allow(3)]),
        errors.ServerError("down", status=503, reasons=("a",), key="k", spent="unknown"),
        errors.StillRunning("slow", next=[Look("w")]),
        errors.Stopping(spent="unknown"),
        errors.AnswerLost("full"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_pickled_and_copied_with_all_that_it_carries(
    error: errors.CivitaiError,
) -> None:
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is type(error)
        assert (vars(other), other.args, str(other)) == (vars(error), error.args, str(error))
