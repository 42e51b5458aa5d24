"""What tests ask of a sandbox, and the workflow that most of them buy in it."""

from __future__ import annotations

from civitai_skill.sandbox import Sandbox

#: A workflow of the service's own form, and its price in Buzz.
KLEIN = {
    "engine": "flux2", "model": "klein", "modelVersion": "4b", "operation": "createImage",
    "prompt": "a red fox", "steps": 8, "cfgScale": 1,
}  # fmt: skip
TEMPLATE = {"steps": [{"$type": "imageGen", "input": KLEIN}]}
PRICE = 3


def fresh_sandbox() -> Sandbox:
    """A quick one with much Buzz."""
    return Sandbox(seconds_per_job=0.05, balance={"blue": 10_000, "yellow": 0})


def submits(sandbox: Sandbox) -> int:
    """How many submits reached it, over all accounts."""
    return sum(int(account["submits"]) for account in sandbox.accounts())


def charged(sandbox: Sandbox) -> int:
    """Every charge over all accounts, in Buzz; what was refunded counts too."""
    return sum(int(account["charged"]) for account in sandbox.accounts())


def net_charged(sandbox: Sandbox) -> int:
    """The charges less the refunds, over all accounts, in Buzz."""
    return charged(sandbox) - sum(int(account["refunded"]) for account in sandbox.accounts())
