"""The internal API's HTTP face: its own application, on its own port, with the fleet's own token."""

import hmac
from typing import Any

import orjson
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from headrace.errors import Unauthenticated

from headrace_control.body_limit import BodyLimit
from headrace_control.http_errors import install_error_handlers
from headrace_control.internal_api.claims import Claims
from headrace_control.internal_api.leases import Leases
from headrace_control.internal_api.models import (
    CheckpointsBody,
    ClaimsBody,
    HeartbeatBody,
    ReleaseBody,
    TokenBody,
)
from headrace_control.unexpected import AnswerUnexpected

MAX_BODY = 4 * 1024 * 1024


def create_internal_app(claims: Claims, leases: Leases, runner_token: str) -> FastAPI:
    """The application. Every route asks for `Authorization: Bearer <runner token>`; a tenant's key is none."""
    expected = f"Bearer {runner_token}".encode()

    async def runner_only(request: Request) -> None:
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, expected):
            raise Unauthenticated("the internal API is for runners")

    app = FastAPI(title="Headrace internal API", version="1", docs_url=None, redoc_url=None, openapi_url=None)
    router = APIRouter(prefix="/internal", dependencies=[Depends(runner_only)], tags=["runners"])

    @router.post("/claims", summary="Claim a batch of jobs")
    async def claim(body: ClaimsBody) -> Response:
        return _json(await claims.claim(body))

    @router.post("/checkpoints", summary="Pass the barrier of a take-over")
    async def checkpoints(body: CheckpointsBody) -> Response:
        return _json(await claims.checkpoints(body))

    @router.post("/heartbeats", summary="Renew the runner's lease")
    async def heartbeat(body: HeartbeatBody) -> Response:
        return _json(await leases.heartbeat(body))

    @router.post("/releases", summary="Give up the runner's lease")
    async def release(body: ReleaseBody) -> Response:
        await leases.release(body)
        return _json({})

    @router.post("/tokens", summary="A newer OAuth2 access token")
    async def token(body: TokenBody) -> Response:
        return _json(await leases.token(body))

    app.include_router(router)
    install_error_handlers(app)
    app.add_middleware(BodyLimit, most=MAX_BODY)
    app.add_middleware(AnswerUnexpected)
    return app


def _json(value: Any) -> Response:
    # asyncpg's UUIDs are a type of their own, which orjson does not know.
    body = orjson.dumps(value, default=str)
    return Response(body, media_type="application/json", headers={"cache-control": "no-store"})
