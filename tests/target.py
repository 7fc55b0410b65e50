"""A target that journals every call with its idempotency key, and answers as the test says."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    key: str | None
    headers: dict[str, str]
    body: bytes
    query: dict[str, str] = field(default_factory=dict)
    request: web.Request | None = field(default=None, repr=False, compare=False)


@dataclass
class Target:
    """`calls` is the journal, in order of arrival. `hold(path)` keeps calls of a path open until released."""

    calls: list[Call] = field(default_factory=list)
    answers: dict[str, Callable[[Call], Awaitable[web.StreamResponse]]] = field(default_factory=dict)
    url: str = ""
    _gates: dict[str, asyncio.Event] = field(default_factory=dict)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=32 * 1024 * 1024)
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for gate in self._gates.values():
            gate.set()
        if self._runner:
            await self._runner.cleanup()

    def hold(self, path: str) -> None:
        self._gates[path] = asyncio.Event()

    def release(self, path: str) -> None:
        if gate := self._gates.get(path):
            gate.set()

    def on(
        self, path: str, status: int = 200, body: Any = None, headers: dict[str, str] | None = None
    ) -> None:
        """Answer calls of `path` with this."""

        async def answer(_: Call) -> web.StreamResponse:
            return web.json_response(
                body if body is not None else {"ok": True}, status=status, headers=headers
            )

        self.answers[path] = answer

    def of(self, path: str) -> list[Call]:
        return [call for call in self.calls if call.path == path]

    async def called(self, path: str, times: int = 1, seconds: float = 30) -> list[Call]:
        """Wait until `path` was called so often."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: len(self.of(path)) >= times)
        return self.of(path)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        call = Call(
            request.method,
            request.path,
            request.headers.get("Idempotency-Key"),
            {name.lower(): value for name, value in request.headers.items()},
            await request.read(),
            dict(request.query),
            request,
        )
        self.calls.append(call)
        async with self._news:
            self._news.notify_all()
        if gate := self._gates.get(call.path):
            await gate.wait()
        if answer := self.answers.get(call.path):
            return await answer(call)
        return web.json_response({"path": call.path, "n": len(self.of(call.path))})
