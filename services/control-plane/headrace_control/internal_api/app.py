"""The internal API's HTTP face: its own application, on its own port, for runners alone."""

from datetime import timedelta
from typing import Annotated, Any, Protocol, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from headrace.errors import MalformedMessage
from headrace.refusals.audit import Refusal, Refusals

from headrace_control.auth.origin import origin_of
from headrace_control.body_budget import BodyBudget
from headrace_control.body_limit import Bodies, BodyLimit
from headrace_control.http_errors import install_error_handlers
from headrace_control.internal_api.answers import json_answer
from headrace_control.internal_api.calls import Calls
from headrace_control.internal_api.checkpoints import Checkpoints
from headrace_control.internal_api.claim_calls import ClaimCalls
from headrace_control.internal_api.claims import Claims
from headrace_control.internal_api.dry_run_reports import DryRunReport
from headrace_control.internal_api.leases import Leases
from headrace_control.internal_api.models import (
    CachedResultBody,
    CallBody,
    CheckpointsBody,
    ClaimsBody,
    DryRunReportBody,
    HeartbeatBody,
    PermitsBody,
    RefusedMessagesBody,
    ReportBody,
    RunBody,
    SessionBody,
    TokenBody,
)
from headrace_control.internal_api.results import CachedResults
from headrace_control.internal_api.runners_only import (
    SESSIONS_PATH,
    RunnersOnly,
    known_runner,
    runner_asking,
    runner_of,
)
from headrace_control.internal_api.sessions import KnownRunner, RunnerSessions
from headrace_control.throttle.model import Outcome
from headrace_control.throttle.service import RunHolder, Throttles
from headrace_control.unexpected import AnswerUnexpected
from headrace_control.web.headers import SecurityHeaders
from headrace_control.web.unwatched import NO_TELEMETRY

MAX_BODY = 4 * 1024 * 1024
# A runner's id, its session and its pool; whoever reaches the port may send as much.
MAX_SESSION_BODY = 16 * 1024
# What the process holds at once of runners' bodies, and of strangers'.
RUNNERS_BYTES = 64 * 1024 * 1024
STRANGERS_BYTES = 1024 * 1024

Runner: TypeAlias = Annotated[UUID, Depends(runner_asking)]
RunnerOfPool: TypeAlias = Annotated[KnownRunner, Depends(known_runner)]


class DryRuns(Protocol):
    """What runners take beside runs."""

    async def take(self, pool: str) -> dict[str, Any] | None:
        """The next dry run of a runner pool, for who asks alone until its time is over; None when there is none."""

    async def report(self, dry_run_id: UUID, token: str, report: DryRunReport) -> None:
        """Raises `NotFound` when it is another runner's by now, or over."""


def create_internal_app(
    claims: Claims,
    checkpoints: Checkpoints,
    leases: Leases,
    throttles: Throttles,
    sessions: RunnerSessions,
    calls: Calls,
    refusals: Refusals,
    dry_runs: DryRuns,
    results: CachedResults,
    deployment: UUID,
) -> FastAPI:
    """The application. Every path asks for `Authorization: Bearer <session>` but the one that opens sessions, which
    asks for the fleet's enrolment token; a tenant's key is neither."""
    app = FastAPI(
        telemetry=NO_TELEMETRY,
        title="Headrace internal API",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    router = APIRouter(prefix="/internal", tags=["runners"])

    @router.post("/sessions", summary="Open a session of a runner, or go on with a new one")
    async def open_session(body: SessionBody, request: Request) -> Response:
        by = origin_of(request).address
        lasts = await sessions.open(request.headers.get("authorization", ""), body, by)
        return json_answer({"seconds": lasts, "deployment": deployment})

    # For the contract, and for other methods: `ClaimCalls` has answered what is sent here.
    @router.post("/claims", summary="Claim a batch of jobs")
    async def claim(runner: RunnerOfPool, body: ClaimsBody) -> Response:
        return json_answer(await claims.claim(runner, body))

    @router.post("/checkpoints", name="checkpoints", summary="Pass the barrier of a take-over")
    async def checkpoint(runner: RunnerOfPool, body: CheckpointsBody) -> Response:
        return json_answer(await checkpoints.of(runner, body))

    @router.post("/heartbeats", summary="Renew the runner's lease")
    async def heartbeat(runner: RunnerOfPool, body: HeartbeatBody) -> Response:
        return json_answer(await leases.heartbeat(runner, body))

    @router.post("/releases", summary="Give up the runner's lease")
    async def release(runner_id: Runner) -> Response:
        await leases.release(runner_id)
        return json_answer({})

    @router.post("/tokens", summary="A newer OAuth2 access token")
    async def token(runner_id: Runner, body: TokenBody) -> Response:
        return json_answer(await leases.token(runner_id, body))

    @router.post("/approvals", summary="Whether a call that the policy holds may be made now")
    async def approvals(runner_id: Runner, body: CallBody) -> Response:
        return json_answer(await calls.allow(runner_id, body))

    @router.post("/cached-results", summary="A result that stands for a call, or where to keep one")
    async def cached_results(runner_id: Runner, body: CachedResultBody) -> Response:
        return json_answer(await results.find(runner_id, body))

    @router.post("/permits", summary="Calls that may be made now")
    async def permits(runner_id: Runner, body: PermitsBody) -> Response:
        permit, limits = await throttles.permit(_holder(runner_id, body), body.connection_id, body.wanted)
        return json_answer(
            {
                "granted": permit.granted,
                "wait": permit.wait.total_seconds(),
                "probe": permit.probe,
                "blocked": permit.blocked,
                "rate": limits.requests_per_second if limits else None,
            }
        )

    @router.post("/reports", summary="What became of a call")
    async def reports(runner_id: Runner, body: ReportBody) -> Response:
        retry_after = None if body.retry_after is None else timedelta(seconds=body.retry_after)
        outcome = Outcome(body.ok, body.probe, body.successes, retry_after)
        by = _holder(runner_id, body)
        return json_answer({"open_seconds": await throttles.report(by, body.connection_id, outcome)})

    @router.post("/dry-runs", summary="Take a dry run that waits")
    async def take_dry_run(runner: RunnerOfPool) -> Response:
        return json_answer({"dry_run": await dry_runs.take(runner.pool)})

    @router.post("/dry-run-reports", summary="What came of a dry run")
    async def report_dry_run(runner_id: Runner, body: DryRunReportBody) -> Response:
        await dry_runs.report(body.dry_run_id, body.token, body.report)
        return json_answer({})

    @router.post("/refused-messages", summary="Messages of the bus that the runner could not read")
    async def refused_messages(runner_id: Runner, body: RefusedMessagesBody) -> Response:
        for one in body.refused:
            refusal = Refusal(
                "message.take",
                f"queue/{one.queue}",
                MalformedMessage.code,
                one.reason,
                actor_id=runner_id,
                actor_name="runner",
            )
            refusals.note(refusal, one.times)
        return json_answer({})

    app.include_router(router)
    install_error_handlers(app)
    app.add_middleware(ClaimCalls, claims=claims)
    bodies = {
        "/internal/": Bodies(MAX_BODY, BodyBudget(RUNNERS_BYTES), runner_of),
        # Room of their own: strangers keep no runner's body out.
        SESSIONS_PATH: Bodies(MAX_SESSION_BODY, BodyBudget(STRANGERS_BYTES)),
    }
    app.add_middleware(BodyLimit, paths=bodies)
    app.add_middleware(RunnersOnly, sessions=sessions)
    app.add_middleware(AnswerUnexpected)
    app.add_middleware(SecurityHeaders)
    return app


def _holder(runner_id: UUID, body: RunBody) -> RunHolder:
    return RunHolder(runner_id, body.run_id, body.epoch, body.token_hash)
