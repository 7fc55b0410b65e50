"""An identity provider of our own, for what no honest one would do."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from joserfc import jws
from joserfc.jwk import ECKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

CLIENT_ID = "headrace"
CLIENT_SECRET = "the client's secret/+ :"


def ec_key(kid: str) -> ECKey:
    return ECKey.generate_key("P-256", parameters={"kid": kid})


def signed(claims: Mapping[str, Any], key: ECKey | RSAKey, alg: str = "ES256", **header: Any) -> str:
    """A token. A header that is None is left out."""
    whole = {"alg": alg, "kid": key.kid, **header}
    named = {name: value for name, value in whole.items() if value is not None}
    registry = jws.JWSRegistry(algorithms=[alg], strict_check_header=False)
    return jws.serialize_compact(named, json.dumps(claims), key, registry=registry)


def by_hand(header: Mapping[str, Any], claims: Mapping[str, Any], secret: bytes | None) -> str:
    """A token that no library would write: signed with an HMAC, or not at all."""
    parts = ".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
    mac = hmac.new(secret, parts.encode(), hashlib.sha256).digest() if secret is not None else b""
    return f"{parts}.{_base64(mac)}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Issuer:
    """`claims` are added to, and taken from, what an honest token says; `sign` makes the token of them."""

    url: str = ""
    keys: list[ECKey] = field(default_factory=lambda: [ec_key("first")])
    claims: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    configuration: dict[str, Any] = field(default_factory=dict)
    sign: Callable[["Issuer", dict[str, Any]], str] = lambda issuer, claims: signed(claims, issuer.keys[-1])
    key_fetches: int = 0
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._configuration),
                Route("/jwks", self._jwks),
                Route("/token", self._token, methods=["POST"]),
                Route("/userinfo", self._userinfo),
            ]
        )

    def authorize(self, location: str, **more: str) -> dict[str, str]:
        """What the browser brings back when a person has logged in at `location`."""
        asked = dict(parse_qsl(urlsplit(location).query))
        assert location.startswith(f"{self.url}/authorize?")
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return {"code": code, "state": asked["state"], **more}

    async def _configuration(self, _: Request) -> JSONResponse:
        said = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "userinfo_endpoint": f"{self.url}/userinfo",
        }
        return JSONResponse({**said, **self.configuration})

    async def _jwks(self, _: Request) -> JSONResponse:
        self.key_fetches += 1
        return JSONResponse({"keys": [key.as_dict(private=False) for key in self.keys]})

    async def _token(self, request: Request) -> JSONResponse:
        form = dict(parse_qsl((await request.body()).decode()))
        asked = self.codes.pop(form.get("code", ""), None)
        basic = base64.b64encode(urlencode({CLIENT_ID: CLIENT_SECRET}).replace("=", ":", 1).encode()).decode()
        known = request.headers.get("authorization") == f"Basic {basic}"
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if asked is None or not known or asked["code_challenge"] != _base64(digest):
            return JSONResponse({"error": "invalid_grant"}, 400)
        if asked["redirect_uri"] != form.get("redirect_uri"):
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        honest = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "sub": "kim",
            "nonce": asked["nonce"],
            "iat": now,
            "exp": now + 300,
            "email": "kim@example.com",
            "email_verified": True,
        }
        claims = {name: value for name, value in {**honest, **self.claims}.items() if value is not None}
        return JSONResponse(
            {"id_token": self.sign(self, claims), "access_token": "access", "token_type": "Bearer"}
        )

    async def _userinfo(self, _: Request) -> JSONResponse:
        return JSONResponse(self.userinfo)
