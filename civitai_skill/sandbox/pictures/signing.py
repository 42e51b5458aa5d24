"""Signed addresses of blobs, and tokens that carry facts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

#: Makes the signed address of a blob, and says when it expires.
Sign = Callable[[str], tuple[str, str]]

ROOT = "/v2/consumer/blobs"

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_id(suffix: str) -> str:
    """26 characters of Crockford's base 32 and a suffix."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(26)) + f".{suffix}"


class Signer:
    """Signs and checks addresses. `secret` is the memory's, so that several servers agree."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def address(self, base: str, id: str, until: str) -> str:
        """The signed address of a blob."""
        return f"{base}{ROOT}/{id}?sig={self._mark(id, until)}&exp={until}"

    def is_signed(self, id: str, mark: str, until: str) -> bool:
        """Is the signature ours?"""
        return hmac.compare_digest(self._mark(id, until).encode(), mark.encode())

    def token(self, purpose: str, **facts: Any) -> str:
        """An opaque token that carries facts, good for one purpose only."""
        body = base64.urlsafe_b64encode(json.dumps(facts).encode()).decode().rstrip("=")
        return f"{body}.{self._mark(purpose, body)}"

    def facts(self, purpose: str, token: str) -> Mapping[str, Any] | None:
        """What a token carries; None when it is not one of ours for this purpose."""
        body, _, mark = token.partition(".")
        if not self.is_signed(purpose, mark, body):
            return None
        facts: Mapping[str, Any] = json.loads(
            base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        )
        return facts

    def _mark(self, *parts: str) -> str:
        digest = hmac.new(self._secret, "\n".join(parts).encode(), hashlib.sha256).digest()
        return "CfDJ8" + base64.urlsafe_b64encode(digest).decode().rstrip("=")
