"""A tenant's runs, and a reporter that applies their events."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
from headrace.ids import new_id
from headrace.messages import Event
from headrace.postgres.pool import WORKER, Pool, open_pool
from headrace.refusals.audit import Refusals
from headrace.workflow.state import EventKind
from headrace_reporter.apply import Applier

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ATTEMPT = {
    "number": 1,
    "outcome": "SUCCESS",
    "startedAt": NOW.isoformat(),
    "durationMs": 3,
    "httpStatus": 200,
}


class World:
    """One tenant with a published version, and its runs."""

    def __init__(self, admin: asyncpg.Connection, pool: Pool) -> None:
        self.admin, self.pool = admin, pool
        self.applier = Applier(pool, Refusals(pool).note)
        self.tenant, self.workflow, self.version = new_id(), new_id(), new_id()

    async def prepare(self) -> None:
        await self.admin.execute("INSERT INTO tenants (id, name) VALUES ($1, 'acme')", self.tenant)
        await self.admin.execute(
            "INSERT INTO workflows (tenant_id, id, name) VALUES ($1, $2, 'w')", self.tenant, self.workflow
        )
        await self.admin.execute(
            """INSERT INTO workflow_versions (tenant_id, id, workflow_id, version, status, document, resolved,
               digest, published_at) VALUES ($1, $2, $3, 1, 'PUBLISHED', '{}', '{}', 'd', now())""",
            self.tenant,
            self.version,
            self.workflow,
        )

    async def claimed_run(self, epoch: int = 1) -> UUID:
        """A run whose open claim has `epoch`."""
        run, dispatch = new_id(), new_id()
        await self.admin.execute(
            """INSERT INTO runs (id, tenant_id, workflow_id, version_id, status, dispatch_id, epoch, claimed_by,
               started_at) VALUES ($1, $2, $3, $4, 'RUNNING', $5, $6, $7, now())""",
            run,
            self.tenant,
            self.workflow,
            self.version,
            dispatch,
            epoch,
            new_id(),
        )
        await self.admin.execute(
            "INSERT INTO dispatches (id, tenant_id, run_id, due_at, sent_at) VALUES ($1, $2, $3, now(), now())",
            dispatch,
            self.tenant,
            run,
        )
        return run

    def event(
        self, run: UUID, epoch: int, seq: int, kind: str, step: str | None = None, **data: Any
    ) -> Event:
        return Event(self.tenant, run, epoch, seq, EventKind(kind), NOW, step, data)

    def history(self, run: UUID, epoch: int = 1) -> list[Event]:
        """A whole run of two steps."""
        done = {"status": "SUCCESS", "output": {"n": [1, 2]}, "attempt": ATTEMPT}
        return [
            self.event(run, epoch, 1, "started", "a", input={"x": 1}),
            self.event(run, epoch, 2, "completed", "a", **done),
            self.event(run, epoch, 3, "started", "b"),
            self.event(run, epoch, 4, "completed", "b", **done),
            self.event(run, epoch, 5, "finished", status="SUCCESS", result=[["all"], "good"]),
        ]

    async def snapshot(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that an event could change."""
        tables = ("runs", "step_runs", "attempts", "events", "dispatches", "dead_letters")
        return {
            table: sorted(map(tuple, await self.admin.fetch(f"SELECT t::text FROM {table} t")))
            for table in tables
        }

    async def status(self, run: UUID) -> str:
        return str(await self.admin.fetchval("SELECT status FROM runs WHERE id = $1", run))


@asynccontextmanager
async def applying(database: str) -> AsyncIterator[World]:
    admin = await asyncpg.connect(database)
    pool = await open_pool(database, WORKER)
    world = World(admin, pool)
    await world.prepare()
    yield world
    await pool.close()
    await admin.close()
