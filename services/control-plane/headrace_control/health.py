"""Is the process alive, and can it do its work: /health, /ready and /metrics."""

import asyncio
from collections.abc import Mapping

import orjson
from fastapi import APIRouter
from headrace.health import Check, check_state
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.responses import Response


def health_routes(checks: Mapping[str, Check], registry: CollectorRegistry) -> APIRouter:
    """`/health` is 200 while the process lives. `/ready` is 200 when every check answers in time, else 503,
    and names each dependency with its state. `/metrics` is Prometheus's text."""
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

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})

    return router


def _json(body: object, status: int) -> Response:
    return Response(
        orjson.dumps(body), status, media_type="application/json", headers={"cache-control": "no-store"}
    )
