"""A token endpoint, and a connection whose tokens come from it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from aiohttp import web
from headrace_control.connections.credentials import Refreshed
from headrace_control.connections.model import RunCredential

from tests.target import Call


@dataclass
class TokenEndpoint:
    """Rotates its refresh token at each use and gives `invalid_grant` for a spent one (RFC 6749, section 6).

    `garbage` is answered in place of a token, after the rotation; with `hang_up`, nothing is.
    """

    url: str = ""
    refresh_token: str = "refresh-canary-0"
    expires_in: float | None = 3600
    status: int = 200
    garbage: bytes | None = None
    hang_up: bool = False
    asked: list[dict[str, str]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, call: Call) -> web.StreamResponse:
        form = {name: values[0] for name, values in parse_qs(call.body.decode()).items()}
        self.asked.append(form)
        self.authorizations.append(call.headers.get("authorization", ""))
        await self.gate.wait()
        if self.status != 200:
            return web.Response(status=self.status)
        if form["grant_type"] == "refresh_token":
            if form["refresh_token"] != self.refresh_token:
                return web.json_response({"error": "invalid_grant"}, status=400)
            self.refresh_token = f"refresh-canary-{len(self.asked)}"
        if self.hang_up:
            assert call.request is not None
            assert call.request.transport is not None
            call.request.transport.abort()
        if self.garbage is not None:
            return web.Response(body=self.garbage, content_type="application/json")
        given: dict[str, Any] = {"access_token": f"access-canary-{len(self.asked)}", "token_type": "bearer"}
        if self.expires_in is not None:
            given["expires_in"] = self.expires_in
        if form["grant_type"] == "refresh_token":
            given["refresh_token"] = self.refresh_token
        return web.json_response(given)


@dataclass(frozen=True)
class Ledger:
    tenant_id: UUID
    connection_id: UUID


def token(refreshed: Refreshed) -> str:
    assert isinstance(refreshed, RunCredential)
    return refreshed.credential.fields["access_token"]
