"""The identity provider, as we speak with it: one issuer, fixed by the settings."""

import base64
import time
from collections.abc import Callable
from urllib.parse import quote_plus, urlencode

from headrace.errors import Unauthenticated, Unavailable
from headrace.json_types import Json, JsonObject
from headrace.outbound.call import CallFailure, OutboundCall
from headrace.outbound.client import OutboundClient

from headrace_control.code_flow.answer import with_query
from headrace_control.login.discovery import PATH, Endpoints, read_endpoints
from headrace_control.login.id_token import Expected, read_id_token
from headrace_control.login.key_set import KeySet
from headrace_control.login.model import OidcClient
from headrace_control.members.emails import read_email
from headrace_control.members.model import Identity

_MAX_AGE_SECONDS = 3600.0
_TIMEOUT_SECONDS = 10.0
_ANSWER_LIMIT = 256 * 1024
_MAX_NAME = 200
# Whom the calls count for: no tenant, so that none can open the provider's place, or close it, by its own rules.
_IDENTITY = "identity"


class IdentityProvider:
    """Every call goes by the egress guard and follows no redirect. `clock` is monotonic, `now` is of the wall."""

    def __init__(
        self,
        client: OidcClient,
        outbound: OutboundClient,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._client, self._outbound, self._clock, self._now = client, outbound, clock, now
        self._endpoints: tuple[float, Endpoints] | None = None
        self._keys = KeySet(self._fetch_keys, clock)

    async def endpoints(self) -> Endpoints:
        """From the provider's configuration, an hour old at most. Raises `Unavailable`."""
        if self._endpoints is None or self._clock() - self._endpoints[0] >= _MAX_AGE_SECONDS:
            document = await self._send("GET", self._client.issuer.rstrip("/") + PATH)
            self._endpoints = self._clock(), read_endpoints(self._client.issuer, document)
        return self._endpoints[1]

    async def authorization_url(self, redirect: str, state: str, nonce: str, challenge: str) -> str:
        """Where the browser goes to log in."""
        query = {
            "response_type": "code",
            "client_id": self._client.client_id,
            "redirect_uri": redirect,
            "scope": self._client.scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return with_query((await self.endpoints()).authorization, query)

    async def check_issuer(self, named: str | None) -> None:
        """An answer that names another issuer is not the provider's (RFC 9207). Raises `Unauthenticated`."""
        required = (await self.endpoints()).names_issuer
        if named != self._client.issuer and (named is not None or required):
            raise Unauthenticated("the answer is another identity provider's")

    async def identify(self, code: str, verifier: str, redirect: str, nonce: str, *, email: bool) -> Identity:
        """Who logged in. With `email` the provider is asked for the address when the token does not tell it."""
        answer = await self._exchange(code, verifier, redirect)
        token, access = answer.get("id_token"), answer.get("access_token")
        if not isinstance(token, str):
            raise Unauthenticated("the identity provider gave no ID token")
        expected = Expected(self._client.issuer, self._client.client_id, nonce, self._now())
        claims = await read_id_token(token, self._keys, self._client.algorithms, expected)
        if email and "email" not in claims and isinstance(access, str):
            claims = {**await self._userinfo(access, claims["sub"]), **claims}
        name = claims.get("name")
        return Identity(
            self._client.issuer,
            str(claims["sub"]),
            _verified_email(claims),
            name[:_MAX_NAME] if isinstance(name, str) and name.isprintable() else "",
        )

    async def _exchange(self, code: str, verifier: str, redirect: str) -> JsonObject:
        client, endpoints = self._client, await self.endpoints()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "code_verifier": verifier,
        }
        headers = [("Content-Type", "application/x-www-form-urlencoded")]
        if client.client_secret and not endpoints.secret_in_body:
            pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
            headers.append(("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}"))
        else:
            form["client_id"] = client.client_id
            if client.client_secret:
                form["client_secret"] = client.client_secret
        answer = await self._send("POST", endpoints.token, headers, urlencode(form).encode("ascii"))
        if not isinstance(answer, dict):
            raise Unavailable("the identity provider's answer can not be read")
        return answer

    async def _userinfo(self, access_token: str, subject: Json) -> JsonObject:
        address = (await self.endpoints()).userinfo
        if address is None or not access_token.isascii() or not access_token.isprintable():
            return {}
        answer = await self._send("GET", address, [("Authorization", f"Bearer {access_token}")])
        # OpenID Connect Core 5.3.2: what is said of somebody else is not taken.
        if not isinstance(answer, dict) or answer.get("sub") != subject:
            raise Unauthenticated("the identity provider's answer is about somebody else")
        return answer

    async def _fetch_keys(self) -> Json:
        return await self._send("GET", (await self.endpoints()).keys)

    async def _send(
        self, method: str, url: str, headers: list[tuple[str, str]] | None = None, body: bytes = b""
    ) -> Json:
        """The answer's body. Raises `Unauthenticated` when the provider refuses what we sent, else `Unavailable`."""
        call = OutboundCall(
            method,
            url,
            (("Accept", "application/json"), *(headers or ())),
            body,
            timeout=_TIMEOUT_SECONDS,
            follow_redirects=False,
            response_limit=_ANSWER_LIMIT,
        )
        outcome = await self._outbound.send(call, tenant_id=_IDENTITY)
        if not isinstance(outcome, CallFailure):
            return outcome.body
        if method == "POST" and outcome.status in (400, 401, 403):
            raise Unauthenticated("the identity provider refuses this log-in")
        raise Unavailable(f"the identity provider can not be asked ({outcome.code})")


def _verified_email(claims: JsonObject) -> str | None:
    email, verified = claims.get("email"), claims.get("email_verified")
    # Some providers write the boolean as text.
    if isinstance(email, str) and (verified is True or verified == "true"):
        return read_email(email)
    return None
