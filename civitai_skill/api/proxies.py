"""The way to the network as the environment says it: which proxy, and which certificates.

Both libraries below read these variables too, but stumble over wrong ones without naming them, and
over NO_PROXY as other programs write it.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx

from civitai_skill.config import hide_user, read_network_variables
from civitai_skill.errors import ConfigError, preview

_SCHEMES = ("http", "https", "socks5", "socks5h")

#: The extension of a request under which the proxy that it went through stands.
PROXY = "civitai_proxy"

Place = tuple[str, int | None]


@dataclass(frozen=True)
class Proxy:
    """A proxy and the variable that names it."""

    url: str
    variable: str

    def __str__(self) -> str:
        return f"the proxy {hide_user(self.url)} ({self.variable})"


@dataclass(frozen=True)
class Network:
    """Proxies by the scheme they are for, and the places that are reached without one."""

    proxies: Mapping[str, Proxy]
    direct: tuple[Place, ...] = ()

    def proxy_for(self, url: httpx.URL) -> Proxy | None:
        """The proxy through which an address is reached; None for none."""
        proxy = self.proxies.get(url.scheme) or self.proxies.get("all")
        if proxy is None or any(_covers(place, url) for place in self.direct):
            return None
        return proxy


def read_network(variables: Mapping[str, str] | None = None) -> Network:
    """Read the variables for proxies. Raises ConfigError with the name of one that is wrong."""
    given = read_network_variables() if variables is None else variables
    proxies = {}
    for scheme in ("http", "https", "all"):
        name = next((n for n in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY") if n in given), None)
        if name is not None:
            proxies[scheme] = Proxy(_check_proxy(given[name], name), name)
    if not proxies and variables is None:  # on macOS and Windows the system may know one
        for scheme, url in getproxies().items():
            if scheme in ("http", "https"):
                where = "the system's proxy settings"
                proxies[scheme] = Proxy(_check_proxy(url, where), where)
    name = "no_proxy" if "no_proxy" in given else "NO_PROXY"
    return Network(proxies, tuple(_read_direct(given.get(name, ""), name)))


def _check_proxy(text: str, name: str) -> str:
    """The address of a proxy as httpx takes it."""
    url = text.strip() if "://" in text else f"http://{text.strip()}"
    url = re.sub("^socks://", "socks5://", url, flags=re.IGNORECASE)
    try:
        parts = urlsplit(url)
        known = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        parts, known = urlsplit(""), False
    if known:
        return url
    if parts.scheme in ("socks4", "socks4a"):
        raise ConfigError(
            f"{name} names a SOCKS4 proxy, {preview(hide_user(url))}, which is not possible.",
            advice="A proxy that speaks SOCKS5 (socks5://host:port) or HTTP is.",
        )
    raise ConfigError(
        f"{name} is {preview(hide_user(text))}, which is no proxy's address.",
        advice="It looks like http://host:port or socks5://host:port; or unset it.",
    )


def _read_direct(text: str, name: str) -> Iterator[Place]:
    """The places in NO_PROXY: hosts with or without a port, and networks such as 10.0.0.0/8."""
    for item in re.split(r"[,\s]+", text.strip()):
        host = item.rpartition("://")[2].rstrip("/")
        bare, port = host.strip("[]"), None
        if not _network(bare):
            found = re.fullmatch(r"(\[.*\]|[^:\[\]]*)(?::(\d{1,5}))?", host)
            if found is None:
                raise ConfigError(
                    f"{name} holds {preview(item)}, which is no host.",
                    advice="It is a list such as localhost,.example.com,10.0.0.0/8.",
                )
            bare, port = found[1].strip("[]"), int(found[2]) if found[2] else None
        if bare:
            yield bare.lower().removeprefix("*").removeprefix("."), port


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _covers(place: Place, url: httpx.URL) -> bool:
    name, port = place
    host = url.host.lower().rstrip(".")
    if port is not None and port != (url.port or {"http": 80, "https": 443}.get(url.scheme)):
        return False
    network, address = _network(name), _network(host)
    if network is not None and address is not None:
        return address.version == network.version and address[0] in network
    return not name or host == name or host.endswith("." + name)


def make_ssl_context() -> ssl.SSLContext:
    """The certificates to trust. Raises ConfigError with the name of a variable that is wrong."""
    given = read_network_variables()
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        path = Path(given.get(name, ""))
        try:
            if name in given and name == "SSLKEYLOGFILE":
                path.open("ab").close()
            elif name in given and not (path.is_dir() if name.endswith("DIR") else path.is_file()):
                raise _wrong_path(name, given[name], "there is none")
        except (OSError, ValueError) as error:
            raise _wrong_path(name, given[name], str(error)) from None
    try:
        return httpx.create_ssl_context()
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        raise _wrong_path("SSL_CERT_FILE", given.get("SSL_CERT_FILE", ""), str(why)) from None


def _wrong_path(name: str, path: str, why: str) -> ConfigError:
    what = {"SSL_CERT_FILE": "a file of certificates (PEM)", "SSL_CERT_DIR": "a folder of them"}
    return ConfigError(
        f"{name} is {preview(path)}, which can't be used: {why}.",
        advice=f"Let it name {what.get(name, 'a file that can be written to')}, or unset it.",
    )
