"""Is the process alive, and can it do its work: /health and /ready."""

from collections.abc import Mapping

import orjson
from fastapi import APIRouter
from headrace.health import Check, check_states
from starlette.responses import Response

# Some load balancers ask for the head alone.
_METHODS = ["GET", "HEAD"]


def health_routes(checks: Mapping[str, Check]) -> APIRouter:
    """`/health` is 200 while the process lives. `/ready` is 200 when every check answers in time, else 503,
    and names each dependency with its state."""
    router = APIRouter(include_in_schema=False)

    @router.api_route("/health", methods=_METHODS)
    async def health() -> Response:
        return _json({"status": "ok"}, 200)

    @router.api_route("/ready", methods=_METHODS)
    async def ready() -> Response:
        states = await check_states(checks)
        well = all(state == "ok" for state in states.values())
        body = {"status": "ready" if well else "not ready", "checks": states}
        return _json(body, 200 if well else 503)

    return router


def _json(body: object, status: int) -> Response:
    return Response(
        orjson.dumps(body), status, media_type="application/json", headers={"cache-control": "no-store"}
    )
