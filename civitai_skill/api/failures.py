"""What a failed request means: the error it becomes, whether Buzz was spent, what to do next."""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from civitai_skill.api.parse import (
    clean_reason,
    read,
    read_answer,
    read_field_reasons,
    read_reasons,
    retry_after,
)
from civitai_skill.api.proxies import PROXY
from civitai_skill.errors import (
    KEPT,
    ApiError,
    BadRequest,
    Forbidden,
    NotEnoughBuzz,
    NotFound,
    RateLimited,
    ServerError,
    Spent,
    TransportFailed,
    Unauthorized,
)
from civitai_skill.errors.next_steps import Look, Next, Settle


class TooLarge(httpx.TransportError):
    """A body went on past the bytes or the seconds that were allowed."""


class Closed(httpx.TransportError):
    """The client was closed before the request left."""


#: After these it is certain that the service never got the request: no connection came about, or
#: a proxy did not make one.
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, Closed)


#: Answers to a submit that certainly mean that nothing was taken, and why. The document lists 400,
#: 401 and 429 for it, and 403 as a bare string; 413, 415 and 422 for other bodies. Whatever else is
#: answered (402 or 409, say) may come after the workflow was made, so the same key is sent again.
REFUSALS = {
    400: "the body was read and found wrong",
    401: "the key was not accepted",
    403: "the key, or the prompt, is not allowed to",
    404: "nothing takes workflows at this address, or the body names what is not there",
    405: "nothing takes workflows at this address",
    413: "the body is larger than what is read",
    415: "the body is not of a kind that is read",
    422: "the body was read and found wrong",
    429: "it was not its turn",
}


@dataclass(frozen=True)
class Purpose:
    """What a request is for, and the Buzz that hangs on it.

    `key` is the idempotency key of a submit, `paid` the workflow that is looked at or changed where
    Buzz is committed for it; `pays` says that the change itself may cost Buzz.
    """

    what: str = "the request"
    key: str | None = None
    paid: str | None = None
    pays: bool = False

    @property
    def costs(self) -> bool:
        """May the request itself cost Buzz?"""
        return self.pays or self.key is not None

    def outlook(self, advice: str, unsure: bool) -> dict[str, Any]:
        """How things stand after a failure, and what to do, as an error carries it; `unsure` says
        that it is not certain that the service did not take the request."""
        spent: Spent = "unknown" if unsure and self.costs else "no"
        following: Sequence[Next] = ()
        if self.paid is not None:
            spent, following = "yes", [Look(self.paid)]
        elif spent == "unknown":
            advice += " The service may have taken it."
            if self.key is not None:
                advice += f" The same body sent again with its key {self.key} can't pay twice."
                following = [Settle(self.key)]
        return {
            "advice": advice.strip(), "next": following, "spent": spent, "key": self.key,
            "workflow_id": self.paid,
        }  # fmt: skip


def api_error(
    response: httpx.Response, purpose: Purpose = Purpose(), *, unsure: bool = False
) -> ApiError:
    """An answer of 4xx or 5xx as the error it means."""
    body = read_answer(response, object)
    reasons = tuple(clean_reason(text) for text in read_reasons(body))
    trace = read(body, "traceId", str) if isinstance(body, dict) else ""
    kind, message, advice = _meaning(response, "; ".join(reasons), purpose)
    if purpose.paid is not None and kind is not NotFound:
        advice += f" {KEPT}"
    return kind(
        message,
        status=response.status_code,
        reasons=reasons,
        trace_id=trace or None,
        retry_after=retry_after(response),
        fields=read_field_reasons(body),
        **purpose.outlook(advice, unsure),
    )


_NO_BUZZ = re.compile(r"insufficient\s*buzz|enough\s+(funds|buzz)", re.IGNORECASE)


def is_refusal(response: httpx.Response, purpose: Purpose) -> bool:
    """Is it certain that the service did not do what it was asked, and will not?"""
    status = response.status_code
    if status in (408, 429) or not 400 <= status < 500:
        return False
    return not purpose.costs or status in REFUSALS or _lacks_buzz(response)


def _lacks_buzz(response: httpx.Response) -> bool:
    """The status for lack of Buzz is disputed between sources (400, 402, 403): the words count."""
    words = " ".join(read_reasons(read_answer(response, object)))
    said = f"{words} {response.content[:2000]!r}"
    return response.status_code in (400, 402, 403) and bool(_NO_BUZZ.search(said))


def _meaning(
    response: httpx.Response, said: str, purpose: Purpose
) -> tuple[type[ApiError], str, str]:
    status = response.status_code
    why = f": {said.rstrip('.')}" if said else ""
    if _lacks_buzz(response):
        return NotEnoughBuzz, "The account has not enough Buzz for this.", (
            "Buy Buzz, or lower the price (draft quality, fewer pictures). Mature content is paid "
            "in yellow Buzz only, whatever the blue balance is."
        )  # fmt: skip
    if status == 401:
        return Unauthorized, "The service does not accept this key.", (
            "Make a new key on civitai.com (account settings, API keys) and set CIVITAI_API_KEY."
        )  # fmt: skip
    if status == 403:
        return Forbidden, f"The key may not do this{why}.", (
            "Check the key's scopes (AI services read and write) and the content settings."
        )  # fmt: skip
    if status == 404:
        return NotFound, f"The service does not know it for this key{why}.", (
            "Check the id; workflows are kept for 30 days, and only their owner sees them."
        )  # fmt: skip
    if status == 429:
        return RateLimited, "The service asks for fewer requests.", (
            "Try again in a minute, with fewer at once."
        )  # fmt: skip
    if status >= 500:
        return ServerError, f"The service failed with status {status}{why}.", (
            "This is the service's own trouble; try again later."
        )  # fmt: skip
    if purpose.costs and not is_refusal(response, purpose):
        return ApiError, f"The service answered {purpose.what} with status {status}{why}.", ""
    change, lowered = "Change what it names and try again.", said.lower()
    if "tos" in lowered.split() or "blocked" in lowered:
        change = "Change the prompt; sending a blocked one again counts against the account."
    elif "mature" in lowered:
        change = "Allow mature content (it is paid in yellow Buzz), or change the prompt."
    elif "not enabled for generation" in lowered:
        change = "Choose another model or LoRA; this one can't be used for generation."
    return BadRequest, f"The service refused the request (status {status}){why}.", change


def transport_failed(
    trouble: Exception | httpx.Response | None,
    purpose: Purpose,
    tries: int,
    request: httpx.Request,
    *,
    unsure: bool,
) -> TransportFailed:
    """The error for a request that no usable answer came to."""
    times = f"{tries} tries" if tries > 1 else "one try"
    what, advice = _describe(trouble, request)
    if purpose.paid is not None:
        advice += f" {KEPT}"
    elif unsure and purpose.costs:
        advice = ""  # what to do about the purchase comes first
    return TransportFailed(
        f"No usable answer to {purpose.what} after {times}: {what}.",
        **purpose.outlook(advice, unsure),
    )


_TROUBLES = {
    httpx.ConnectTimeout: "connecting took too long",
    httpx.ConnectError: "no connection could be made",
    httpx.ReadTimeout: "the service did not answer in time",
    httpx.ReadError: "the connection broke",
    httpx.WriteError: "the connection broke while sending",
    httpx.RemoteProtocolError: "the service broke off its answer",
    TooLarge: "the answer did not end",
    Closed: "this client was closed",
    httpx.UnsupportedProtocol: "the address is not http or https",
    httpx.InvalidURL: "the address is not usable",
}


def _describe(
    trouble: Exception | httpx.Response | None, request: httpx.Request
) -> tuple[str, str]:
    """What happened, and what to check."""
    if not isinstance(trouble, Exception):
        elsewhere = trouble is not None and trouble.is_redirect
        what = "it leads elsewhere" if elsewhere else "the answer was not readable"
        return what, "Check the base URL and whether the network wants a sign-in first."
    fault = certificate_fault(trouble)
    if fault is not None:
        return f"the certificate of {request.url.host} is not accepted ({fault})", (
            "Check this machine's clock, whether the network wants a sign-in first, and "
            "SSL_CERT_FILE where the network has certificates of its own."
        )  # fmt: skip
    found = (words for kind, words in _TROUBLES.items() if isinstance(trouble, kind))
    what = next(found, "it failed")
    proxy = request.extensions.get(PROXY)
    if proxy is None:
        return what, "Check the connection and the base URL, then try again."
    if isinstance(trouble, httpx.ProxyError):
        what = f"{proxy} made no connection ({clean_reason(str(trouble))})"
    else:
        what += f" through {proxy}"
    return what, "Check the proxy and the connection, then try again."


def certificate_fault(trouble: BaseException | None) -> str | None:
    """Why a certificate was not accepted; None where that is not what went wrong."""
    while trouble is not None:
        if isinstance(trouble, ssl.SSLCertVerificationError):
            return clean_reason(trouble.verify_message)
        trouble = trouble.__cause__ or trouble.__context__
    return None
