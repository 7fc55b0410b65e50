"""`POST /callbacks/{token}`: for external systems. The address is all that they need to show."""

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from headrace_control.auth.origin import origin_of
from headrace_control.callbacks.service import CallbackService


def callback_routes(callbacks: CallbackService) -> APIRouter:
    """202 with the time when it was taken, or what `CallbackService.take` raises; nothing of the run."""
    router = APIRouter(include_in_schema=False)

    @router.post("/callbacks/{token}")
    async def take(token: str, request: Request) -> Response:
        at = await callbacks.take(token, await request.body(), origin_of(request))
        body = orjson.dumps({"receivedAt": at.isoformat().replace("+00:00", "Z")})
        return Response(body, 202, media_type="application/json", headers={"cache-control": "no-store"})

    return router
