"""Where a server listens, and who may call it.

A page in a browser can reach servers on its own machine, so the Host and Origin of every request
are checked, on the loopback address too. Whoever binds elsewhere needs a token.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from civitai_skill.config import Secret, read_caller_token
from civitai_skill.errors import ConfigError, Problem, RequestInvalid, preview
from civitai_skill.errors.next_steps import Fix

LOCALHOST = "127.0.0.1"
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

#: Seconds that the head of a request may take to arrive, and its body.
HEAD_SECONDS = 20.0
BODY_SECONDS = 20.0

_NAME = re.compile(r"[a-z0-9_.-]+|\[[0-9a-f:.]+\]")
_ORIGIN = re.compile(rf"([a-z][a-z0-9+.-]*)://({_NAME.pattern})(:[0-9]{{1,5}})?(?=[/?#]|$)/?")
#: A port behind a host; the last part of a bare IPv6 address is none.
_PORT = re.compile(r"(?<!:):[0-9]+\Z")
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
                advice="Name the variable that holds it, or leave the host out.",
                next=[Fix("token_env", "NAME")],
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
        name = _PORT.sub("", text.lower())
        return name in _LOOPBACK or name in self.hosts or name == format_host(self.host)

    def allows_origin(self, text: str, host: str) -> bool:
        """May a page of this Origin call? Those that this server itself gave, as `host`, may."""
        text = text.lower()
        scheme, _, rest = text.partition("://")
        if scheme in _USUAL and rest == host.lower():
            return True
        return text in self.origins or (scheme == "http" and _PORT.sub("", rest) in _LOOPBACK)

    def accepts_token(self, header: str) -> bool:
        """Is this Authorization header the token, or is no token needed?"""
        if self.token is None:
            return True
        scheme, _, given = header.partition(" ")
        right = self.token.reveal().encode()
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), right)


def _normalize_host(text: str) -> str:
    """A host name as it is compared. Raises RequestInvalid."""
    given = text.strip().lower()
    bare = given.count(":") > 1 and "[" not in given
    name = format_host(given) if bare else _PORT.sub("", given)
    if _NAME.fullmatch(name):
        return name
    found = _ORIGIN.match(given)
    accepted = "a host name such as pictures.example; any port is meant"
    raise RequestInvalid(Problem("allow_host", text, accepted, found[2] if found else None))


def _normalize_origin(text: str) -> str:
    """An origin as browsers write it. Raises RequestInvalid."""
    given = text.strip().lower()
    found = _ORIGIN.fullmatch(given)
    if found is not None:
        scheme, name, port = found.groups(default="")
        return f"{scheme}://{name}{'' if port == _USUAL.get(scheme) else port}"
    near = _ORIGIN.match(given)
    why = "pages of any origin could spend your Buzz" if given == "*" else ""
    accepted = "a scheme and a host such as https://pictures.example, each origin by itself"
    nearest = None if near is None else near[0].rstrip("/")
    raise RequestInvalid(Problem("cors_origin", text, accepted, nearest, why))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def format_host(host: str) -> str:
    """A host as it stands in an address."""
    return f"[{host}]" if ":" in host else host.lower()


#: Connections that may wait to be accepted.
BACKLOG = 2048


# -- listening -----------------------------------------------------------------------------
def open_listener(host: str, port: int) -> socket.socket:
    """Listen on an address; port 0 takes a free one. Raises ConfigError."""
    try:
        if port > 65535:
            raise OverflowError
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable address"
        raise ConfigError(
            f"The address {preview(f'{host}:{port}')} can't be taken: {reason}.",
            advice="Choose another port; 0 takes a free one.",
            next=[Fix("port", 0)],
        ) from None


def ready_line(name: str, listener: socket.socket, path: str = "") -> str:
    """What a server prints when it is ready."""
    host, port = listener.getsockname()[:2]
    address = f"http://{format_host(host)}:{port}{path}"
    return f"The {name} is ready on {address} (stop it with Ctrl-C)."
