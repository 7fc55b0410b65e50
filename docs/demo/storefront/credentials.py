"""How each API knows its callers, and the two OAuth2 token endpoints (RFC 6749)."""

import base64
import binascii
import hmac
import os
import secrets
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote_plus

from starlette.requests import Request
from starlette.responses import JSONResponse


@dataclass(frozen=True, slots=True)
class Credentials:
    """What callers must show; read from the environment, so that no secret stands in a file."""

    shop_api_key: str
    warehouse_api_key: str
    customers_user: str
    customers_password: str
    payments_client_id: str
    payments_client_secret: str
    ledger_client_id: str
    ledger_client_secret: str
    ledger_refresh_token: str
    notify_token: str
    sender_pin: str

    @staticmethod
    def from_environment() -> "Credentials":
        """Raises `KeyError` with the name of the variable that is missing."""
        return Credentials(**{n: os.environ[f"STOREFRONT_{n.upper()}"] for n in Credentials.__slots__})


def same(given: str | None, wanted: str) -> bool:
    """Compare in constant time."""
    return given is not None and hmac.compare_digest(given.encode(), wanted.encode())


def basic_matches(request: Request, user: str, password: str) -> bool:
    """RFC 7617, UTF-8."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        given = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return False
    return same(given, f"{user}:{password}")


@dataclass(slots=True)
class TokenIssuer:
    """One OAuth2 token endpoint for one client.

    With a `refresh_token` it serves that grant and rotates: each refresh token works once, and showing a
    used one again revokes everything (RFC 9700, section 4.14.2). Without, it serves client credentials.
    """

    client_id: str
    client_secret: str
    lifetime: float
    refresh_token: str | None = None
    issued: int = 0
    _valid: dict[str, float] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)

    def accepts(self, request: Request) -> bool:
        """Whether the call bears an access token that has not run out."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._valid.get(token, 0.0) > time.monotonic()

    async def token(self, request: Request) -> JSONResponse:
        form = dict(parse_qsl((await request.body()).decode(errors="replace")))
        if not self._knows(request, form.get("client_id"), form.get("client_secret")):
            return JSONResponse({"error": "invalid_client"}, 401)
        grant = form.get("grant_type")
        if self.refresh_token is None:
            if grant != "client_credentials":
                return JSONResponse({"error": "unsupported_grant_type"}, 400)
            return self._issue()
        if grant != "refresh_token":
            return JSONResponse({"error": "unsupported_grant_type"}, 400)
        given = form.get("refresh_token", "")
        if given in self._used:
            self._valid.clear()
            self.refresh_token = ""
        if not self.refresh_token or not same(given, self.refresh_token):
            return JSONResponse({"error": "invalid_grant"}, 400)
        self._used.add(given)
        self.refresh_token = secrets.token_urlsafe(24)
        return self._issue()

    def _knows(self, request: Request, client_id: str | None, client_secret: str | None) -> bool:
        if client_id is not None and client_secret is not None:
            return same(client_id, self.client_id) and same(client_secret, self.client_secret)
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        # Section 2.3.1: both halves are form-encoded before they are joined.
        return same(unquote_plus(user), self.client_id) and same(unquote_plus(password), self.client_secret)

    def _issue(self) -> JSONResponse:
        self.issued += 1
        token = secrets.token_urlsafe(24)
        self._valid[token] = time.monotonic() + self.lifetime
        answer: dict[str, object] = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(self.lifetime),
        }
        if self.refresh_token is not None:
            answer["refresh_token"] = self.refresh_token
        return JSONResponse(answer, headers={"cache-control": "no-store"})
