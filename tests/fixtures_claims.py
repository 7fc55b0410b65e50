"""The internal API on a real database, in process, and what a test of claims says to it."""

import base64
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
import pytest
from headrace.ids import new_id
from headrace.postgres.listen import Listener
from headrace.postgres.pool import API, WORKER, Db, open_pool
from headrace.refusals.audit import Refusals
from headrace_control.dispatch.sweeper import Sweeper
from headrace_control.internal_api.app import create_internal_app
from headrace_control.internal_api.barrier import Barrier
from headrace_control.internal_api.callbacks import CallbackRun
from headrace_control.internal_api.calls import Calls
from headrace_control.internal_api.checkpoints import Checkpoints
from headrace_control.internal_api.claims import Claims
from headrace_control.internal_api.handover import Handover
from headrace_control.internal_api.leases import Leases
from headrace_control.internal_api.results import CachedResults
from headrace_control.internal_api.sessions import RunnerSessions
from headrace_control.policy.approvals import Answer, CallWish
from headrace_control.secrets.model import OpenedSecret
from headrace_control.throttle.service import Throttles
from headrace_reporter.apply import Applier

TOKEN = "a-runner-token-of-this-test"
ENROLMENT = {"authorization": f"Bearer {TOKEN}"}
LEASE = timedelta(seconds=0.6)
DEPLOYMENT = new_id()


class NoCredentials:
    """The connections of these tests have no credential that opens; `values` are secrets by name."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    async def current(
        self, tenant_id: UUID, connection_ids: Sequence[UUID]
    ) -> Mapping[UUID, Mapping[str, Any]]:
        return {}

    async def refresh(self, tenant_id: UUID, connection_id: UUID, seen_version: int) -> Mapping[str, Any]:
        raise AssertionError

    async def secrets(self, tenant_id: UUID, names: Sequence[str]) -> Mapping[str, OpenedSecret]:
        return {name: OpenedSecret(self.values[name], None) for name in names if name in self.values}

    async def output_keys(self, tenant_id: UUID, run_ids: Sequence[UUID]) -> Mapping[UUID, str]:
        return {run_id: base64.b64encode(run_id.bytes).decode() for run_id in run_ids}

    async def failure(self, tenant_id: UUID) -> Mapping[str, str] | None:
        return None


class NoDryRuns:
    """There are none to take."""

    async def take(self, pool: str) -> dict[str, Any] | None:
        return None

    async def report(self, dry_run_id: UUID, token: str, report: Mapping[str, Any]) -> None:
        raise AssertionError


class PlainCallbacks:
    """Addresses that say what they are for."""

    async def urls(self, tenant_id: UUID, runs: Sequence[CallbackRun]) -> Mapping[UUID, Mapping[str, str]]:
        return {run.run_id: {s.key: f"{tenant_id}/{run.run_id}/{s.key}" for s in run.steps} for run in runs}


class NoApprovals:
    """The actions of these tests' versions ask for no approval."""

    async def redeem(self, tenant_id: UUID, wish: CallWish) -> Answer:
        raise AssertionError


class World:
    def __init__(
        self,
        admin: asyncpg.Connection,
        pool: asyncpg.Pool,
        http: httpx.AsyncClient,
        refusals: Refusals,
        credentials: NoCredentials,
    ) -> None:
        self.admin, self.pool, self.http, self.refusals = admin, pool, http, refusals
        self.credentials = credentials
        self.applier = Applier(pool, refusals.note)
        self.sweeper = Sweeper(pool, timedelta(minutes=1))
        self.versions: dict[UUID, tuple[UUID, UUID]] = {}
        self.sessions: dict[UUID, dict[str, str]] = {}

    async def tenant(
        self, name: str, in_flight: int = 500, document: Mapping[str, Any] | None = None
    ) -> UUID:
        """A tenant with one published version of a workflow."""
        tenant, workflow, version = new_id(), new_id(), new_id()
        await self.admin.execute(
            "INSERT INTO tenants (id, name, max_runs_in_flight) VALUES ($1, $2, $3)", tenant, name, in_flight
        )
        await self.admin.execute(
            "INSERT INTO workflows (tenant_id, id, name) VALUES ($1, $2, 'w')", tenant, workflow
        )
        await self.admin.execute(
            """INSERT INTO workflow_versions (tenant_id, id, workflow_id, version, status, document, resolved,
               digest, published_at) VALUES ($1, $2, $3, 1, 'PUBLISHED', '{}', $5, $4, now())""",
            tenant,
            version,
            workflow,
            f"digest-of-{name}",
            orjson.dumps({"document": document or {}}).decode(),
        )
        self.versions[tenant] = (workflow, version)
        return tenant

    async def queued(self, tenant: UUID, sent: bool = True, pool: str | None = None) -> tuple[UUID, UUID]:
        """A queued run and its dispatch."""
        run, dispatch = new_id(), new_id()
        await self.admin.execute(
            """INSERT INTO runs (id, tenant_id, workflow_id, version_id, dispatch_id, input, pool)
               VALUES ($1, $2, $3, $4, $5, '{"n": 1}', $6)""",
            run,
            tenant,
            *self.versions[tenant],
            dispatch,
            pool,
        )
        await self.admin.execute(
            """INSERT INTO dispatches (id, tenant_id, run_id, due_at, sent_at, pool)
               VALUES ($1, $2, $3, now(), CASE WHEN $4 THEN now() END, $5)""",
            dispatch,
            tenant,
            run,
            sent,
            pool,
        )
        return run, dispatch

    async def session(self, runner: UUID) -> dict[str, str]:
        """The headers by which the runner is known."""
        if runner not in self.sessions:
            token = f"hrs_{secrets.token_urlsafe(32)}"
            given = {"runner_id": str(runner), "session": token}
            response = await self.http.post("/internal/sessions", json=given, headers=ENROLMENT)
            assert response.status_code == 200, response.text
            self.sessions[runner] = {"authorization": f"Bearer {token}"}
        return self.sessions[runner]

    async def post(self, path: str, runner: UUID, **body: Any) -> Any:
        response = await self.ask(path, runner, **body)
        assert response.status_code == 200, response.text
        return response.json()

    async def ask(self, path: str, runner: UUID, **body: Any) -> httpx.Response:
        return await self.http.post(f"/internal/{path}", json=body, headers=await self.session(runner))

    async def claim(
        self,
        runner: UUID,
        *jobs: tuple[UUID, UUID],
        call: int = 1,
        have: Sequence[str] = (),
        alone: bool = False,
    ) -> Any:
        return await self.post(
            "claims",
            runner,
            call=call,
            capacity=10,
            jobs=[{"run_id": str(run), "dispatch_id": str(dispatch)} for run, dispatch in jobs],
            have=list(have),
            alone=alone,
        )

    async def beat(
        self, runner: UUID, *held: UUID, settled: int = 1, inbox_seen: Mapping[UUID, int] | None = None
    ) -> Any:
        return await self.post(
            "heartbeats",
            runner,
            calls_settled=settled,
            capacity=10,
            held=[str(i) for i in held],
            inbox_seen={str(i): seq for i, seq in (inbox_seen or {}).items()},
        )

    async def outcome(self, runner: UUID, job: tuple[UUID, UUID], call: int = 1, alone: bool = False) -> str:
        return str((await self.claim(runner, job, call=call, alone=alone))["claims"][0]["outcome"])

    async def passed(self, runner: UUID, run_id: UUID, epoch: int) -> str:
        """What a take-over is answered once its mark is applied."""
        await self.admin.execute(
            "UPDATE runs SET fence_epoch = $2, fence_seq = 1 WHERE id = $1 AND fence_epoch < $2",
            run_id,
            epoch,
        )
        runs = [{"run_id": str(run_id), "epoch": epoch}]
        answer = await self.post("checkpoints", runner, runs=runs, wait=0)
        return str(answer["runs"][0]["outcome"])

    async def lease_is_over(self, runner: UUID) -> None:
        await self.admin.execute("UPDATE runners SET lease_until = now() WHERE id = $1", runner)


class OneKey:
    """The same for all tenants, so that it is their rows that keep them apart."""

    async def naming_key(self, db: Db, tenant_id: UUID) -> bytes:
        return bytes(32)


@pytest.fixture
def pool_tokens() -> Mapping[str, str]:
    """The tokens of runner pools that have one of their own."""
    return {}


@pytest.fixture
async def world(database: str, pool_tokens: Mapping[str, str]) -> AsyncIterator[World]:
    pool, api = await open_pool(database, WORKER), await open_pool(database, API)
    listener = Listener(database)
    credentials = NoCredentials()
    refusals = Refusals(pool)
    handover = Handover(pool, credentials, PlainCallbacks())
    claims = Claims(pool, handover, timedelta(seconds=10), refusals.note)
    checkpoints = Checkpoints(pool, handover, Barrier(listener))
    leases = Leases(pool, credentials, timedelta(seconds=10), lambda: None)
    await listener.start()
    sessions = RunnerSessions(pool, TOKEN, timedelta(minutes=10), refusals.note, pool_tokens)
    app = create_internal_app(
        claims,
        checkpoints,
        leases,
        Throttles(pool),
        sessions,
        Calls(pool, NoApprovals()),
        refusals,
        NoDryRuns(),
        CachedResults(pool, api, OneKey()),
        DEPLOYMENT,
    )
    admin = await asyncpg.connect(database)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://internal") as http:
        yield World(admin, pool, http, refusals, credentials)
    await listener.close()
    await admin.close()
    await pool.close()
    await api.close()
