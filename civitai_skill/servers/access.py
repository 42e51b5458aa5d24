"""Where a server listens, and who may call it.

A page in a browser can reach servers on its own machine, so the Host and Origin of every request
are checked, on the loopback address too. Whoever binds elsewhere needs a token.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from civitai_skill.config import Secret, read_caller_token
from civitai_skill.errors import ConfigError, Problem, RequestInvalid

LOCALHOST = "127.0.0.1"
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

#: Seconds that the head of a request may take to arrive, and its body.
HEAD_SECONDS = 20.0
BODY_SECONDS = 20.0

_NAME = re.compile(r"[a-z0-9_.-]+|\[[0-9a-f:.]+\]")
_ORIGIN = re.compile(rf"([a-z][a-z0-9+.-]*)://({_NAME.pattern})(:[0-9]{{1,5}})?(?=[/?#]|$)/?")
_USUAL = {"http": ":80", "https": ":443"}


@dataclass(frozen=True)
class AccessPolicy:
    """Where a server listens and whom it answers.

    `hosts` and `origins` are let in besides the loopback names and the server's own pages. Paths in
    `open_paths` need no token.
    """

    host: str = LOCALHOST
    port: int = 0
    token: Secret | None = None
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    open_paths: frozenset[str] = frozenset()
    head_seconds: float = HEAD_SECONDS
    body_seconds: float = BODY_SECONDS

    def __post_init__(self) -> None:
        if self.token is None and not _is_loopback(self.host):
            raise ConfigError(
                f"A server on {self.host} can be reached from other machines and needs a token.",
                advice="Name the variable that holds it with --token-env NAME, or leave "
                "--host out.",
            )

    @classmethod
    def from_flags(
        cls,
        host: str,
        port: int,
        token_env: str | None = None,
        hosts: Sequence[str] = (),
        origins: Sequence[str] = (),
        open_paths: frozenset[str] = frozenset(),
    ) -> AccessPolicy:
        """Build a policy from command-line flags. Raises ConfigError, RequestInvalid."""
        token = None if token_env is None else read_caller_token(token_env)
        names, pages = tuple(map(_normalize_host, hosts)), tuple(map(_normalize_origin, origins))
        return cls(host, port, token, names, pages, open_paths)

    def allows_host(self, text: str) -> bool:
        """May a request be meant for this Host?"""
        name = _strip_port(text).lower()
        return name in (*_LOOPBACK, format_host(self.host), *self.hosts)

    def allows_origin(self, text: str, host: str) -> bool:
        """May a page of this Origin ask? Those that the server itself gave, as `host`, may."""
        text = text.lower()
        scheme, _, rest = text.partition("://")
        if scheme in _USUAL and rest == host.lower():
            return True
        return text in self.origins or (scheme == "http" and _strip_port(rest) in _LOOPBACK)

    def accepts_token(self, header: str) -> bool:
        """Is it the token, or is none asked for?"""
        if self.token is None:
            return True
        scheme, _, given = header.partition(" ")
        right = self.token.reveal().encode()
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), right)


def _normalize_host(text: str) -> str:
    """A name as it is compared. Raises RequestInvalid."""
    given = text.strip().lower()
    name = format_host(given) if given.count(":") > 1 and "[" not in given else _strip_port(given)
    if _NAME.fullmatch(name):
        return name
    found = _ORIGIN.match(given)
    accepted = "a host name such as pictures.example; any port is meant"
    raise RequestInvalid(Problem("--allow-host", text, accepted, found[2] if found else None))


def _normalize_origin(text: str) -> str:
    """An origin as browsers say it. Raises RequestInvalid."""
    given = text.strip().lower()
    found = _ORIGIN.fullmatch(given)
    if found is not None:
        scheme, name, port = found.groups(default="")
        return f"{scheme}://{name}{'' if port == _USUAL.get(scheme) else port}"
    near = _ORIGIN.match(given)
    why = "pages of any origin could spend your Buzz" if given == "*" else ""
    accepted = "a scheme and a host such as https://pictures.example, each origin by itself"
    nearest = None if near is None else near[0].rstrip("/")
    raise RequestInvalid(Problem("--cors-origin", text, accepted, nearest, why))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def format_host(host: str) -> str:
    """A host as it stands in an address."""
    return f"[{host}]" if ":" in host else host.lower()


def _strip_port(text: str) -> str:
    head, colon, port = text.rpartition(":")
    return head if colon and port.isdigit() and not head.endswith(":") else text
