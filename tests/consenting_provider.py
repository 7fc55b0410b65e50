"""A provider where a person agrees (RFC 6749, 4.1): it checks PKCE, redirect URI and client as the standards say."""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from aiohttp import web

from tests.target import Call, Target

CLIENT_ID, CLIENT_SECRET = "client of /+:", "s3cret of the client"


@dataclass
class ConsentingProvider:
    """`given` is added to each token answer; None there leaves a field out. `broken`, a status and a body, is
    answered in place of it.

    `asked` is the journal of the token endpoint: each form that came, and the error that was answered, if one was.
    """

    target: Target
    given: dict[str, Any] = field(default_factory=dict)
    broken: tuple[int, bytes] | None = None
    asked: list[tuple[dict[str, str], str | None]] = field(default_factory=list)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)
    _refresh_token: str = ""

    def __post_init__(self) -> None:
        self.target.answers["/token"] = self._token

    def auth(self, **more: Any) -> dict[str, Any]:
        """An app's scheme."""
        return {
            "kind": "OAUTH2",
            "grant": "AUTHORIZATION_CODE",
            "authorizationUrl": f"{self.target.url}/authorize?prompt=consent",
            "tokenUrl": f"{self.target.url}/token",
            "scopes": ["orders", "offline_access"],
            **more,
        }

    def consent(self, url: str, **more: str) -> dict[str, str]:
        """What the browser brings back when a person has agreed at `url`."""
        asked = dict(parse_qsl(urlsplit(url).query))
        assert url.startswith(f"{self.target.url}/authorize?prompt=consent&")
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        assert (asked["client_id"], asked["scope"]) == (CLIENT_ID, "orders offline_access")
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return {"code": code, "state": asked["state"], **more}

    async def _token(self, call: Call) -> web.StreamResponse:
        form = {name: values[0] for name, values in parse_qs(call.body.decode()).items()}
        error = self._problem(form, call.headers.get("authorization", ""))
        self.asked.append((form, error))
        if self.broken is not None:
            status, body = self.broken
            return web.Response(status=status, body=body, content_type="application/json")
        if error is not None:
            said = {"error": error, "error_description": "canary-of-the-provider"}
            return web.json_response(said, status=400)
        self._refresh_token = f"refresh-{secrets.token_urlsafe(16)}"
        answer = {
            "access_token": f"access-{secrets.token_urlsafe(16)}",
            "token_type": "Bearer",
            "expires_in": 3600,
            "refresh_token": self._refresh_token,
            **self.given,
        }
        return web.json_response({name: value for name, value in answer.items() if value is not None})

    def _problem(self, form: dict[str, str], authorization: str) -> str | None:
        pair = base64.b64encode(b"client+of+%2F%2B%3A:s3cret+of+the+client").decode()
        if authorization != f"Basic {pair}":
            return "invalid_client"
        if form["grant_type"] == "refresh_token":
            return None if form["refresh_token"] == self._refresh_token else "invalid_grant"
        asked = self._codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if asked is None or (asked["code_challenge"], asked["redirect_uri"]) != (
            challenge,
            form["redirect_uri"],
        ):
            return "invalid_grant"
        return None
