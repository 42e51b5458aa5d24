"""What to do next, in the words of this interface: its paths, its parameters, its header."""

from __future__ import annotations

from civitai_skill.errors import (
    KEPT,
    BudgetUsedUp,
    CivitaiError,
    Forbidden,
    NotFound,
    OverBudget,
    RequestInvalid,
    Unauthorized,
)
from civitai_skill.tools.answers import strip_commands

IMAGE = "/v2/consumer/workflows/image"
KEY_HEADER = "Idempotency-Key"


def hint_for(error: CivitaiError) -> str:
    """What a caller can do about an error; empty where that is nothing."""
    if isinstance(error, BudgetUsedUp):
        return "This limit is on all requests together; max_buzz can't raise it."
    if isinstance(error, OverBudget):
        more = f"Or allow more: ?max_buzz={error.price}, as far as the server's own limit goes."
        return f"{error.fits} {'' if error.price is None else more}".strip()
    if isinstance(error, Unauthorized | Forbidden):
        return "This is about the server's own key, and its owner's to mend."
    if error.resumable:
        return (
            "The service may have taken it. Send the same request again, with the same "
            f"{KEY_HEADER} where it had one: it goes on with this purchase and can't pay twice."
        )
    if error.spent == "unknown":
        return (
            f"The service may have taken it. Look at the latest workflows (GET {IMAGE}) before "
            "sending it again, else it may be paid twice."
        )
    workflow = getattr(error, "workflow_id", None)
    if workflow is not None and isinstance(error, NotFound):  # one that was bought before
        return f"{strip_commands(error.hint)} To buy it anew, send it under another {KEY_HEADER}."
    if workflow is not None:
        return f"{KEPT} Look again: GET {IMAGE}/{workflow}"
    if isinstance(error, RequestInvalid) and error.field == "engine" and not error.engine:
        return "See GET /engines for what each one is good at."
    return strip_commands(error.hint)
