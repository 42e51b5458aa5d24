"""`/_sandbox/...`: scripting faults, setting switches and reading the accounts over the port.

GET    /_sandbox/accounts   every account, or with a key in the header only that key's
GET    /_sandbox/faults     the scripted faults with what they saw and hit
POST   /_sandbox/faults     one fault or a list; added, or with ?replace=true in place of all
DELETE /_sandbox/faults     forget them
GET    /_sandbox/switches   every switch of this server
POST   /_sandbox/switches   an object of those to set; the others stay

Faults stand in the memory, for every server and command that shares it; switches are this server's
own, until it ends.
"""

from __future__ import annotations

from dataclasses import asdict

import httpx

from civitai_skill.sandbox.context import Context, key_digest
from civitai_skill.sandbox.faults import Fault
from civitai_skill.sandbox.wire import Abort, Query, Record, body_of, problem, refusal, reply

_SHOWN = (
    "key", "user", "balance", "submits", "workflows", "workflowsCharged", "charged", "refunded",
)  # fmt: skip


def answer(context: Context, request: httpx.Request, parts: tuple[str, ...]) -> httpx.Response:
    """Answer a request of the sandbox's own."""
    memory = context.memory
    match (request.method, *parts):
        case ("GET", "accounts"):
            key = key_digest(request)
            found = [account for account in accounts(context) if key in (None, account["key"])]
            return reply(200, {"accounts": found})
        case ("GET", "faults"):
            return _list_faults(context)
        case ("POST", "faults"):
            scripted = _read_faults(request)
            with memory.change():
                if Query(request).flag("replace", False):
                    memory.drop_faults()
                for fault in scripted:
                    memory.keep_fault({**asdict(fault), "seen": 0, "hit": 0})
            return _list_faults(context)
        case ("DELETE", "faults"):
            with memory.change():
                memory.drop_faults()
            return reply(204)
        case ("GET", "switches"):
            return reply(200, {"switches": context.switches.as_dict()})
        case ("POST", "switches"):
            try:
                context.switches = context.switches.with_values(body_of(request))
            except ValueError as error:
                raise Abort(refusal(f"This is no switch: {error}.")) from None
            return reply(200, {"switches": context.switches.as_dict()})
    raise Abort(problem(404))


def _read_faults(request: httpx.Request) -> list[Fault]:
    body = body_of(request)
    try:
        return [Fault.read(value) for value in (body if isinstance(body, list) else [body])]
    except ValueError as error:
        raise Abort(refusal(f"This is no fault: {error}.")) from None


def _list_faults(context: Context) -> httpx.Response:
    with context.memory.change():
        return reply(200, {"faults": [record for _, record in context.memory.faults()]})


def accounts(context: Context) -> list[Record]:
    """Every account, with what is due settled. Keys show only as digests."""
    with context.memory.change():
        found = context.memory.accounts()
        for account in found:
            context.settle(account)
        return [
            {
                **{name: account[name] for name in _SHOWN},
                "externalIds": context.memory.externals(account["user"]),
            }
            for account in found
        ]
