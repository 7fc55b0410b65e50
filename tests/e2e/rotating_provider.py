"""A token endpoint that rotates its refresh tokens and ends a grant whose spent token comes back (RFC 9700, 4.14.2).

It speaks HTTP by hand, because some of what it answers no HTTP server would send.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qs

Write = Callable[[bytes], Awaitable[None]]


@dataclass
class Grant:
    """One client's. `asked` is the journal: each refresh token that came, and whether it was the current one.

    `pause` seconds pass before each answer. `fault` is what is done instead of answering well: see `_answer`.
    With `forgiving`, the token before the current one may be used again, and brings the current one.
    """

    name: str
    pause: float = 0.2
    fault: str = ""
    forgiving: bool = False
    asked: list[tuple[str, bool]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    number: int = 0
    ended: bool = False

    @property
    def current(self) -> str:
        return f"refresh-{self.name}-{self.number}"

    def ask(self, token: str) -> tuple[int, bytes]:
        """Status and body, as a sound server gives them."""
        before = f"refresh-{self.name}-{self.number - 1}"
        good = not self.ended and (token == self.current or (self.forgiving and token == before))
        self.asked.append((token, good))
        self.came.set()
        if self.fault in ("500", "503"):
            return int(self.fault), b"{}"
        if not good or self.fault == "invalid_grant":
            self.ended = True
            return 400, b'{"error": "invalid_grant", "error_description": "canary-of-the-provider"}'
        if token == self.current:
            self.number += 1
        given = {
            "access_token": f"access-{self.name}-{self.number}",
            "expires_in": 3600,
            "token_type": "Bearer",
        }
        return 200, json.dumps({**given, "refresh_token": self.current}).encode()


@dataclass
class RotatingProvider:
    """Grants by client id; each connection of ours is a client of its own."""

    grants: dict[str, Grant] = field(default_factory=dict)
    url: str = ""
    _server: asyncio.Server | None = None

    def grant(self, name: str, **behaviour: object) -> Grant:
        self.grants[name] = Grant(name, **behaviour)  # type: ignore[arg-type]
        return self.grants[name]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/token"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.split("content-length:")[1].split("\r\n")[0])
                form = parse_qs((await reader.readexactly(length)).decode())
                if not await self._answer(
                    self.grants[form["client_id"][0]], form["refresh_token"][0], writer
                ):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # whoever asked has left
        finally:
            writer.close()

    async def _answer(self, grant: Grant, token: str, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        status, body = grant.ask(token)
        await asyncio.sleep(grant.pause)
        if grant.fault == "hang up":
            return False
        if grant.fault == "garbage":
            body = b"<html>\xff\x00"
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write((head.encode() + body) * (2 if grant.fault == "twice" else 1))
        await writer.drain()
        return True
