"""What tests of a log-in share: people, each with a client of ours and a browser."""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

import httpx
from headrace_control.auth.roles import Role

from tests.integration.control_plane.conftest import Client
from tests.integration.control_plane.people import invite
from tests.issuer import Issuer

REDIRECT = "http://127.0.0.1:5000/done"
ALLOWED = "https://console.example.com/logged-in?from=headrace"
ME = "{ me { actor { kind name } role tenant { name } } }"


@dataclass
class Person:
    """A client of ours, and the browser of who uses it."""

    issuer: Issuer
    browser: httpx.AsyncClient
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(40))
    redirect: str = REDIRECT

    async def begin(self, **asked: str) -> httpx.Response:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        params = {"redirect": self.redirect, "challenge": challenge, "state": "of-the-client", **asked}
        return await self.browser.get("/auth/login", params=params)

    async def provider(self, **asked: str) -> dict[str, str]:
        """What the browser brings back from the provider."""
        return self.issuer.authorize((await self.begin(**asked)).headers["location"])

    async def callback(self, answer: dict[str, str]) -> httpx.Response:
        return await self.browser.get("/auth/callback", params=answer)

    async def log_in(self, **asked: str) -> dict[str, str]:
        """What reaches the client: a code, or an error."""
        return told(await self.callback(await self.provider(**asked)))

    async def exchange(self, code: str, **other: str) -> httpx.Response:
        body = {"code": code, "verifier": self.verifier, "redirect": self.redirect, **other}
        return await self.browser.post("/auth/token", json=body)

    async def session(self, **asked: str) -> Client:
        answer = await self.log_in(**asked)
        made = await self.exchange(answer["code"])
        assert made.status_code == 200, made.text
        return Client(self.browser, made.json()["token"])


def told(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 303, answer.text
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


async def joined(kim: Person, admin: Client, role: Role = Role.VIEWER) -> Client:
    return await kim.session(invitation=(await invite(admin, "kim@example.com", role))["code"])
