"""The loop that fires schedules when they are due, and advances backfills: one wait serves both."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from itertools import zip_longest
from uuid import UUID

import asyncpg
import structlog
from headrace.errors import HeadraceError, Unavailable
from headrace.json_types import JsonObject
from headrace.outage import Outage
from headrace.postgres.listen import Listener
from headrace.postgres.pool import Pool, tenant_transaction, transaction
from headrace.postgres.queries import load

from headrace_control.audit.record import CONTROL_PLANE, Act, Part, record
from headrace_control.backfills import repository as backfills
from headrace_control.backfills.advancing import Advancer
from headrace_control.lanes import Lanes, Piece
from headrace_control.schedules import repository
from headrace_control.schedules.deciding import LATE
from headrace_control.schedules.firing import Firings
from headrace_control.schedules.repository import SCHEDULES_CHANNEL
from headrace_control.schedules.rests import Rests
from headrace_control.schedules.starting import Starter, error_of
from headrace_control.unexpected import report_unexpected
from headrace_control.vault.output_keys import OutputKeys

_log = structlog.get_logger(__name__)
_sql = load("headrace_control.schedules")

# It looks by itself so often, whatever it was told.
LONGEST_WAIT = 10.0
# Between two looks that found nothing to do but what another control plane is at.
SHORTEST_WAIT = 0.05
# When Postgres is away.
TROUBLED_WAIT = 1.0
# So often it is asked whether what a queued firing waits for has ended.
QUEUED_LOOKS = timedelta(seconds=1)
# How many are looked for at a time, and how many are at work.
BATCH = 100
SIDE_BY_SIDE = 4
# So long one look is worked off; then it is looked anew, for others may be due.
TURN_SECONDS = 5.0
# What takes longer is broken off, and tried again: it holds a place, and a session of the pool.
LONGEST_PIECE = 15.0

# A plan may be made while the table is empty, and be used when it is full.
BY_INDEX = "SET LOCAL enable_seqscan = off"

Work = Callable[[UUID, UUID], Awaitable[bool]]
_INTERNAL: JsonObject = {
    "code": "INTERNAL",
    "message": "it can not be fired; our logs say more. Mend it, then resume it.",
}


class ScheduleLoop:
    """One per control plane. What is due is found over `worker_pool` (headrace_worker), and done in its tenant's own
    transaction over `api_pool` (headrace_api). Make it before the listener starts."""

    def __init__(self, worker_pool: Pool, api_pool: Pool, keys: OutputKeys, listener: Listener) -> None:
        self._worker_pool, self._api_pool = worker_pool, api_pool
        starter = Starter(keys)
        self._firings, self._advancer = Firings(api_pool, starter), Advancer(api_pool, starter)
        self._nudged, self._rests = asyncio.Event(), Rests()
        self._lanes = Lanes(SIDE_BY_SIDE, self._nudged.set)
        listener.subscribe(SCHEDULES_CHANNEL, lambda _: self._nudged.set())

    async def run(self) -> None:
        """Work until cancelled; trouble with Postgres is waited out."""
        try:
            await self._work()
        finally:
            await self._lanes.stop()

    async def _work(self) -> None:
        outage = Outage("schedules wait", "schedules go on")
        while True:
            self._nudged.clear()
            try:
                worked = await self.turn()
                wait = 0.0 if worked else await self._seconds_to_next()
                outage.over()
            except (Unavailable, asyncpg.PostgresError) as error:
                outage.tried(error=type(error).__name__)
                wait = TROUBLED_WAIT
            try:
                async with asyncio.timeout(wait):
                    await self._nudged.wait()
            except TimeoutError:
                pass

    async def turn(self) -> int:
        """Do what is due now, for `TURN_SECONDS`; how many schedules and backfills were advanced here.

        What failed because something was away is left alone for a while: it would stand before all others each time.
        What is slow goes on beside the next turn.
        """
        without = self._without()
        async with transaction(self._worker_pool, BY_INDEX) as db:
            due = await db.fetch(_sql.due, BATCH, *without, LATE)
            filling = await backfills.due(db, BATCH, *without)
        firing = [self._piece(row["tenant_id"], row["id"], self._fire) for row in due]
        advancing = [self._piece(*one, self._advance) for one in filling]
        pieces = [piece for pair in zip_longest(firing, advancing) for piece in pair if piece is not None]
        doubtful = self._rests.tenants()
        pieces.sort(key=lambda piece: piece.tenant_id in doubtful)
        return await self._lanes.work_off(pieces, TURN_SECONDS, doubtful)

    def _piece(self, tenant_id: UUID, which: UUID, work: Work) -> Piece:
        return Piece(tenant_id, which, partial(self._try, tenant_id, which, work))

    def _without(self) -> tuple[Sequence[UUID], Sequence[UUID]]:
        """Schedules and backfills, and tenants, that there is no use in looking for now."""
        return [*self._rests.now(), *self._lanes.at_work], self._lanes.full

    async def _try(self, tenant_id: UUID, which: UUID, work: Work) -> bool:
        try:
            async with asyncio.timeout(LONGEST_PIECE):
                worked = await work(tenant_id, which)
        except (Unavailable, asyncpg.PostgresError, TimeoutError) as error:
            # Nothing was kept of it: it is due as before.
            self._rests.begin(tenant_id, which)
            _log.warning("a schedule or a backfill waits", id=str(which), error=type(error).__name__)
            return False
        self._rests.end(which)
        return worked

    async def _fire(self, tenant_id: UUID, schedule_id: UUID) -> bool:
        try:
            return await self._firings.fire(tenant_id, schedule_id)
        except Exception as error:
            if _passes(error):
                raise
            # One schedule is in nobody's way: it stands still until a person has looked at it.
            told = _told(error, "a schedule can not be fired", schedule_id)
            async with tenant_transaction(self._api_pool, tenant_id) as db:
                await repository.pause(db, tenant_id, schedule_id, told)
                act = Act("schedule.pause", f"schedule/{schedule_id}", detail=told)
                await record(db, Part(tenant_id, CONTROL_PLANE), act)
            return True

    async def _advance(self, tenant_id: UUID, backfill_id: UUID) -> bool:
        try:
            return await self._advancer.advance(tenant_id, backfill_id)
        except Exception as error:
            if _passes(error):
                raise
            told = _told(error, "a backfill can not be advanced", backfill_id)
            async with tenant_transaction(self._api_pool, tenant_id) as db:
                await backfills.stop(db, tenant_id, backfill_id, told)
                act = Act("backfill.stop", f"backfill/{backfill_id}", detail=told)
                await record(db, Part(tenant_id, CONTROL_PLANE), act)
            return True

    async def _seconds_to_next(self) -> float:
        async with transaction(self._worker_pool, BY_INDEX) as db:
            seconds = await db.fetchval(_sql.seconds_to_next, QUEUED_LOOKS, *self._without())
        soonest = [one for one in (seconds, self._rests.seconds_to_next(), LONGEST_WAIT) if one is not None]
        return max(min(soonest), SHORTEST_WAIT)


def _passes(error: Exception) -> bool:
    """Whether the same may go well a moment later: something was away, or others were in the way."""
    if isinstance(error, asyncpg.DataError | asyncpg.IntegrityConstraintViolationError):
        return False
    return isinstance(error, Unavailable | asyncpg.PostgresError)


def _told(error: Exception, event: str, which: UUID) -> JsonObject:
    """What is kept of it. What nobody foresaw is told in our log, and without its words."""
    _log.error(event, id=str(which), error=type(error).__name__)
    if isinstance(error, HeadraceError):
        return error_of(error)
    report_unexpected(error)
    return dict(_INTERNAL)
