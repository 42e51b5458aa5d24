"""What every part of the sandbox works with: memory, clock, switches, accounts, addresses."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from civitai_skill.sandbox import blobs, life, money, render
from civitai_skill.sandbox.answers import Answered, problem, refusal, reply
from civitai_skill.sandbox.memory import Memory
from civitai_skill.sandbox.pictures import Gallery
from civitai_skill.sandbox.render import Sign
from civitai_skill.sandbox.switches import Switches

Record = dict[str, Any]

#: Characters of a tag, as the published document says in prose.
_LONGEST_TAG = 200


@dataclass
class Bench:
    """Shared by all requests of one sandbox."""

    memory: Memory
    clock: Callable[[], float]
    switches: Switches
    seconds: float
    balance: Mapping[str, int]
    gallery: Gallery = field(default_factory=Gallery)

    def __post_init__(self) -> None:
        self.signer = blobs.Signer(self.memory.secret)

    def sign(self, request: httpx.Request) -> Sign:
        """Makes addresses on the host that the request came to."""
        now, base = self.clock(), base_of(request)
        expires = now + self.switches.url_lifetime
        return lambda id: (self.signer.address(base, id, expires), expires)

    # -- accounts, inside a transaction ------------------------------------------------------------
    def account(self, request: httpx.Request) -> Record:
        """The account of the request's key, with what is due settled. Raises Answered with 401."""
        key = key_of(request)
        if key is None:
            raise Answered(problem(401))
        digest = hashlib.sha256(key.encode()).hexdigest()[:16]
        account = self.memory.account(digest)
        if account is None:
            account = {
                "key": digest,
                "user": 1_000_000 + int(digest, 16) % 1_000_000_000,
                "balance": dict(self.balance),
                "submits": 0,
                "workflows": 0,
                "workflowsCharged": 0,
                "charged": 0,
                "refunded": 0,
                "last": 0,
            }
            self.memory.keep_account(account)
        self.settle(account)
        return account

    def settle(self, account: Record) -> None:
        """Refund what ended without delivering since the last look."""
        now = self.clock()
        due = self.memory.due(account["user"], now)
        for record in due:
            money.settle(account, record, now)
            self.memory.keep_workflow(record, None)
        if due:
            self.memory.keep_account(account)

    def found(self, account: Record, id: str) -> Record:
        """A workflow of this account; raises Answered with 404."""
        record = self.memory.workflow(account["user"], id)
        if record is None or (record["whatif"] and not self.switches.whatif_persists):
            raise Answered(problem(404))
        return record

    def keep(self, record: Record) -> None:
        """Write a workflow, with the moment at which it must be settled."""
        open_still = not record["whatif"] and not record["settled"]
        self.memory.keep_workflow(record, life.ends(record) if open_still else None)

    def is_there(self, blob: Record, moment: float) -> bool:
        """Is there a picture behind a blob's record at this moment?"""
        if "workflow" not in blob:
            return True
        workflow = self.memory.workflow(blob["user"], blob["workflow"], deleted=True)
        if workflow is None:
            return False
        step = workflow["steps"][blob["step"]]
        return render.is_available(workflow, step, blob["index"], moment)

    def check_tags(self, tags: list[str]) -> None:
        """Refuse tags above the documented length, where a switch says so."""
        if self.switches.long_tags_refused and any(len(tag) > _LONGEST_TAG for tag in tags):
            raise Answered(refusal(f"A tag can be at most {_LONGEST_TAG} characters long."))

    def short(self) -> httpx.Response:
        """The answer to a submit that can't be paid."""
        form = self.switches.short_of_buzz
        if form == "400":
            return refusal("insufficientBuzz")
        if form == "403":
            return reply(403, "Insufficient Buzz")
        return problem(402 if form == "402" else 400, "The account has insufficient Buzz.")


def key_of(request: httpx.Request) -> str | None:
    """The bearer's key, if one was sent."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def base_of(request: httpx.Request) -> str:
    """The address that the request came to."""
    return f"{request.url.scheme}://{request.url.netloc.decode('ascii')}"
