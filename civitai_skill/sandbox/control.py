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

import hashlib
from typing import Any

import httpx

from civitai_skill.sandbox import check, faults
from civitai_skill.sandbox.answers import Answered, problem, refusal, reply
from civitai_skill.sandbox.bench import Bench, key_of
from civitai_skill.sandbox.faults import Fault


def answer(bench: Bench, request: httpx.Request, parts: tuple[str, ...]) -> httpx.Response:
    """Answer a request of the sandbox's own."""
    match (request.method, *parts):
        case ("GET", "accounts"):
            found = accounts(bench)
            key = key_of(request)
            if key is not None:
                digest = hashlib.sha256(key.encode()).hexdigest()[:16]
                found = [account for account in found if account["key"] == digest]
            return reply(200, {"accounts": found})
        case ("GET", "faults"):
            with bench.memory.change():
                return reply(200, {"faults": faults.listed(bench.memory)})
        case ("POST", "faults"):
            return _scripted(bench, request)
        case ("DELETE", "faults"):
            with bench.memory.change():
                bench.memory.drop_fault()
            return reply(204)
        case ("GET", "switches"):
            return reply(200, {"switches": bench.switches.as_dict()})
        case ("POST", "switches"):
            return _switched(bench, request)
    raise Answered(problem(404))


def _scripted(bench: Bench, request: httpx.Request) -> httpx.Response:
    body = check.body_of(request)
    replace = check.Query(request).flag("replace", False)
    try:
        scripted = [Fault.read(value) for value in (body if isinstance(body, list) else [body])]
    except ValueError as error:
        raise Answered(refusal(f"This is no fault: {error}.")) from None
    with bench.memory.change():
        if replace:
            bench.memory.drop_fault()
        for fault in scripted:
            faults.add(bench.memory, fault)
        return reply(200, {"faults": faults.listed(bench.memory)})


def _switched(bench: Bench, request: httpx.Request) -> httpx.Response:
    try:
        bench.switches = bench.switches.changed(check.body_of(request))
    except ValueError as error:
        raise Answered(refusal(f"This is no switch: {error}.")) from None
    return reply(200, {"switches": bench.switches.as_dict()})


def accounts(bench: Bench) -> list[dict[str, Any]]:
    """Every account, with what is due settled. Keys show only as digests."""
    with bench.memory.change():
        found = bench.memory.accounts()
        for account in found:
            bench.settle(account)
        return [
            {
                **{name: account[name] for name in ("key", "user", "balance", "submits")},
                "workflows": account["workflows"],
                "workflowsCharged": account["workflowsCharged"],
                "charged": account["charged"],
                "refunded": account["refunded"],
                "externalIds": bench.memory.externals(account["user"]),
            }
            for account in found
        ]
