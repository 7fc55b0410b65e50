"""Asks a token endpoint for an access token (RFC 6749: client credentials, refresh token, authorization code).

One call, no redirects, through the guarded transport. Single flight and the storage of a rotated refresh
token are the caller's. Authlib's client is not used: it wants a session of its own under it, and writes
Basic without the form encoding that RFC 6749 section 2.3.1 asks for.
"""

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote_plus, urlencode

from headrace.json_types import Json
from headrace.outbound.call import CallFailure, OutboundCall
from headrace.outbound.client import OutboundClient
from headrace.workflow.idempotency import NOT_ANSWERED_BEHIND

_TOKEN_LIMIT = 64 * 1024
_RESERVED = frozenset(
    {
        "grant_type",
        "client_id",
        "client_secret",
        "refresh_token",
        "scope",
        "code",
        "redirect_uri",
        "code_verifier",
    }
)


class Grant(StrEnum):
    CLIENT_CREDENTIALS = "client_credentials"
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - the grant's name
    AUTHORIZATION_CODE = "authorization_code"


class ClientAuth(StrEnum):
    """How the client proves itself (RFC 7591, 2): in the Authorization header, in the body, or not at all."""

    BASIC = "client_secret_basic"
    POST = "client_secret_post"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What to ask for. `extra` holds further parameters (audience, resource); none of the standard ones.

    AUTHORIZATION_CODE: `code`, the `redirect_uri` that it came to, and the `verifier` of its challenge (RFC 7636).
    """

    token_url: str = field(repr=False)
    grant: Grant
    client_id: str
    client_secret: str = field(default="", repr=False)
    client_auth: ClientAuth = ClientAuth.BASIC
    refresh_token: str = field(default="", repr=False)
    scope: str = ""
    code: str = field(default="", repr=False)
    redirect_uri: str = ""
    verifier: str = field(default="", repr=False)
    extra: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 15.0


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """A token. `expires_in` is seconds from now, None when the server does not say.

    `refresh_token` is None when the server sent none: the old one stays in use (RFC 6749, 6). It ends in
    `refresh_expires_in` seconds, where the server says so in one of the two ways that are in use.
    """

    access_token: str = field(repr=False)
    token_type: str = "Bearer"  # noqa: S105 - the type's name
    expires_in: float | None = None
    refresh_token: str | None = field(default=None, repr=False)
    scope: str | None = None
    refresh_expires_in: float | None = None


class TokenFailureKind(StrEnum):
    """INVALID_GRANT: the refresh token is spent or revoked; a person has to authorise again.
    REJECTED: the server refuses client or request; asking again the same way is no use.
    UNAVAILABLE: no usable answer; asking again later may help.
    """

    INVALID_GRANT = "INVALID_GRANT"
    REJECTED = "REJECTED"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class TokenFailure:
    """No token. `code` is the call's (`DNS_FAILED`, `HTTP_503`) or the server's, when RFC 6749 section 5.2 knows it."""

    kind: TokenFailureKind
    code: str
    message: str
    sent: bool
    retry_after: float | None = None

    @property
    def answer_lost(self) -> bool:
        """The server may have done as it was asked: a refresh token that it rotates is then spent."""
        return self.kind is TokenFailureKind.UNAVAILABLE and self.sent and self.code in _LOST


_REJECTIONS = frozenset(
    {"invalid_request", "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"}
)
_REJECTED = frozenset({"EGRESS_DENIED", "INVALID_URL", *(f"HTTP_{n}" for n in (400, 401, 403, 404, 405))})
# What a gateway says when it lost the answer of the server behind it, and what we say when we lost the gateway's.
_LOST = frozenset(
    {"TIMEOUT", "CONNECTION_LOST", "BAD_RESPONSE", "RESPONSE_TOO_LARGE"}
    | {f"HTTP_{status}" for status in NOT_ANSWERED_BEHIND}
)


def is_rejection(code: str) -> bool:
    """Whether a failure of this code is a REJECTED one."""
    return code in _REJECTIONS or code in _REJECTED


async def request_token(
    client: OutboundClient, request: TokenRequest, *, tenant_id: object
) -> TokenGrant | TokenFailure:
    """One request to the token endpoint. Secrets in the answer are not redacted: they are its point."""
    outcome = await client.send(_call(request), tenant_id=tenant_id)
    if isinstance(outcome, CallFailure):
        return _failure(outcome)
    grant = _grant(outcome.body)
    if grant is not None:
        return grant
    error = _error_code(outcome.body)  # some servers report errors with 200
    if error is not None:
        return _rejected(error, sent=True)
    return TokenFailure(
        TokenFailureKind.UNAVAILABLE, "BAD_RESPONSE", "the token endpoint's answer holds no token", sent=True
    )


def _call(request: TokenRequest) -> OutboundCall:
    form = {name: value for name, value in request.extra.items() if name not in _RESERVED}
    form["grant_type"] = request.grant.value
    if request.grant is Grant.REFRESH_TOKEN:
        form["refresh_token"] = request.refresh_token
    if request.grant is Grant.AUTHORIZATION_CODE:
        form |= {
            "code": request.code,
            "redirect_uri": request.redirect_uri,
            "code_verifier": request.verifier,
        }
    elif request.scope:
        form["scope"] = request.scope
    headers = [
        ("Accept", "application/json"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ]
    if request.client_auth is ClientAuth.BASIC:
        pair = f"{quote_plus(request.client_id)}:{quote_plus(request.client_secret)}"
        headers.append(("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}"))
    else:
        form["client_id"] = request.client_id
        if request.client_auth is ClientAuth.POST:
            form["client_secret"] = request.client_secret
    return OutboundCall(
        "POST",
        request.token_url,
        tuple(headers),
        urlencode(form).encode("ascii"),
        timeout=request.timeout,
        follow_redirects=False,
        response_limit=_TOKEN_LIMIT,
    )


def _grant(body: Json) -> TokenGrant | None:
    if not isinstance(body, dict):
        return None
    token = body.get("access_token")
    if not isinstance(token, str) or not token:
        return None
    kind, refresh, scope = body.get("token_type"), body.get("refresh_token"), body.get("scope")
    return TokenGrant(
        token,
        kind if isinstance(kind, str) and kind else "Bearer",
        _seconds(body.get("expires_in")),
        refresh if isinstance(refresh, str) and refresh else None,
        scope if isinstance(scope, str) else None,
        # 0 is how some write that it does not end.
        _seconds(body.get("refresh_expires_in", body.get("refresh_token_expires_in"))) or None,
    )


def _seconds(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _failure(failure: CallFailure) -> TokenFailure:
    error = _error_code(failure.response.get("body") if failure.response else None)
    if error is not None and failure.status is not None and failure.status < 500:
        return _rejected(error, sent=failure.sent)
    kind = TokenFailureKind.REJECTED if is_rejection(failure.code) else TokenFailureKind.UNAVAILABLE
    message = f"the token endpoint: {failure.message}"
    return TokenFailure(kind, failure.code, message, sent=failure.sent, retry_after=failure.retry_after)


def _error_code(body: Json) -> str | None:
    """The server's error code, if it is one that the standard defines; its description is not taken over."""
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, str) and (error == "invalid_grant" or error in _REJECTIONS) else None


def _rejected(error: str, *, sent: bool) -> TokenFailure:
    if error == "invalid_grant":
        return TokenFailure(
            TokenFailureKind.INVALID_GRANT, error, "the grant is spent, expired or revoked", sent=sent
        )
    return TokenFailure(TokenFailureKind.REJECTED, error, f"the token endpoint answered {error}", sent=sent)
