"""The internal API's HTTP face: its own application, on its own port, with the fleet's own token."""

from datetime import timedelta
from typing import Any

import orjson
from fastapi import APIRouter, FastAPI, Response

from headrace_control.body_limit import BodyLimit
from headrace_control.http_errors import install_error_handlers
from headrace_control.internal_api.claims import Claims
from headrace_control.internal_api.leases import Leases
from headrace_control.internal_api.models import (
    CheckpointsBody,
    ClaimsBody,
    HeartbeatBody,
    PermitsBody,
    ReleaseBody,
    ReportBody,
    TokenBody,
)
from headrace_control.throttle.model import Outcome
from headrace_control.throttle.service import Throttles
from headrace_control.unexpected import AnswerUnexpected
from headrace_control.web.gate import TokenGate
from headrace_control.web.headers import SecurityHeaders

MAX_BODY = 4 * 1024 * 1024


def create_internal_app(claims: Claims, leases: Leases, throttles: Throttles, runner_token: str) -> FastAPI:
    """The application, all of it behind `Authorization: Bearer <runner token>`; a tenant's key is none."""
    app = FastAPI(
        title="Headrace internal API",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    router = APIRouter(prefix="/internal", tags=["runners"])

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

    @router.post("/permits", summary="Calls that may be made now")
    async def permits(body: PermitsBody) -> Response:
        permit, limits = await throttles.permit(body.run_id, body.connection_id, body.wanted)
        return _json(
            {
                "granted": permit.granted,
                "wait": permit.wait.total_seconds(),
                "probe": permit.probe,
                "blocked": permit.blocked,
                "rate": limits.requests_per_second if limits else None,
            }
        )

    @router.post("/reports", summary="What became of a call")
    async def reports(body: ReportBody) -> Response:
        retry_after = None if body.retry_after is None else timedelta(seconds=body.retry_after)
        outcome = Outcome(body.ok, body.probe, body.successes, retry_after)
        return _json({"open_seconds": await throttles.report(body.run_id, body.connection_id, outcome)})

    app.include_router(router)
    install_error_handlers(app)
    app.add_middleware(BodyLimit, most=MAX_BODY)
    app.add_middleware(TokenGate, token=runner_token)
    app.add_middleware(AnswerUnexpected)
    app.add_middleware(SecurityHeaders)
    return app


def _json(value: Any) -> Response:
    # asyncpg's UUIDs are a type of their own, which orjson does not know.
    body = orjson.dumps(value, default=str)
    return Response(body, media_type="application/json", headers={"cache-control": "no-store"})
