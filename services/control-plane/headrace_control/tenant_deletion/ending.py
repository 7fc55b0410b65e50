"""Carries out the deletions of tenants: cancels what runs, and deletes everything when the time is over.

Where it stands is in the rows alone: every lot is a transaction, so that whoever dies, another one goes on, and two at
once take turns. What may be deleted the database decides, see migration 0052.
"""

import asyncio
import time
from datetime import timedelta
from uuid import UUID

import asyncpg
import structlog
from headrace.errors import Conflict, HeadraceError, LogStoreUnavailable, NotFound
from headrace.logstore.port import LogStore
from headrace.outage import Outage
from headrace.postgres.pool import Pool, one_statement, tenant_transaction, transaction
from headrace.postgres.queries import load

from headrace_control.audit.record import CONTROL_PLANE, Act, Part, record
from headrace_control.runs import control

_log = structlog.get_logger(__name__)
_sql = load("headrace_control.tenant_deletion")

PERIOD_SECONDS = 30.0
# Rows that go in one transaction, about; and runs that are canceled in one.
MOST = 1_000
MOST_CANCELED = 100
# What a runner, a reporter or a request had in its hands at the end may be written down behind it.
LATE = timedelta(days=7)
LATE_PERIOD_SECONDS = 3_600.0
# How often a lot is tried that others were in the way of: who wrote something that refers to what is being deleted.
_TRIES = 5
_IN_THE_WAY = (asyncpg.DeadlockDetectedError, asyncpg.ForeignKeyViolationError)

_BEFORE_ALL = UUID(int=0)


class Endings:
    """Over pools of the roles headrace_worker and headrace_api. Safe to be done by many processes at once."""

    def __init__(self, worker: Pool, api: Pool, store: LogStore) -> None:
        self._worker, self._api, self._store = worker, api, store

    async def run(self) -> None:
        """Work until cancelled; what fails is tried again with the next round."""
        late_at, outage = 0.0, Outage("deletions of tenants wait", "deletions of tenants go on")
        while True:
            late = time.monotonic() >= late_at
            try:
                await self.cancel_runs()
                await self.end_due(LATE if late else timedelta())
                if late:
                    late_at = time.monotonic() + LATE_PERIOD_SECONDS
                outage.over()
            except (HeadraceError, asyncpg.PostgresError) as error:
                outage.tried(error=type(error).__name__)
            await asyncio.sleep(PERIOD_SECONDS)

    async def cancel_runs(self) -> int:
        """Ask for the ends of runs whose tenants' deletions say so; how many."""
        async with one_statement(self._worker) as db:
            tenants = [row["tenant_id"] for row in await db.fetch(_sql.to_cancel)]
        canceled = 0
        for tenant_id in tenants:
            after = _BEFORE_ALL
            while True:
                async with one_statement(self._worker) as db:
                    lot = [
                        row["id"] for row in await db.fetch(_sql.unfinished, tenant_id, after, MOST_CANCELED)
                    ]
                if not lot:
                    break
                after = lot[-1]
                canceled += await self._cancel(tenant_id, lot)
        return canceled

    async def _cancel(self, tenant_id: UUID, runs: list[UUID]) -> int:
        canceled = 0
        async with tenant_transaction(self._api, tenant_id) as db:
            for run_id in runs:
                try:
                    await control.cancel(db, tenant_id, run_id)
                    canceled += 1
                except (Conflict, NotFound):  # it has ended meanwhile, or is gone
                    continue
        return canceled

    async def end_due(self, late: timedelta = timedelta()) -> int:
        """Delete tenants whose time is over; how many were ended. With `late`, also what came in since for those that
        were ended within that time. One that can not be deleted now does not stand in the way of the others."""
        async with one_statement(self._worker) as db:
            due = await db.fetch(_sql.to_end, late)
        ended = 0
        for row in due:
            try:
                ended += await self._end(row["tenant_id"], row["asked_in"])
            except (*_IN_THE_WAY, LogStoreUnavailable) as error:
                _log.warning(
                    "a tenant's deletion waits", tenant_id=str(row["tenant_id"]), error=type(error).__name__
                )
        return ended

    async def _end(self, tenant_id: UUID, asked_in: UUID) -> bool:
        """Whether it was ended by this. Keys go first, see the order in migration 0052."""
        began = time.monotonic()
        while lot := await self._lot(tenant_id):
            # As long as it took: half of the disk is for those who stay.
            await asyncio.sleep(time.monotonic() - began)
            began = time.monotonic()
        if lot is None:
            return False
        elsewhere = 0
        while went := await self._store.forget(tenant_id):
            elsewhere += went
        async with tenant_transaction(self._worker, asked_in) as db:
            first = await db.fetchval(_sql.ended, tenant_id, elsewhere)
            if first:
                counts = await db.fetchval(_sql.counts, tenant_id)
                act = Act("tenant.deleted", f"tenant/{tenant_id}", detail={"counts": counts})
                await record(db, Part(asked_in, CONTROL_PLANE), act)
        if first:
            _log.warning("a tenant was deleted", tenant_id=str(tenant_id), rows=sum(counts.values()))
        return bool(first)

    async def _lot(self, tenant_id: UUID) -> int | None:
        """How many rows went; None when somebody else is at it."""
        for left in reversed(range(_TRIES)):
            try:
                async with transaction(self._worker) as db:
                    went: int | None = await db.fetchval(_sql.end_lot, tenant_id, MOST)
                return went
            except _IN_THE_WAY:
                if not left:
                    raise
        return None
