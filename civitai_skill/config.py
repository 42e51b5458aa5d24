"""Settings, and the only reader of the environment.

CIVITAI_API_KEY, CIVITAI_API_TOKEN   the key (the first that is set)
CIVITAI_BASE_URL                     the service's address
CIVITAI_SITE_URL                     the address of the site's REST interface (of the models)
CIVITAI_SANDBOX=1                    everything is done over the sandbox
CIVITAI_SKILL_HOME                   the folder that holds all state
CIVITAI_MAX_BUZZ                     the most Buzz one call may cost (300 when not set)
CIVITAI_BUDGET                       the most Buzz all calls together may cost, such as 500/day
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from civitai_skill.errors import ConfigError, preview
from civitai_skill.errors.next_steps import UseSandbox

SERVICE_URL = "https://orchestration.civitai.com"
SITE_URL = "https://civitai.com/api/v1"
#: Where a service of another host's has the site's interface: the sandbox on a port does.
SITE_PATH = "/api/v1"
DEFAULT_MAX_BUZZ = 300
#: Buzz of one purchase above which a user who named no budget is asked first; the skills, the
#: guidance and the MCP server say and do so.
ASK_USER_ABOVE = 50

_FLAGS = dict.fromkeys(("1", "true", "yes", "on"), True)
_FLAGS |= dict.fromkeys(("", "0", "false", "no", "off"), False)

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A key that never shows itself: not in a repr, not in a log, not in an error."""

    _value: str

    def reveal(self) -> str:
        """The key itself; only the line that builds the Authorization header needs it."""
        return self._value

    def __bool__(self) -> bool:
        return self._value != ""

    def __repr__(self) -> str:
        return "Secret('***')" if self._value else "Secret('')"

    __str__ = __repr__

    def __reduce__(self) -> Any:
        raise TypeError("a Secret is not pickled")


@dataclass(frozen=True)
class Settings:
    """What a client needs to know; made by `Settings.load`."""

    key: Secret = field(default_factory=lambda: Secret(""))
    key_source: str = ""
    base_url: str = SERVICE_URL
    site_url: str = SITE_URL
    sandbox: bool = False
    home: Path = Path()
    max_buzz: int = DEFAULT_MAX_BUZZ
    budget: str | None = None
    #: Where a placeholder stands for the key, which one.
    placeholder: str = ""
    ledger: Path = Path("ledger.sqlite3")
    #: Where what was fetched of this service's document and catalogue is kept.
    engines_file: Path = Path("engines.json")

    @classmethod
    def load(
        cls,
        key: Any = None,
        *,
        base_url: str | None = None,
        sandbox: bool | None = None,
        home: str | os.PathLike[str] | None = None,
        max_buzz: int | None = None,
        ledger: str | os.PathLike[str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Settings:
        """Arguments first, then the environment, then the defaults.

        `key` may be a string or anything with `get_secret_value` or `reveal`. Raises ConfigError
        for a value that can't be used. A missing key is not an error here: `require_key` says so
        when a request needs it.
        """
        env = os.environ if environ is None else environ
        given = {
            name: env.get(f"CIVITAI_{name}", "").strip()
            for name in ("SANDBOX", "SITE_URL", "MAX_BUZZ", "BUDGET")
        }
        if sandbox is None:
            sandbox = _FLAGS.get(given["SANDBOX"].lower())
        if sandbox is None:
            flag = f"CIVITAI_SANDBOX is {preview(given['SANDBOX'])}."
            raise ConfigError(flag, advice="Set CIVITAI_SANDBOX to 1 or 0.")
        found, source, placeholder = _find_key(key, env)
        folder = _find_home(home, env)
        url = _check_url(base_url or env.get("CIVITAI_BASE_URL") or SERVICE_URL)
        site = SITE_URL
        if given["SITE_URL"]:
            site = _check_url(given["SITE_URL"], "CIVITAI_SITE_URL")
        elif urlsplit(url).hostname in _LOOPBACK:  # it stands in for the site as well
            site = url + SITE_PATH
        if max_buzz is None:
            max_buzz = _read_limit(given["MAX_BUZZ"]) if given["MAX_BUZZ"] else DEFAULT_MAX_BUZZ
        prefix, service = ("sandbox-" if sandbox else ""), ""
        if not sandbox and url != SERVICE_URL:
            service = "-" + re.sub(r"[^a-z0-9.]+", "-", url.lower().partition("://")[2])[:100]
        return cls(
            key=found,
            key_source=source,
            base_url=url,
            site_url=site,
            sandbox=sandbox,
            home=folder,
            max_buzz=max_buzz,
            budget=given["BUDGET"] or None,
            placeholder=placeholder,
            # The sandbox's Buzz is not money, so it never counts beside it.
            ledger=expand_home(ledger, env) if ledger else folder / f"{prefix}ledger.sqlite3",
            engines_file=folder / f"{prefix}engines{service}.json",
        )

    def require_key(self) -> Secret:
        """The key. Raises ConfigError when there is none."""
        if self.key:
            return self.key
        stands = f" {self.placeholder} is a placeholder, not a key." if self.placeholder else ""
        raise ConfigError(
            f"No Civitai key is set.{stands}",
            advice="Set CIVITAI_API_KEY (made on civitai.com under account settings, API keys).",
            next=[UseSandbox()],
        )


def uses_sandbox(said: bool) -> bool:
    """Is the sandbox in use: by the caller's word, or the environment's?"""
    return said or _FLAGS.get(os.environ.get("CIVITAI_SANDBOX", "").strip().lower(), False)


#: Letters that a token must at least have, so that nobody guesses it.
SHORTEST_TOKEN = 16


def read_caller_token(name: str) -> Secret:
    """The bearer token that callers of a server must show, from the variable `name`.

    Raises ConfigError where there is none, or one that could be guessed.
    """
    token = os.environ.get(name, "").strip()
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise ConfigError(
            f"The variable {preview(name)} holds no token of at least {SHORTEST_TOKEN} characters.",
            advice='Make one with: python3 -c "import secrets; print(secrets.token_urlsafe())"',
        )
    return Secret(token)


_NETWORK = re.compile("(https?|all|no)_proxy|SSL_CERT_(FILE|DIR)|SSLKEYLOGFILE", re.IGNORECASE)


def read_network_variables() -> dict[str, str]:
    """The variables that are set about proxies and certificates (see api/proxies.py)."""
    found = {n: value for n, value in os.environ.items() if _NETWORK.fullmatch(n) and value}
    if "REQUEST_METHOD" in os.environ:  # in a CGI program a visitor sets it, with a header "Proxy"
        found.pop("HTTP_PROXY", None)
    return found


#: What examples and manifests show where the key belongs.
_PLACEHOLDER = re.compile(
    r"\$\{.*\}|\$\w+|%\w+%|\{\{.*\}\}|<.*>|your[\W_].*|civitai_api_(key|token)", re.IGNORECASE
)


def _find_key(key: Any, env: Mapping[str, str]) -> tuple[Secret, str, str]:
    """The key, where it was found, and the placeholder that was found in place of one."""
    given = {name: env.get(name, "") for name in ("CIVITAI_API_KEY", "CIVITAI_API_TOKEN")}
    if key is not None:
        readers = [r for r in ("get_secret_value", "reveal") if hasattr(key, r)]
        given = {"argument": str(getattr(key, readers[0])() if readers else key)}
    placeholder = ""
    for name, value in given.items():
        text = value.strip()
        if _PLACEHOLDER.fullmatch(text):
            placeholder = text
        elif any(ord(c) < 33 or ord(c) > 126 for c in text):
            where = "the key argument" if name == "argument" else name
            what = "characters that no key has (spaces, line breaks, accents)"
            raise ConfigError(
                f"The key in {where} has {what}.",
                advice="Copy it again; it is one word of letters and digits.",
            )
        elif text or name == "argument":
            return Secret(text), name, ""
    return Secret(""), "", placeholder


def _check_url(url: str, name: str = "CIVITAI_BASE_URL") -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, usable = urlsplit(""), False
    if not usable or parts.query or parts.fragment or parts.username or parts.password:
        raise ConfigError(
            f"{preview(hide_user(url))} is not a base URL.",
            advice=f"{name} looks like {SERVICE_URL}: a scheme, a host, nothing secret.",
        )
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ConfigError(
            f"{preview(url)} would send the key unencrypted.",
            advice="Use https; plain http is only for this machine (127.0.0.1).",
        )
    return url.rstrip("/")


def hide_user(url: str) -> str:
    """An address without the user and password in it."""
    scheme, sep, rest = url.partition("://")
    return f"{scheme}{sep}{rest.rpartition('@')[2]}" if sep else url


def _read_limit(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    raise ConfigError(
        f"CIVITAI_MAX_BUZZ is {preview(text)}.",
        advice="Set it to a whole number of Buzz, such as 300.",
    )


def expand_home(path: str | os.PathLike[str], environ: Mapping[str, str] | None = None) -> Path:
    """A path whose `~` is the user's home. Raises ConfigError where no home is known."""
    first, *rest = Path(path).parts or ("",)
    return find_user_home(environ).joinpath(*rest) if first == "~" else Path(path)


def find_user_home(environ: Mapping[str, str] | None = None) -> Path:
    """The user's home folder. Raises ConfigError where none is known, as in some containers."""
    try:
        return Path((environ or {}).get("HOME") or Path.home())
    except RuntimeError:
        raise ConfigError(
            "No home folder is known for this user.",
            advice="Set CIVITAI_SKILL_HOME to a folder that can be written to, or set HOME.",
        ) from None


def find_program_folder(variable: str, name: str) -> Path:
    """Where a program keeps what is the user's: what its variable says, or a folder of the home."""
    own = os.environ.get(variable)
    return expand_home(own) if own else find_user_home() / name


def _find_home(home: str | os.PathLike[str] | None, env: Mapping[str, str]) -> Path:
    own = home or env.get("CIVITAI_SKILL_HOME")
    if own:
        return expand_home(own, env)
    state = env.get("XDG_STATE_HOME") or env.get("LOCALAPPDATA")
    above = expand_home(state, env) if state else find_user_home(env) / ".local" / "state"
    return above / "civitai-skill"


def find_settings_folder() -> Path:
    """Where programs with windows keep the user's settings on this system."""
    if sys.platform == "darwin":
        return find_user_home() / "Library" / "Application Support"
    if sys.platform == "win32":
        return find_program_folder("APPDATA", "AppData/Roaming")
    return find_program_folder("XDG_CONFIG_HOME", ".config")
