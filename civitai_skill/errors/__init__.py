"""Everything that can go wrong, as one tree; what to do next, as values.

    CivitaiError                    what happened, what to do next, was Buzz spent      exit
    ├─ ConfigError                  no key, bad base URL, missing extra                  3
    ├─ RequestInvalid (ValueError)  refused before anything was sent                     2
    ├─ OverBudget                   the price is above what was allowed                  4
    │   └─ BudgetUsedUp             and this time above what all calls may cost          4
    ├─ TransportFailed              no usable answer came back                           7
    ├─ ApiError                     the service answered with 4xx or 5xx                 7
    │   ├─ Unauthorized 3   NotEnoughBuzz 4   Forbidden 3   NotFound 2   BadRequest 2
    │   └─ RateLimited 7    ServerError 7
    ├─ WorkflowFailed               failed, expired, canceled, blocked, or incomplete    5
    ├─ StillRunning (TimeoutError)  the caller's deadline passed; the work goes on       6
    ├─ Stopping                     a server of ours is about to end                     7
    └─ AnswerLost                   done, but the answer could not be written            8

An error is made whole where it arises and is never edited: whoever knows more on its way raises
`error.replace(...)`. `message` says what happened, `advice` what is good to know, `next` what to
do, as values; each outside interface renders those in its own words (a command, a tool call, a
method, a link) and hands its renderer to `explain`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, Literal, Self, TypeVar

from civitai_skill.errors.next_steps import Fix, Next, Render, Resume, in_python
from civitai_skill.errors.problem import Problem as Problem
from civitai_skill.errors.problem import preview as preview

E = TypeVar("E", bound="CivitaiError")
Spent = Literal["no", "yes", "unknown"]


@dataclass(eq=False, repr=False)
class CivitaiError(Exception):
    """The root: everything this package raises on purpose.

    Attributes: `message`, `advice` (may be empty), `next` (see Next), `spent`, and `result`, the
    generation as far as it came, where pictures had been asked for. On the class: `code` (a stable
    slug) and `exit_code` (of the command line).
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    #: What `details` tells, under its name there.
    tells: ClassVar[Mapping[str, str]] = {}

    message: str
    _: KW_ONLY
    advice: str = ""
    next: Sequence[Next] = ()
    spent: Spent = "no"
    result: Any = None

    def __post_init__(self) -> None:
        self.args, self.next = (self.message,), tuple(self.next)

    def replace(self, **changes: Any) -> Self:
        """This error with other values of its attributes; raise it `from None`."""
        return _make(type(self), {**vars(self), **changes}).with_traceback(self.__traceback__)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied with all that it carries."""
        return _make, (type(self), vars(self))

    @property
    def resumable(self) -> bool:
        """Does the same request, made again, go on with this purchase instead of buying anew?"""
        return any(isinstance(step, Resume) for step in self.next)

    @property
    def hint(self) -> str:
        """What is good to know and to do next, in the words of a Python program; may be empty."""
        return self.hint_by(in_python)

    def hint_by(self, render: Render) -> str:
        """The hint in the words of one interface."""
        return " ".join(filter(None, (self.advice, *map(render, self.next))))

    def details(self) -> dict[str, Any]:
        """The facts beside the words, ready for JSON: those that there are."""
        told = {name: getattr(self, attribute) for name, attribute in self.tells.items()}
        told = {name: list(v) if isinstance(v, tuple) else v for name, v in told.items()}
        return {name: value for name, value in told.items() if value not in (None, [])}

    def __str__(self) -> str:
        return self.message


def _make(kind: type[E], attributes: Mapping[str, Any]) -> E:
    """An error of a kind with all of its attributes."""
    made = kind.__new__(kind)
    vars(made).update(attributes)
    made.args = (made.message,)
    return made


class ConfigError(CivitaiError):
    """The set-up is incomplete: no key, an unusable base URL, an extra that is not installed."""

    code, exit_code = "config", 3


def from_clone(extra: str) -> str:
    """How to install an extra; no package index has this project yet."""
    return f"In your clone of civitai-skill: pip install '.[{extra}]'"


class RequestInvalid(CivitaiError, ValueError):
    """Refused before anything was sent.

    Attributes: `engine` (empty when the engine is not known yet) and `problems`; `field`, `given`,
    `accepted` and `nearest` are those of the first problem.
    """

    code, exit_code = "request_invalid", 2

    def __init__(
        self, *problems: Problem, engine: str = "", advice: str = "", next: Sequence[Next] = ()
    ) -> None:
        self.problems: Sequence[Problem] = problems
        self.engine = engine
        said = [f"{engine} does not take this request."] if engine else []
        message = " ".join([*said, *(p.sentence() for p in problems)])
        fixes = [Fix(p.field, p.nearest) for p in problems if p.nearest is not None]
        super().__init__(message, advice=advice, next=(*fixes, *next))

    def about(self, *problems: Problem) -> RequestInvalid:
        """The same refusal, its problems said in other words."""
        rest = [step for step in self.next if not isinstance(step, Fix)]
        return type(self)(*problems, engine=self.engine, advice=self.advice, next=rest)

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


@dataclass(eq=False, repr=False, kw_only=True)
class OverBudget(CivitaiError):
    """The price is above what the caller allows. Attributes: `price` (Buzz; None: unknown), `limit`
    (Buzz), `fits` (what would fit, as a sentence)."""

    code, exit_code = "over_budget", 4

    price: int | None
    limit: int
    fits: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.advice = self.advice or self.fits

    def details(self) -> dict[str, Any]:
        return {"price": self.price, "limit": self.limit}


class BudgetUsedUp(OverBudget):
    """The price is above what is left for all calls together; `limit` is what is left."""


#: What holds where a look at a workflow fails that was paid for.
KEPT = "What was bought is not lost."


@dataclass(eq=False, repr=False, kw_only=True)
class TransportFailed(CivitaiError):
    """No usable answer came back.

    Attributes: `key` is the idempotency key of a submit whose fate is unknown (then `spent` is
    "unknown"); `workflow_id` is set where the failed call was about a known workflow.
    """

    code, exit_code = "transport", 7
    tells = {"key": "key", "id": "workflow_id"}

    key: str | None = None
    workflow_id: str | None = None


@dataclass(eq=False, repr=False, kw_only=True)
class ApiError(CivitaiError):
    """The service answered, and the answer was an error.

    Attributes: `status` (HTTP), `reasons` (the service's own words), `fields` (those about a field,
    by its place, such as steps.0.input), `trace_id`, `key`, `retry_after` (seconds); `workflow_id`
    where the failed call was about a known workflow.
    """

    code, exit_code = "api", 7
    tells = {
        "status": "status", "reasons": "reasons", "trace_id": "trace_id", "key": "key",
        "id": "workflow_id", "retry_after": "retry_after",
    }  # fmt: skip

    status: int
    reasons: tuple[str, ...] = ()
    trace_id: str | None = None
    key: str | None = None
    workflow_id: str | None = None
    retry_after: float | None = None
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Unauthorized(ApiError):
    """401: the key is missing, wrong or withdrawn."""

    code, exit_code = "unauthorized", 3


class NotEnoughBuzz(ApiError):
    """The account cannot pay for this workflow with the currencies it allows."""

    code, exit_code = "not_enough_buzz", 4


class Forbidden(ApiError):
    """403: the key is valid but may not do this."""

    code, exit_code = "forbidden", 3


class NotFound(ApiError):
    """404: no such workflow or blob for this account, or it is no longer kept."""

    code, exit_code = "not_found", 2


class BadRequest(ApiError):
    """400 and its kin: the service refused the request itself; nothing was charged."""

    code, exit_code = "refused_by_service", 2


class RateLimited(ApiError):
    """429, after every retry was used up."""

    code = "rate_limited"


class ServerError(ApiError):
    """5xx, after every retry was used up."""

    code = "server"


@dataclass(eq=False, repr=False, kw_only=True)
class WorkflowFailed(CivitaiError):
    """The workflow ended without all the pictures that were asked for.

    Attributes: `workflow` (the read answer), `reasons` (why, in the service's words or ours).
    """

    code, exit_code = "workflow_failed", 5

    workflow: Any = None
    reasons: tuple[str, ...] = ()

    def details(self) -> dict[str, Any]:
        told = {"id": getattr(self.workflow, "id", None), "reasons": list(self.reasons)}
        return {name: value for name, value in told.items() if value}


@dataclass(eq=False, repr=False, kw_only=True)
class StillRunning(CivitaiError, TimeoutError):
    """The caller's deadline passed while the workflow was still running. Nothing was canceled."""

    code, exit_code = "still_running", 6
    tells = {"id": "workflow_id"}

    workflow: Any = None
    spent: Spent = "yes"

    @property
    def workflow_id(self) -> str | None:
        return getattr(self.workflow, "id", None)


@dataclass(eq=False, repr=False)
class Stopping(CivitaiError):
    """A server of ours is about to end, and begins nothing new."""

    code, exit_code = "stopping", 7

    message: str = "This server is about to end, and begins nothing new."
    _: KW_ONLY
    advice: str = "Ask again once it runs again."


class AnswerLost(CivitaiError):
    """A command did its work, and its answer could not be written to `where`."""

    code, exit_code = "answer_lost", 8

    def __init__(self, why: str, where: str = "standard output", **more: Any) -> None:
        super().__init__(f"The answer could not be written to {where}: {why}.", **more)


# -- as every outside interface tells it -----------------------------------------------------------
_SPENT_WORDS: Mapping[Spent, str] = {
    "no": "No Buzz was spent.",
    "yes": "Buzz is committed for this workflow.",
    "unknown": "It is not known whether Buzz was spent.",
}


@dataclass(frozen=True)
class Explanation:
    """An error, ready for a person or a model."""

    code: str
    message: str
    hint: str
    spent: Spent
    exit_code: int
    details: Mapping[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        # The hint comes last and keeps its end, because it may be a command to copy.
        message = self.message.strip()
        end = "" if message[-1] in ".!?:" else "."
        return f"{message}{end} {_SPENT_WORDS[self.spent]} {self.hint}".strip()

    def as_dict(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("code", "message", "hint", "spent")}
        return {**own, **self.details}


def explain(error: CivitaiError, render: Render = in_python) -> Explanation:
    """The one value that every outside interface tells of an error; `render` says a next step in
    the words of that interface."""
    told = error.code, error.message, error.hint_by(render), error.spent, error.exit_code
    return Explanation(*told, error.details())
