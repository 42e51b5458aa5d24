"""What a request of a sandbox works with: memory, clock, switches, account, body, addresses."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from civitai_skill.sandbox import wire
from civitai_skill.sandbox.pictures.render import Gallery
from civitai_skill.sandbox.state import life, money
from civitai_skill.sandbox.state.memory import Memory
from civitai_skill.sandbox.switches import Switches
from civitai_skill.sandbox.wire import Abort, Query, Record, misfit, problem, refuse, reply

# Characters of a tag, as the published document says in prose, and tags of a workflow.
_LONGEST_TAG, _MOST_TAGS = 200, 10

#: Where blobs are.
ROOT = "/v2/consumer/blobs"

# What an account counts, and its latest workflow's moment in milliseconds.
_NEW = dict.fromkeys(
    ("submits", "workflows", "workflowsCharged", "charged", "refunded", "last"), 0
)  # fmt: skip


@dataclass
class Context:
    """Shared by all requests but for `request`; `seconds` is how long a step takes."""

    memory: Memory
    clock: Callable[[], float]
    switches: Switches
    seconds: float
    balance: Mapping[str, int]
    gallery: Gallery = field(default_factory=Gallery)
    request: httpx.Request = field(default_factory=lambda: httpx.Request("GET", "/"))

    # -- the request -------------------------------------------------------------------------------
    def __post_init__(self) -> None:
        self.query = Query(self.request.url.params)
        #: The address that it came to, and its media type.
        self.base = str(self.request.url.join("/")).rstrip("/")
        kind = self.request.headers.get("Content-Type", "")
        self.media_type = kind.partition(";")[0].strip().lower()

    @property
    def digest(self) -> str | None:
        """What its account is known by: a digest of the bearer's key, None where none was sent."""
        scheme, _, key = self.request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            return None
        return hashlib.sha256(key.strip().encode()).hexdigest()[:16]

    def body(self) -> Any:
        """Its JSON; raises Abort with a 400 for what is not JSON, 415 for what is not called so."""
        if self.media_type not in (
            "application/json",
            "text/json",
        ) and not self.media_type.endswith("+json"):
            raise Abort(problem(415, "Content-Type must be application/json."))
        try:
            body = json.loads(self.request.read())
            json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError):
            raise misfit("The body is not valid JSON.") from None
        if wire.is_too_deep(body):
            raise misfit(f"The maximum configured depth of {wire.DEEPEST} has been exceeded.")
        return body

    # -- signed addresses, and tokens that carry facts; several servers agree by the memory's secret
    def mark(self, *parts: str) -> str:
        digest = hmac.new(self.memory.secret, "\n".join(parts).encode(), hashlib.sha256).digest()
        return "CfDJ8" + base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def sign(self) -> Callable[[str], tuple[str, str]]:
        """Makes the address of a blob on the request's own host, and says when it expires."""
        root = f"{self.base}{ROOT}"
        until = wire.format_ticks(self.clock() + self.switches.url_lifetime)
        return lambda id: (f"{root}/{id}?sig={self.mark(id, until)}&exp={until}", until)

    def token(self, purpose: str, **facts: Any) -> str:
        """An opaque token that carries facts, good for one purpose only."""
        body = base64.urlsafe_b64encode(json.dumps(facts).encode()).decode().rstrip("=")
        return f"{body}.{self.mark(purpose, body)}"

    def facts(self, purpose: str, token: str) -> Record | None:
        """What a token carries; None when it is not one of ours for this purpose."""
        body, _, mark = token.partition(".")
        if not hmac.compare_digest(self.mark(purpose, body).encode(), mark.encode()):
            return None
        return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))  # type: ignore[no-any-return]

    # -- accounts ----------------------------------------------------------------------------------
    @contextmanager
    def account(self) -> Iterator[Record]:
        """A transaction with the account of the request's key, what is due settled; what changes
        of it is written. Raises Abort with 401."""
        digest = self.digest
        if digest is None:
            raise Abort(problem(401))
        with self.memory.change():
            account = self.memory.record("accounts WHERE key = ?", digest)
            before = json.dumps(account)
            if account is None:
                user = 1_000_000 + int(digest, 16) % 1_000_000_000
                account = {"key": digest, "user": user, "balance": dict(self.balance), **_NEW}
            self.settle(account)
            yield account
            if json.dumps(account) != before:
                self.memory.keep("accounts", account, key=digest, user=account["user"])

    @contextmanager
    def workflow(self, id: str) -> Iterator[tuple[Record, Record]]:
        """A transaction with the account and one of its workflows; what changes of either is
        written. Raises Abort with 401 and 404."""
        with self.account() as account:
            record = self.memory.workflow(account["user"], id)
            if record is None or (record["whatif"] and not self.switches.whatif_persists):
                raise Abort(problem(404))
            before = json.dumps(record)
            yield account, record
            if json.dumps(record) != before:
                self.keep(record)

    # -- inside a transaction ----------------------------------------------------------------------
    def settle(self, account: Record) -> None:
        """Refund what ended without delivering since the last look."""
        now = self.clock()
        due = "workflows WHERE user = ? AND due <= ? ORDER BY due"
        for record in list(self.memory.records(due, account["user"], now)):
            money.settle(account, record, now)
            self.keep(record)

    def keep(self, record: Record) -> None:
        """Write a workflow, with the moment at which it must be settled."""
        due = None if record["whatif"] or record["settled"] else life.ends(record)
        columns = {name: record[name] for name in ("id", "user", "created", "external")}
        self.memory.keep("workflows", record, **columns, due=due)

    def is_there(self, blob: Record, moment: float) -> bool:
        """Is there a picture behind a blob's record at this moment?"""
        if "workflow" not in blob:
            return True
        workflow = self.memory.workflow(blob["user"], blob["workflow"], deleted=True)
        return workflow is not None and life.is_available(
            workflow, workflow["steps"][blob["step"]], blob["index"], moment
        )

    # -- refusals ----------------------------------------------------------------------------------
    def check_tags(self, tags: list[str]) -> list[str]:
        """The tags, each once. Refuses too many, and too long ones where a switch says so."""
        if self.switches.long_tags_refused and any(len(tag) > _LONGEST_TAG for tag in tags):
            raise refuse(f"A tag can be at most {_LONGEST_TAG} characters long.")
        if len(tags) > _MOST_TAGS:
            raise misfit(f"At most {_MOST_TAGS} tags.", "tags")
        return list(dict.fromkeys(tags))

    def refuse_short(self) -> Abort:
        """The answer to a submit that can't be paid."""
        form = self.switches.short_of_buzz
        if form == "400":
            return refuse("insufficientBuzz")
        if form == "403":
            return Abort(reply(403, "Insufficient Buzz"))
        return Abort(problem(402 if form == "402" else 400, "The account has insufficient Buzz."))


def new_id(suffix: str) -> str:
    """The id of a blob: 26 letters and digits in capitals, and a suffix."""
    return f"{secrets.token_hex(13).upper()}.{suffix}"
