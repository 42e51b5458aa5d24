"""Every fault the sandbox can make, once, against one generation: what the client does with it.

    python benchmarks/client_faults.py

prints the table: how it ended, the exit code, what the sandbox's own accounts charged, how many
workflows there are, which files are left. The same cases are a test (tests/client/test_faults.py).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from civitai_skill import Civitai, CivitaiError
from civitai_skill.api.service import Retry
from civitai_skill.sandbox import Fault, Sandbox, SandboxTransport, Switches

#: What one klein 4b picture at standard quality costs (Buzz).
PRICE = 3


@dataclass(frozen=True)
class Ending:
    """What became of one generation."""

    error: str
    exit_code: int
    charged: int
    workflows: int
    whole: int
    other_files: int


@dataclass(frozen=True)
class Case:
    """Faults, and the ending they must come to."""

    name: str
    faults: tuple[Fault, ...]
    ends: Ending
    prompt: str = "a red fox"
    quantity: int = 1
    switches: Switches = field(default_factory=Switches)


def made(pictures: int = 1, charged: int = PRICE) -> Ending:
    """All is well: nothing to see but the pictures."""
    return Ending("", 0, charged, 1, pictures, 0)


def lost(error: str, code: int, *, charged: int = 0, workflows: int = 0, whole: int = 0) -> Ending:
    return Ending(error, code, charged, workflows, whole, 0)


def _statuses() -> list[Case]:
    cases = []
    for on in ("submit", "get", "blob"):
        for status in (408, 429, 500, 502, 503, 504):
            fault = Fault(on, "status", status=status, times=2)
            cases.append(Case(f"{on}: {status} twice", (fault,), made()))
    return cases


CASES: tuple[Case, ...] = (
    Case("nothing", (), made()),
    *_statuses(),
    Case("submit: 429, Retry-After 0.1 s",
         (Fault("submit", "status", status=429, retry_after=0.1),), made()),
    Case("submit: 503, Retry-After as a date",
         (Fault("submit", "status", status=503, retry_after=0, as_date=True),), made()),
    Case("submit: 500 with an empty body", (Fault("submit", "status", body="empty"),), made()),
    Case("submit: 502 with an HTML body",
         (Fault("submit", "status", status=502, body="html"),), made()),
    Case("submit: 200 with an empty body",
         (Fault("submit", "status", status=200, body="empty", committed=True),), made()),
    Case("submit: 200 with an HTML body",
         (Fault("submit", "status", status=200, body="html", committed=True),), made()),
    Case("submit: no connection", (Fault("submit", "refuse", times=2),), made()),
    Case("submit: reset before commit", (Fault("submit", "reset", times=2),), made()),
    Case("submit: reply lost after commit",
         (Fault("submit", "reset", committed=True, times=2),), made()),
    Case("submit: 502 after commit",
         (Fault("submit", "status", status=502, committed=True, times=2),), made()),
    Case("submit: stalls, then answers", (Fault("submit", "stall", seconds=0.2),), made()),
    Case("submit: reply lost for good", (Fault("submit", "reset", committed=True, times=None),),
         lost("TransportFailed", 7, charged=PRICE, workflows=1)),
    Case("submit: never connects", (Fault("submit", "refuse", times=None),),
         lost("TransportFailed", 7)),
    Case("submit: 429 for good", (Fault("submit", "status", status=429, times=None),),
         lost("RateLimited", 7)),
    Case("submit: 400", (Fault("submit", "status", status=400),), lost("BadRequest", 2)),
    Case("submit: 401", (Fault("submit", "status", status=401),), lost("Unauthorized", 3)),
    Case("submit: 403", (Fault("submit", "status", status=403),), lost("Forbidden", 3)),
    Case("get: reset", (Fault("get", "reset", times=2),), made()),
    Case("get: 200 with an HTML body", (Fault("get", "status", status=200, body="html"),), made()),
    Case("get: fails for good", (Fault("get", "reset", times=None),),
         lost("TransportFailed", 7, charged=PRICE, workflows=1)),
    Case("blob: reset", (Fault("blob", "reset", times=2),), made()),
    Case("blob: address expired", (Fault("blob", "expired"),), made()),
    Case("blob: every address expired", (Fault("blob", "expired", times=None),), made()),
    Case("blob: expired with 401", (Fault("blob", "expired"),), made(),
         switches=Switches(expired_url=401)),
    Case("blob: expired with 404", (Fault("blob", "expired"),), made(),
         switches=Switches(expired_url=404)),
    Case("blob: truncated", (Fault("blob", "truncated", times=2),), made()),
    Case("blob: half the bytes", (Fault("blob", "short", times=2),), made()),
    Case("blob: HTML in its place", (Fault("blob", "wrong-type", times=2),), made()),
    Case("blob: never ends", (Fault("blob", "endless"),), made()),
    Case("blob: broken for good", (Fault("blob", "short", times=None),),
         lost("TransportFailed", 7, charged=PRICE, workflows=1)),
    Case("ends failed, with a reason", (), lost("WorkflowFailed", 5, workflows=1),
         "a fox [sandbox:failed]"),
    Case("ends failed, without a reason", (), lost("WorkflowFailed", 5, workflows=1),
         "a fox [sandbox:failed-silent]"),
    Case("ends expired", (), lost("WorkflowFailed", 5, workflows=1), "a fox [sandbox:expired]"),
    Case("ends canceled", (), lost("WorkflowFailed", 5, workflows=1), "a fox [sandbox:canceled]"),
    Case("ends blocked", (), lost("WorkflowFailed", 5, charged=PRICE, workflows=1),
         "a fox [sandbox:blocked]"),
    Case("ends with a picture missing", (),
         lost("WorkflowFailed", 5, charged=5, workflows=1, whole=1),
         "a fox [sandbox:partial]", quantity=2),
    Case("is stuck", (), lost("StillRunning", 6, charged=PRICE, workflows=1),
         "a fox [sandbox:stuck]"),
    Case("the prompt is refused", (), lost("BadRequest", 2), "a fox [sandbox:refused]"),
)  # fmt: skip

#: Pauses small enough for a test; the shape of the policy is the real one.
RETRY = Retry(first=0.005, cap=0.02, patience=5.0)


def played(
    case: Case,
    folder: Path,
    generate: Callable[[Sandbox, Case, Path], CivitaiError | None],
) -> Ending:
    """Let one case happen, and look at what is left."""
    box = Sandbox(seconds_per_job=0.02, switches=case.switches)
    box.script(*case.faults)
    out = folder / "out"
    error = generate(box, case, out)
    whole, other = 0, 0
    for path in out.glob("*") if out.exists() else ():
        try:
            with Image.open(path) as picture:
                picture.load()
            whole += 1
        except OSError:
            other += 1
    accounts = box.accounts()
    charged = sum(a["charged"] - a["refunded"] for a in accounts)
    workflows = sum(a["workflows"] for a in accounts)
    name, code = (type(error).__name__, error.exit_code) if error else ("", 0)
    return Ending(name, code, charged, workflows, whole, other)


def sync(box: Sandbox, case: Case, out: Path) -> CivitaiError | None:
    """The synchronous client."""
    transport = SandboxTransport(box)
    with Civitai(sandbox=box, transport=transport, retry=RETRY, home=out.parent / "home") as client:
        try:
            client.generate(case.prompt, quantity=case.quantity, out=out, timeout=1.5)
        except CivitaiError as error:
            return error
    return None


def main() -> None:
    """Print the table."""
    print("| fault | ended as | exit | Buzz charged | workflows | pictures | other files |")
    print("|---|---|---|---|---|---|---|")
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            end = played(case, Path(folder), sync)
        told = " | ".join(str(v) for v in (end.error or "done", end.exit_code, end.charged,
                                           end.workflows, end.whole, end.other_files))  # fmt: skip
        print(f"| {case.name} | {told} |" + ("" if end == case.ends else " differs"))


if __name__ == "__main__":
    main()
