"""Why a call did not succeed, in stable codes, and the one exception that the transport raises."""

from enum import StrEnum

import httpx

from headrace.errors import HeadraceError, Unavailable


class CallCode(StrEnum):
    """Stable codes of failed calls. An answer outside 2xx is `HTTP_<status>` instead."""

    INVALID_URL = "INVALID_URL"
    INVALID_REQUEST = "INVALID_REQUEST"
    CREDENTIAL_UNUSABLE = "CREDENTIAL_UNUSABLE"
    EGRESS_DENIED = "EGRESS_DENIED"
    DNS_FAILED = "DNS_FAILED"
    CONNECT_FAILED = "CONNECT_FAILED"
    TLS_FAILED = "TLS_FAILED"
    TIMEOUT = "TIMEOUT"
    CONNECTION_LOST = "CONNECTION_LOST"
    BAD_RESPONSE = "BAD_RESPONSE"
    RESPONSE_TOO_LARGE = "RESPONSE_TOO_LARGE"
    TOO_MANY_REDIRECTS = "TOO_MANY_REDIRECTS"
    REDIRECT_REFUSED = "REDIRECT_REFUSED"


class CallRefused(HeadraceError):
    """A call that we end: a part of it, a redirect or the answer breaks a rule, which the message names."""

    code = "CALL_REFUSED"

    def __init__(self, reason: CallCode, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class TransportFailure(Unavailable, httpx.TransportError):
    """A request that got no usable answer.

    `sent` is true when any byte of the request may have reached the target. It is an
    `httpx.TransportError` too, so that code written for httpx treats it as one.
    """

    code = "OUTBOUND_FAILED"

    def __init__(self, reason: CallCode, message: str, *, sent: bool) -> None:
        Unavailable.__init__(self, message)
        self._request = None  # httpx fills it in; its own constructor would drop our message
        self.reason = reason
        self.sent = sent
