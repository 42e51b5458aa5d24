"""Everything that can go wrong, as one tree.

    CivitaiError                    what happened, what to do next, was Buzz spent      exit
    ├─ ConfigError                  no key, bad base URL, missing extra                  3
    ├─ RequestInvalid (ValueError)  refused before anything was sent                     2
    ├─ OverBudget                   the price is above what was allowed                  4
    │   └─ BudgetUsedUp             and this time above what all calls may cost          4
    ├─ TransportFailed              no usable answer came back                           7
    ├─ ApiError                     the service answered with 4xx or 5xx                 7
    │   ├─ Unauthorized 3   NotEnoughBuzz 4   Forbidden 3   NotFound 2
    │   └─ RateLimited 7    ServerError 7
    ├─ WorkflowFailed               failed, expired, canceled, blocked, or incomplete    5
    ├─ StillRunning (TimeoutError)  the caller's deadline passed; the work goes on       6
    ├─ Stopping                     a server of ours is about to end                     7
    └─ AnswerLost                   done, but the answer could not be written            8

Every error carries three things a person or a model needs: `message` (what happened), `hint`
(what to do next) and `spent` (whether Buzz was charged: "no", "yes" or "unknown"). An outside
interface renders `explanation.explain(error)` and adds nothing of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from reprlib import Repr
from typing import Any, ClassVar, Literal

Spent = Literal["no", "yes", "unknown"]


class CivitaiError(Exception):
    """The root: everything this package raises on purpose.

    Attributes: `message`, `hint` (may be empty), `spent`, and on the class `code` (a stable slug)
    and `exit_code` (of the command line).
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", spent: Spent = "no") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.spent: Spent = spent
        #: Does the same request, made again, go on with this purchase instead of buying anew?
        self.resumable = False
        #: The generation as far as it came, where pictures had been asked for.
        self.result: Any = None

    def details(self) -> dict[str, Any]:
        """The facts beside the words, ready for JSON; each class adds its own."""
        return {}

    def __str__(self) -> str:
        return self.message


class ConfigError(CivitaiError):
    """The set-up is incomplete: no key, an unusable base URL, an extra that is not installed."""

    code = "config"
    exit_code = 3


def from_clone(extra: str) -> str:
    """How to install an extra; no package index has this project yet."""
    return f"In your clone of civitai-skill: pip install '.[{extra}]'"


@dataclass(frozen=True)
class Problem:
    """One refused value: which field, what was given, what is accepted, the nearest that works."""

    field: str
    given: Any
    accepted: str
    nearest: Any = None
    why: str = ""

    def sentence(self) -> str:
        given = "" if self.given is None else f" (given {preview(self.given)})"
        parts = [f"{self.field}: {self.why or 'not accepted'}{given}."]
        if self.accepted:
            parts.append(f"Accepted: {self.accepted}.")
        if self.nearest is not None:
            parts.append(f"Nearest that works: {preview(self.nearest)}.")
        return " ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            "field": self.field,
            "given": None if self.given is None else preview(self.given),
            "accepted": self.accepted,
        }
        if self.nearest is not None:
            out["nearest"] = self.nearest
        return out


class RequestInvalid(CivitaiError, ValueError):
    """Refused before anything was sent.

    Attributes: `engine` (empty when the engine is not known yet) and `problems`; `field`, `given`,
    `accepted` and `nearest` are those of the first problem.
    """

    code = "request_invalid"
    exit_code = 2

    def __init__(self, *problems: Problem, engine: str = "", hint: str = "") -> None:
        self.problems: Sequence[Problem] = problems
        self.engine = engine
        lead = f"{engine} does not take this request. " if engine else ""
        super().__init__(lead + " ".join(p.sentence() for p in problems), hint=hint)

    @property
    def field(self) -> str:
        return self.problems[0].field

    @property
    def given(self) -> Any:
        return self.problems[0].given

    @property
    def accepted(self) -> str:
        return self.problems[0].accepted

    @property
    def nearest(self) -> Any:
        return self.problems[0].nearest

    def details(self) -> dict[str, Any]:
        return {"engine": self.engine, "problems": [p.as_dict() for p in self.problems]}


class OverBudget(CivitaiError):
    """The price is above what the caller allows. Attributes: `price` (Buzz; None: unknown), `limit`
    (Buzz), `fits` (what would fit)."""

    code = "over_budget"
    exit_code = 4

    def __init__(
        self, message: str, *, price: int | None, limit: int, fits: str = "", hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint or fits)
        self.price = price
        self.limit = limit
        self.fits = fits

    def details(self) -> dict[str, Any]:
        return {"price": self.price, "limit": self.limit}


class BudgetUsedUp(OverBudget):
    """The price is above what is left for all calls together; `limit` is what is left."""


#: What holds where a look at a workflow fails that was paid for.
KEPT = "What was bought is not lost."


class TransportFailed(CivitaiError):
    """No usable answer came back.

    Attributes: `key` is the idempotency key of a submit whose fate is unknown (then `spent` is
    "unknown"); `workflow_id` is set where the failed call was about a known workflow.
    """

    code = "transport"
    exit_code = 7

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        spent: Spent = "no",
        key: str | None = None,
        workflow_id: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, spent=spent)
        self.key = key
        self.workflow_id = workflow_id

    def details(self) -> dict[str, Any]:
        return _drop_empty(key=self.key, id=self.workflow_id)


class ApiError(CivitaiError):
    """The service answered, and the answer was an error.

    Attributes: `status` (HTTP), `reasons` (the service's own words), `fields` (those about a field,
    by its place, such as steps.0.input), `trace_id`, `key`; `workflow_id` where the failed call was
    about a known workflow.
    """

    code = "api"
    exit_code = 7

    def __init__(
        self,
        message: str,
        *,
        status: int,
        reasons: Sequence[str] = (),
        trace_id: str | None = None,
        hint: str = "",
        spent: Spent = "no",
        key: str | None = None,
        workflow_id: str | None = None,
        retry_after: float | None = None,
        fields: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(message, hint=hint, spent=spent)
        self.status = status
        self.fields = dict(fields or {})
        self.retry_after = retry_after
        self.reasons = tuple(reasons)
        self.trace_id = trace_id
        self.key = key
        self.workflow_id = workflow_id

    def details(self) -> dict[str, Any]:
        return _drop_empty(
            status=self.status, reasons=list(self.reasons), trace_id=self.trace_id, key=self.key,
            id=self.workflow_id, retry_after=self.retry_after,
        )  # fmt: skip


class Unauthorized(ApiError):
    """401: the key is missing, wrong or withdrawn."""

    code = "unauthorized"
    exit_code = 3


class NotEnoughBuzz(ApiError):
    """The account cannot pay for this workflow with the currencies it allows."""

    code = "not_enough_buzz"
    exit_code = 4


class Forbidden(ApiError):
    """403: the key is valid but may not do this."""

    code = "forbidden"
    exit_code = 3


class NotFound(ApiError):
    """404: no such workflow or blob for this account, or it is no longer kept."""

    code = "not_found"
    exit_code = 2


class BadRequest(ApiError):
    """400 and its kin: the service refused the request itself; nothing was charged."""

    code = "refused_by_service"
    exit_code = 2


class RateLimited(ApiError):
    """429, after every retry was used up."""

    code = "rate_limited"
    exit_code = 7


class ServerError(ApiError):
    """5xx, after every retry was used up."""

    code = "server"
    exit_code = 7


class WorkflowFailed(CivitaiError):
    """The workflow ended without all the pictures that were asked for.

    Attributes: `workflow` (the read answer), `result` (the generation result when pictures were
    fetched), `reasons` (why, in the service's words or ours).
    """

    code = "workflow_failed"
    exit_code = 5

    def __init__(
        self,
        message: str,
        *,
        workflow: Any = None,
        result: Any = None,
        reasons: Sequence[str] = (),
        hint: str = "",
        spent: Spent = "no",
    ) -> None:
        super().__init__(message, hint=hint, spent=spent)
        self.workflow = workflow
        self.result = result
        self.reasons = tuple(reasons)

    def details(self) -> dict[str, Any]:
        return _drop_empty(id=getattr(self.workflow, "id", None), reasons=list(self.reasons))


class StillRunning(CivitaiError, TimeoutError):
    """The caller's deadline passed while the workflow was still running. Nothing was canceled."""

    code = "still_running"
    exit_code = 6

    def __init__(self, message: str, *, workflow: Any = None, hint: str = "") -> None:
        super().__init__(message, hint=hint, spent="yes")
        self.workflow = workflow

    @property
    def workflow_id(self) -> str | None:
        return getattr(self.workflow, "id", None)

    def details(self) -> dict[str, Any]:
        return _drop_empty(id=self.workflow_id)


class Stopping(CivitaiError):
    """A server of ours is about to end, and begins nothing new."""

    code = "stopping"
    exit_code = 7

    def __init__(self, *, spent: Spent = "no") -> None:
        message = "This server is about to end, and begins nothing new."
        super().__init__(message, hint="Ask again once it runs again.", spent=spent)


class AnswerLost(CivitaiError):
    """A command did its work, and its answer could not be written."""

    code = "answer_lost"
    exit_code = 8

    def __init__(self, why: str, where: str = "standard output") -> None:
        super().__init__(f"The answer could not be written to {where}: {why}.")


_BRIEF = Repr()
_BRIEF.maxlist = _BRIEF.maxtuple = _BRIEF.maxdict = 20
_BRIEF.maxstring = _BRIEF.maxlong = _BRIEF.maxother = 200


def preview(value: Any, limit: int = 80) -> str:
    """`value` as it may stand in a message: quoted, one line, about `limit` characters."""
    if isinstance(value, str):
        text = (
            value if len(value) <= limit else f"{value[: limit - 20]}... ({len(value)} characters)"
        )
    else:
        text = value
    try:
        out = repr(text) if isinstance(text, str) else _BRIEF.repr(text)
    except ValueError:
        out = "a number without end"  # Python writes no more than 4300 digits
    return out if len(out) <= limit + 30 else out[:limit] + "..."


def _drop_empty(**values: Any) -> dict[str, Any]:
    return {k: v for k, v in values.items() if v not in (None, [], ())}
