"""Backfills as people see them: begun, stopped, resumed, listed."""

import asyncio
from datetime import UTC, datetime
from itertools import islice
from uuid import UUID

from headrace.errors import Conflict, InvalidInput, LimitExceeded, NotFound, Problem
from headrace.ids import new_id
from headrace.json_types import JsonObject
from headrace.postgres.pool import Db, Pool, tenant_transaction

from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.backfills import repository
from headrace_control.backfills.advancing import TICK
from headrace_control.backfills.model import Backfill, BackfillStatus
from headrace_control.pages import Cursor, PageOf, page_of, page_size
from headrace_control.schedules import repository as schedules
from headrace_control.schedules.cron import Cron
from headrace_control.schedules.model import Schedule
from headrace_control.schedules.terms import terms_problems

_BACKFILLS = Cursor("backfills")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_FIRINGS = 10_000
MAX_RUNNING = 10
MAX_AT_ONCE = 1_000


class BackfillService:
    """Backfills of the caller's tenant, over a pool of the role headrace_api."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def start(
        self, caller: Caller, schedule: str, from_at: datetime, until_at: datetime, at_once: int
    ) -> Backfill:
        """Start a run for each firing from `from_at` on, before `until_at`, whatever has run for it; `at_once` of them
        are unfinished at most. Raises `InvalidInput`, `NotFound`, `LimitExceeded`."""
        caller.require(Permission.MANAGE_SCHEDULES)
        if problems := [*_at_once_problems(at_once), *_order_problems(from_at, until_at)]:
            raise InvalidInput(problems)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await schedules.find(db, caller.tenant_id, schedule)
        if found is None:
            raise NotFound("schedule")
        if problems := terms_problems(found.terms):
            raise InvalidInput(problems)
        if until_at > found.read_at:
            mend = "End the range now or earlier: what comes, the schedule fires by itself."
            raise InvalidInput([Problem("until", "a time that is to come", mend)])
        # Counting a year of hours takes a good part of a second: others are answered meanwhile.
        total = await asyncio.to_thread(_count, found.terms.clock, from_at, until_at)
        if total == 0:
            raise InvalidInput([Problem("from", "no firing is in the range", "Choose another range.")])
        if total > MAX_FIRINGS:
            raise LimitExceeded(f"a backfill has {MAX_FIRINGS} firings at most; choose a shorter range")
        backfill = _new(found, from_at, until_at, total, at_once)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            # Again, and locked: it may have been taken away meanwhile.
            there = await schedules.find(db, caller.tenant_id, schedule, lock=True)
            if there is None or there.id != found.id:
                raise NotFound("schedule")
            await _check_running(db, caller.tenant_id)
            await repository.insert(db, caller.tenant_id, there.id, backfill)
            detail: JsonObject = {"schedule": schedule, "firings": total}
            await record(db, caller, Act("backfill.start", f"backfill/{backfill.id}", detail=detail))
            await schedules.tell(db)
            return await repository.by_id(db, caller.tenant_id, backfill.id)

    async def stop(self, caller: Caller, backfill_id: UUID) -> Backfill:
        """It starts nothing more; what it has started goes on. Asking again changes nothing. Raises `NotFound`,
        `Conflict` when it is done."""
        caller.require(Permission.MANAGE_SCHEDULES)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            backfill = await _unended(db, caller.tenant_id, backfill_id)
            if backfill.status is BackfillStatus.RUNNING:
                await repository.stop(db, caller.tenant_id, backfill_id)
            await record(db, caller, Act("backfill.stop", f"backfill/{backfill_id}"))
            return await repository.by_id(db, caller.tenant_id, backfill_id)

    async def resume(self, caller: Caller, backfill_id: UUID, at_once: int | None) -> Backfill:
        """It goes on behind what it has started. Raises `InvalidInput`, `NotFound`, `LimitExceeded`, and `Conflict`
        when it is done."""
        caller.require(Permission.MANAGE_SCHEDULES)
        if at_once is not None and (problems := _at_once_problems(at_once)):
            raise InvalidInput(problems)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            backfill = await _unended(db, caller.tenant_id, backfill_id)
            if backfill.status is BackfillStatus.STOPPED:
                await _check_running(db, caller.tenant_id)
            await repository.resume(db, caller.tenant_id, backfill_id, at_once)
            await record(db, caller, Act("backfill.resume", f"backfill/{backfill_id}"))
            await schedules.tell(db)
            return await repository.by_id(db, caller.tenant_id, backfill_id)

    async def find(self, caller: Caller, backfill_id: UUID) -> Backfill | None:
        caller.require(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            try:
                return await repository.by_id(db, caller.tenant_id, backfill_id)
            except NotFound:
                return None

    async def page(self, caller: Caller, schedule: str, first: int, after: str | None) -> PageOf[Backfill]:
        """Those of a schedule, newest first; empty of a schedule that is not there."""
        caller.require(Permission.READ)
        limit, before = page_size(first), _BACKFILLS.read_id(after)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await repository.page(db, caller.tenant_id, schedule, before, limit + 1)
        return page_of(found, limit, lambda backfill: _BACKFILLS.write(backfill.id))


def _new(schedule: Schedule, from_at: datetime, until_at: datetime, total: int, at_once: int) -> Backfill:
    return Backfill(
        id=new_id(),
        schedule=schedule.name,
        cron=schedule.terms.cron,
        time_zone=schedule.terms.time_zone,
        from_at=from_at,
        until_at=until_at,
        done_to=from_at - TICK,
        total=total,
        started=0,
        at_once=at_once,
        status=BackfillStatus.RUNNING,
        error=None,
        created_at=schedule.read_at,
        finished_at=None,
    )


def _count(clock: Cron, from_at: datetime, until_at: datetime) -> int:
    """The firings of a range, counted no further than is let in."""
    return sum(1 for _ in islice(clock.between(from_at - TICK, until_at - TICK), MAX_FIRINGS + 1))


async def _unended(db: Db, tenant_id: UUID, backfill_id: UUID) -> Backfill:
    backfill = await repository.by_id(db, tenant_id, backfill_id, lock=True)
    if backfill.status is BackfillStatus.DONE:
        raise Conflict("the backfill is done")
    return backfill


async def _check_running(db: Db, tenant_id: UUID) -> None:
    if await repository.count_running(db, tenant_id) >= MAX_RUNNING:
        raise LimitExceeded(f"{MAX_RUNNING} backfills are under way; wait for one to end, or stop one")


def _at_once_problems(at_once: int) -> list[Problem]:
    if 1 <= at_once <= MAX_AT_ONCE:
        return []
    return [Problem("atOnce", "out of range", f"Write a number from 1 to {MAX_AT_ONCE}.")]


def _order_problems(from_at: datetime, until_at: datetime) -> list[Problem]:
    if from_at < _EPOCH:
        return [Problem("from", "before 1970", "Write a later time.")]
    if from_at < until_at:
        return []
    return [Problem("until", "not behind the range's begin", "Write a later time.")]
