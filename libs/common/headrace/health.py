"""The health port of a service without an API of its own: /health, /ready, /metrics."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

Check = Callable[[], Awaitable[None]]

CHECK_SECONDS = 3.0


class HealthServer:
    """Serves until closed. `/ready` is 200 when every check returns in time, else 503; it names each."""

    def __init__(
        self, host: str, port: int, checks: Mapping[str, Check], metrics: Callable[[], bytes]
    ) -> None:
        self._host, self._port, self._checks, self._metrics = host, port, checks, metrics
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/metrics", self._show_metrics)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _ready(self, _: web.Request) -> web.Response:
        names = list(self._checks)
        states = await asyncio.gather(*(check_state(self._checks[name]) for name in names))
        ready = all(state == "ok" for state in states)
        body = {"status": "ready" if ready else "not ready", "checks": dict(zip(names, states, strict=True))}
        return web.json_response(body, status=200 if ready else 503)

    async def _show_metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )


async def check_state(check: Check) -> str:
    """`ok`, or how a dependency fails; never longer than `CHECK_SECONDS`."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except TimeoutError:
        return "no answer in time"
    except Exception as error:
        return f"failing ({type(error).__name__})"
    return "ok"
