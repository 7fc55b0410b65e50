"""Those whom a connection with OAuth2 meets: the authorization server (not ours), and a protected resource."""

import asyncio
import re
import secrets
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx
from aiohttp import web

CALLBACK = "https://client.example/callback"
SCOPES = "openid offline_access orders"


@dataclass(frozen=True)
class Client:
    """A client that the server knows."""

    id: str
    secret: str


@dataclass(frozen=True)
class AuthorizationServer:
    """The server of deploy/local/oidc-provider, over its standard endpoints and its journal."""

    url: str
    http: httpx.AsyncClient

    @property
    def token_url(self) -> str:
        return f"{self.url}/token"

    async def register(self, *, proof: str = "client_secret_basic", **metadata: Any) -> Client:
        """A new client (RFC 7591), which may use every grant."""
        answer = await self.http.post(
            f"{self.url}/reg",
            json={
                "grant_types": ["client_credentials", "authorization_code", "refresh_token"],
                "response_types": ["code"],
                "redirect_uris": [CALLBACK],
                "token_endpoint_auth_method": proof,
                **metadata,
            },
        )
        assert answer.status_code == 201, answer.text
        return Client(answer.json()["client_id"], answer.json()["client_secret"])

    async def authorize(self, client: Client) -> str:
        """A refresh token, after a person has signed in and agreed (RFC 6749, 4.1)."""
        state = secrets.token_urlsafe(8)
        async with httpx.AsyncClient(trust_env=False, timeout=30) as browser:
            asked = {"client_id": client.id, "response_type": "code", "redirect_uri": CALLBACK}
            answer = await browser.get(
                f"{self.url}/auth", params={**asked, "scope": SCOPES, "prompt": "consent", "state": state}
            )
            for form in ({"prompt": "login", "login": "someone", "password": "-"}, {"prompt": "consent"}):
                page = await self._followed(browser, answer)
                action = re.search(r'action="([^"]+)"', page.text)
                assert action is not None, page.text
                answer = await browser.post(action[1], data=form)
            answer = await self._followed(browser, answer)
        query = parse_qs(urlsplit(answer.headers["location"]).query)
        assert query["state"] == [state]
        tokens = await self.http.post(
            self.token_url,
            data={"grant_type": "authorization_code", "code": query["code"][0], "redirect_uri": CALLBACK},
            auth=(client.id, client.secret),
        )
        assert tokens.status_code == 200, tokens.text
        return str(tokens.json()["refresh_token"])

    async def _followed(self, browser: httpx.AsyncClient, answer: httpx.Response) -> httpx.Response:
        """Where a browser ends up on this server: a page, or the redirect that leads back to the client."""
        while answer.is_redirect and answer.next_request and answer.next_request.url.host == "127.0.0.1":
            answer = await browser.send(answer.next_request)
        return answer

    async def refresh(self, client: Client, refresh_token: str) -> httpx.Response:
        """Uses a refresh token by hand, as a thief would."""
        return await self.http.post(
            self.token_url,
            data={"grant_type": "refresh_token", "refresh_token": refresh_token},
            auth=(client.id, client.secret),
        )

    async def revoke(self, client: Client, token: str) -> None:
        """RFC 7009."""
        answer = await self.http.post(
            f"{self.url}/token/revocation", data={"token": token}, auth=(client.id, client.secret)
        )
        assert answer.status_code == 200, answer.text

    async def introspect(self, client: Client, token: str) -> Any:
        """RFC 7662."""
        answer = await self.http.post(
            f"{self.url}/token/introspection", data={"token": token}, auth=(client.id, client.secret)
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def grants(self, client: Client, kind: str) -> list[str | None]:
        """The outcome of each request for a token of this kind: None for a token, else the error."""
        answer = await self.http.get(f"{self.url}/journal", params={"client": client.id})
        return [entry["error"] for entry in answer.json() if entry["grant"] == kind]


@dataclass
class Resource:
    """Answers those who bring a token that the server calls active and that is none of `unwelcome`.

    `tokens` is the journal: the token of each call that was looked at, and whether it was let in. Those who come
    to /slow are `held`, by their tokens, and looked at after `release()`.
    """

    server: AuthorizationServer
    client: Client
    tokens: list[tuple[str, bool]] = field(default_factory=list)
    unwelcome: set[str] = field(default_factory=set)
    held: list[str] = field(default_factory=list)
    url: str = ""
    _gate: asyncio.Event = field(default_factory=asyncio.Event)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/orders", self._orders)
        app.router.add_get("/slow", self._slow)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()
        if self._runner:
            await self._runner.cleanup()

    def release(self) -> None:
        """Let those who wait at /slow go on, and those who come."""
        self._gate.set()

    async def waits(self, calls: int = 1) -> None:
        """Until so many calls wait at /slow."""
        try:
            async with asyncio.timeout(60), self._news:
                await self._news.wait_for(lambda: len(self.held) >= calls)
        except TimeoutError:
            raise AssertionError(f"{len(self.held)} of {calls} calls came") from None

    async def _slow(self, request: web.Request) -> web.StreamResponse:
        self.held.append(_token(request))
        async with self._news:
            self._news.notify_all()
        await self._gate.wait()
        return await self._orders(request)

    async def _orders(self, request: web.Request) -> web.StreamResponse:
        token = _token(request)
        said = await self.server.introspect(self.client, token)
        let_in = bool(said["active"]) and token not in self.unwelcome
        self.tokens.append((token, let_in))
        if not let_in:
            return web.json_response({"error": "invalid_token"}, status=401)
        return web.json_response({"client": said["client_id"], "scope": said["scope"]})


def _token(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")
