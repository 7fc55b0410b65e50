"""Is the process alive, and can it do its work: /health and /ready."""

import asyncio
from collections.abc import Mapping

import orjson
from fastapi import APIRouter
from headrace.health import Check, check_state
from starlette.responses import Response


def health_routes(checks: Mapping[str, Check]) -> APIRouter:
    """`/health` is 200 while the process lives. `/ready` is 200 when every check answers in time, else 503,
    and names each dependency with its state."""
    router = APIRouter(include_in_schema=False)

    @router.get("/health")
    async def health() -> Response:
        return _json({"status": "ok"}, 200)

    @router.get("/ready")
    async def ready() -> Response:
        names = list(checks)
        states = await asyncio.gather(*(check_state(checks[name]) for name in names))
        well = all(state == "ok" for state in states)
        body = {"status": "ready" if well else "not ready", "checks": dict(zip(names, states, strict=True))}
        return _json(body, 200 if well else 503)

    return router


def _json(body: object, status: int) -> Response:
    return Response(
        orjson.dumps(body), status, media_type="application/json", headers={"cache-control": "no-store"}
    )
