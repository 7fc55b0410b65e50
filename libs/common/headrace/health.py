"""The health port of a service without an API of its own: /health, /ready, /metrics."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge

Check = Callable[[], Coroutine[Any, Any, None]]

_log = structlog.get_logger(__name__)

CHECK_SECONDS = 3.0
# How often a process asks itself, for its metric.
WATCH_SECONDS = 10.0
# How long a connection may last, its request and answer included; each brings one request.
CONNECTION_SECONDS = 30.0

_CODES: Mapping[int, str] = MappingProxyType(
    {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 413: "LIMIT_EXCEEDED", 500: "INTERNAL"}
)
_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "Server": "headrace",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
)


class HealthServer:
    """Serves until closed. `/ready` is 200 when every check returns in time, else 503; it names each."""

    def __init__(
        self, host: str, port: int, checks: Mapping[str, Check], metrics: Callable[[], bytes]
    ) -> None:
        self._host, self._port, self._checks, self._metrics = host, port, checks, metrics
        app = web.Application(middlewares=[_answer_refusals])
        app.router.add_get("/health", self._health)
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/metrics", self._show_metrics)
        app.on_response_prepare.append(_dress)
        self._runner = web.AppRunner(app, access_log=None)
        self._listening: asyncio.Server | None = None

    async def start(self) -> None:
        await self._runner.setup()
        loop, served = asyncio.get_running_loop(), self._runner.server
        assert served is not None  # noqa: S101 - there since `setup`
        self._listening = await loop.create_server(
            lambda: _Connection(served, loop=loop), self._host, self._port
        )

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.close()
        await self._runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _ready(self, _: web.Request) -> web.Response:
        states = await check_states(self._checks)
        ready = all(state == "ok" for state in states.values())
        body = {"status": "ready" if ready else "not ready", "checks": states}
        return web.json_response(body, status=200 if ready else 503)

    async def _show_metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )


class _Connection(web.RequestHandler):
    """aiohttp's own answer to what is no request quotes it, and it waits for the rest of one without end."""

    _end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._end = asyncio.get_running_loop().call_later(CONNECTION_SECONDS, self.force_close)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answered without the exception's words, and not logged: whoever reaches the port could fill the log."""
        answer = _refusal(status)
        answer.headers.update(_HEADERS)
        answer.force_close()
        return answer


@web.middleware
async def _answer_refusals(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        answer = await handler(request)
    except web.HTTPException as refused:
        answer = _refusal(refused.status)
        if allow := refused.headers.get("Allow"):
            answer.headers["Allow"] = allow
    except Exception:
        answer = _refusal(500)
    answer.force_close()
    return answer


def _refusal(status: int) -> web.Response:
    extensions = {"code": _CODES.get(status, "BAD_REQUEST"), "correlationId": uuid.uuid4().hex}
    words = HTTPStatus(status).phrase.lower()
    return web.json_response({"errors": [{"message": words, "extensions": extensions}]}, status=status)


async def _dress(_: web.Request, answer: web.StreamResponse) -> None:
    answer.headers.update(_HEADERS)


async def watch_readiness(checks: Mapping[str, Check], registry: CollectorRegistry) -> None:
    """Show what /ready would say, asked anew every few seconds, as `headrace_ready`, by dependency, and log when that
    changes. Works until cancelled."""
    ready = Gauge(
        "headrace_ready", "1: this dependency answers; 0: it does not.", ["dependency"], registry=registry
    )
    away: set[str] = set()
    while True:
        for name, state in (await check_states(checks)).items():
            ready.labels(dependency=name).set(state == "ok")
            if state != "ok" and name not in away:
                away.add(name)
                _log.warning("dependency is away", dependency=name, state=state)
            elif state == "ok" and name in away:
                away.remove(name)
                _log.info("dependency is back", dependency=name)
        await asyncio.sleep(WATCH_SECONDS)


async def check_states(checks: Mapping[str, Check]) -> Mapping[str, str]:
    """By name `ok`, or how the dependency fails; all are asked at once, for `CHECK_SECONDS` at most."""
    states = await asyncio.gather(*(_state(check) for check in checks.values()))
    return dict(zip(checks, states, strict=True))


async def _state(check: Check) -> str:
    asking = asyncio.create_task(check())
    try:
        # Once it is cancelled it is not waited for: a session with Postgres is given back when its server has heard.
        answered, _ = await asyncio.wait({asking}, timeout=CHECK_SECONDS)
    finally:
        asking.cancel()
        asking.add_done_callback(_heard)
    if not answered:
        return "no answer in time"
    if asking.cancelled():
        return "failing (CancelledError)"
    error = asking.exception()
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return "ok" if error is None else f"failing ({type(error).__name__})"


def _heard(asked: asyncio.Task[None]) -> None:
    """Whatever comes of it, late; else asyncio would log it."""
    if not asked.cancelled():
        asked.exception()
