"""Is the set-up usable? One screen: what is there, what is missing, what to do next."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from civitai_skill._version import __version__
from civitai_skill.client.clients import Civitai
from civitai_skill.config import Settings
from civitai_skill.errors import ConfigError, TransportFailed
from civitai_skill.ledger.ledger import current_budget

#: What each extra brings, by the module that shows it is there.
EXTRAS = {"langchain": "langchain_core", "mcp": "mcp", "rest": "fastapi", "heif": "pillow_heif"}


@dataclass(frozen=True)
class Report:
    """What was found. The key itself is never part of it."""

    facts: tuple[tuple[str, str], ...]
    extras: tuple[tuple[str, bool], ...]
    next_step: str
    exit_code: int

    def as_dict(self) -> dict[str, Any]:
        return {
            **dict(self.facts),
            "extras": dict(self.extras),
            "next_step": self.next_step,
            "ok": self.exit_code == 0,
        }

    def text(self) -> str:
        lines = [f"{name.replace('_', ' '):<12} {value}" for name, value in self.facts]
        have = ", ".join(f"{name} {'yes' if there else 'no'}" for name, there in self.extras)
        return "\n".join([*lines, f"{'extras':<12} {have}", f"{'next step':<12} {self.next_step}"])


def examine(settings: Settings) -> Report:
    """Look at everything once, in at most about half a minute; nothing is spent or changed."""
    with Civitai(settings=settings) as client:
        health = client.health()
        books, kept = _describe_ledger(client)
    where = "the sandbox" if settings.sandbox else settings.base_url
    key = f"found ({settings.key_source})" if settings.key else "not found"
    if settings.sandbox and not settings.key:
        key = "not found; the sandbox needs none"
    memory = settings.home / "sandbox.sqlite3"
    accepted = {True: "accepted", False: "refused", None: "not checked"}[health.key_accepted]
    if health.detail and not health.key_accepted:
        accepted += f": {health.detail}"
    facts = (
        ("version", f"{__version__} (Python {sys.version.split()[0]})"),
        ("service", where),
        ("reachable", "yes" if health.reachable else f"no: {health.detail}"),
        ("key", key),
        ("key_check", accepted if health.reachable else "not checked"),
        ("sandbox", f"{'in use' if settings.sandbox else 'off'}, "
                    f"{'has' if memory.exists() else 'no'} state in {memory}"),
        ("home", str(settings.home)),
        ("ledger", books),
        ("max_buzz", f"{settings.max_buzz} Buzz a call"),
    )  # fmt: skip
    extras = tuple((name, find_spec(module) is not None) for name, module in EXTRAS.items())
    step, code = _next_step(settings, health.reachable, health.key_accepted)
    if kept is not None:
        step, code = kept.hint, kept.exit_code
    return Report(facts, extras, step, code)


def _describe_ledger(client: Civitai) -> tuple[str, ConfigError | None]:
    """The ledger and the budget: in words, and what is wrong with them."""
    assert client.ledger is not None, "this client was made with one"
    try:
        budget = current_budget(client.settings.budget, client.ledger)
        told = (
            "no budget" if budget is None else f"{budget}, {client.ledger.used_buzz(budget)} used"
        )
        return f"{client.ledger.path} ({told})", None
    except ConfigError as error:
        return error.message, error


def _next_step(settings: Settings, reachable: bool, accepted: bool | None) -> tuple[str, int]:
    if settings.sandbox:
        return 'Try: civitai-skill generate "a red fox" --sandbox', 0
    if not reachable:
        return "Check the network and CIVITAI_BASE_URL.", TransportFailed.exit_code
    if not settings.key:
        return (
            "Set CIVITAI_API_KEY, or try everything with --sandbox.",
            ConfigError.exit_code,
        )
    if accepted is False:
        return "Make a new key on civitai.com and set CIVITAI_API_KEY.", ConfigError.exit_code
    return 'Ready: civitai-skill generate "a red fox"', 0
