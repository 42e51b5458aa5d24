"""The sandbox: a local orchestrator that stands in for Civitai's, and charges play money.

It answers in the shapes that the real service was seen to use, refuses what the published document
refuses, and remembers: workflows, balances, blobs. Nothing leaves the machine.

In process, sync and async alike:

    transport = SandboxTransport(Sandbox())
    httpx.Client(transport=transport, base_url=BASE_URL, headers={"Authorization": f"Bearer {KEY}"})

Over a port: `serve(Sandbox(path), "127.0.0.1", 8787)`.

How a workflow ends can be said in its prompt:

    [sandbox:failed]         fails with a reason, refunded
    [sandbox:failed-silent]  fails without one
    [sandbox:blocked]        succeeds, but its pictures are blocked
    [sandbox:expired]        expires, refunded
    [sandbox:canceled]       is canceled by the service
    [sandbox:stuck]          hangs until its time-out (20 minutes)
    [sandbox:partial]        one picture is missing
    [sandbox:mature]         the pictures turn out mature: held until allowed and paid in yellow
    [sandbox:slow=5]         takes five seconds a step
    [sandbox:refused]        the submit is refused by moderation
    [sandbox:needs-mature]   the submit is refused where allowMatureContent is false
    [sandbox:deprecated]     its model is warned of as going, with the estimate too
    [sandbox:failed@NAME]    only the step of this name ends so; every marker can name one

Everything else that can go wrong is scripted: see `Fault`. What is disputed or unknown about the
service is a switch: see `Switches`, `civitai-skill sandbox --help` and `control`. A picture whose
price is not documented costs `money.UNDOCUMENTED` here. A picture that is enlarged stays at 8192
pixels a side. Source pictures on other hosts are not fetched.

Steps that prepare or finish pictures work on what there is: the background of an icon becomes
transparent along its edge (other pictures keep their middle), an SVG is traced. What is said of a
picture is made up from its prompt, and the same each time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from civitai_skill.sandbox.faults import Fault as Fault
    from civitai_skill.sandbox.service import Dropped as Dropped
    from civitai_skill.sandbox.service import Sandbox as Sandbox
    from civitai_skill.sandbox.service import SandboxTransport as SandboxTransport
    from civitai_skill.sandbox.switches import Switches as Switches

#: What a client in the same process uses as its base address.
BASE_URL = "https://sandbox.invalid"

#: The key that is sent when none is set; any other key is another account.
KEY = "sandbox"

# Names load on first use, so that the command line can name the switches for next to nothing.
_HOMES = {
    "Dropped": "service", "Fault": "faults", "Sandbox": "service",
    "SandboxTransport": "service", "Switches": "switches",
}  # fmt: skip

__all__ = ["BASE_URL", "KEY", "Dropped", "Fault", "Sandbox", "SandboxTransport", "Switches"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
