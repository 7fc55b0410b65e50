"""Events to Postgres: a batch in one transaction, fenced and idempotent.

A batch that fails is applied run by run; the run that can not be applied is set aside with its events, so
that nothing beside it is lost and nothing behind it waits. So is a run of which an event can not even be read.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import structlog
from headrace.errors import Conflict
from headrace.ids import new_id
from headrace.json_types import JsonObject
from headrace.messages import Event
from headrace.postgres.listen import DISPATCH_CHANNEL, RUNS_CHANNEL
from headrace.postgres.pool import Db, Pool, transaction
from headrace.postgres.queries import load
from headrace.refusals.audit import Refused
from headrace.unforeseen import described
from headrace.workflow.fold import IllegalMove
from headrace.workflow.state import ENDED_RUN, RunStatus
from prometheus_client import CollectorRegistry

from headrace_reporter.changes import RunRow
from headrace_reporter.dead_letters import kept, kept_json
from headrace_reporter.lasting import stopping
from headrace_reporter.metrics import ReporterMetrics
from headrace_reporter.projection import apply_event
from headrace_reporter.rows import notify, write
from headrace_reporter.salvage import Broken, Unread
from headrace_reporter.strangers import keep_strangers

_log = structlog.get_logger(__name__)
_sql = load("headrace_reporter")

# What can be wrong with an event itself: it is no event of ours, or Postgres refuses its content (classes 22 and
# 23 of SQLSTATE) or its size (54). Everything else that Postgres may say, a full disk or a deadlock among it, is
# not the event's fault: the batch is handed over again.
_BAD_EVENT = (
    IllegalMove,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    Conflict,
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)

# Where the fence stands of a run that was set aside: above all that its epoch can write.
LAST_SEQ = 2**31 - 1


class Applier:
    """Applies events; safe to be given the same ones again, stale ones, or both."""

    def __init__(self, pool: Pool, refused: Refused, metrics: ReporterMetrics | None = None) -> None:
        self._pool, self._refused = pool, refused
        self._metrics = metrics or ReporterMetrics(CollectorRegistry())

    async def apply(self, events: Sequence[Event]) -> None:
        """Apply in the given order. Raises `DatabaseUnavailable` or Postgres's own error when nothing was written
        and it is not an event's fault."""
        if not events:
            return
        try:
            await self._apply(events)
        except _BAD_EVENT as error:
            _log.warning("batch failed, applying run by run", error=type(error).__name__)
            for one_run in _by_run(events).values():
                await self._apply_or_set_aside(one_run)

    async def set_aside(self, broken: Sequence[Broken]) -> Sequence[Any]:
        """Set the runs aside of which an event can not be read, with all of their events from there on; one that would
        change nothing if it could be read changes nothing. Returns those that nobody was granted, as JSON."""
        if not broken:
            return ()
        ids = [of.run_id for of in broken]
        nobodys: list[Any] = []
        async with transaction(self._pool) as db:
            rows = {row["id"]: row for row in await db.fetch(_sql.lock_runs, ids, min(ids), max(ids))}
            found = await db.fetch(_sql.tenants_gone, [of.tenant_id for of in broken])
            gone = {row["tenant_id"] for row in found}
            for of in broken:
                row = rows.get(of.run_id)
                news = False
                for one in of.unread:
                    if row is not None and _granted(of, one, row):
                        news |= _is_news(one, row)
                    elif of.tenant_id not in gone:
                        nobodys.append(one.value)
                if news:
                    reason = f"an event can not be read ({of.reason})"
                    tenant, run = str(of.tenant_id), str(of.run_id)
                    _log.error("run set aside", run_id=run, tenant_id=tenant, reason=reason)
                    await _set_aside(db, of.run_id, row, reason, kept_json(of.values))
        return nobodys

    async def _apply_or_set_aside(self, events: Sequence[Event]) -> None:
        try:
            await self._apply(events)
        except _BAD_EVENT as error:
            reason = f"events can not be applied ({type(error).__name__})"
            of = {"run_id": str(events[0].run_id), "tenant_id": str(events[0].tenant_id)}
            _log.error("run set aside", **of, reason=reason, **described(error))
            run_id = events[0].run_id
            async with transaction(self._pool) as db:
                row = await db.fetchrow(_sql.lock_runs, [run_id], run_id, run_id)
                await _set_aside(db, run_id, row, reason, kept(events))

    async def _apply(self, events: Sequence[Event]) -> None:
        by_run = _by_run(events)
        async with transaction(self._pool) as db:
            found = await _lock(db, by_run)
            rows = [_run_row(row) for row in found if row["id"] in by_run]
            changed = [row for row in rows if _apply_all(row, by_run[row.id], found[0]["now"])]
            strangers = await keep_strangers(db, by_run, rows)
            if changed:
                await write(db, changed)
        for refusal in strangers:
            self._refused(refusal)
        if found:
            ended = [row.ended.status for row in changed if row.ended is not None]
            self._metrics.applied(events, found[0]["now"], ended)


async def _lock(db: Db, by_run: Mapping[UUID, Sequence[Event]]) -> Sequence[Any]:
    """The rows of the runs, locked, and with those that end or turn to compensation their relatives'."""
    ids = list(by_run)
    stops = stopping(by_run)
    if stops:
        return await db.fetch(_sql.lock_runs_and_relatives, ids, min(ids), max(ids), stops)
    return await db.fetch(_sql.lock_runs, ids, min(ids), max(ids))


def _apply_all(run: RunRow, events: Sequence[Event], now: datetime) -> bool:
    """Whether any of the events changed the run; every one is applied."""
    return sum(apply_event(run, event, now) for event in events) > 0


def _granted(of: Broken, event: Unread, row: Any) -> bool:
    """As of one that can be read: it is the run's own tenant's, and of an epoch that a claim of the run had."""
    epoch = event.place[0] if event.place else 1
    return bool(of.tenant_id == row["tenant_id"] and epoch <= row["epoch"])


def _is_news(event: Unread, row: Any) -> bool:
    """Whether it is above the fence. One that does not say its place is taken for the last word of the last claim: the
    run that was set aside for it is not set aside again when it is delivered again."""
    place = event.place or (row["epoch"], LAST_SEQ)
    return row["status"] not in ENDED_RUN and place > (row["fence_epoch"], row["fence_seq"])


async def _set_aside(db: Db, run_id: UUID, row: Any | None, reason: str, body: JsonObject) -> None:
    """Keep the events with a dead letter, and end the claim of the run, whose locked row this is.

    What its holder writes from now on would build on what was not applied, so the fence goes above everything
    that this epoch can write; the holder hears with its next renewal that the claim is not its own any more.
    """
    before = await db.fetchval(_sql.was_set_aside, run_id)
    await db.execute(
        _sql.add_dead_letter,
        new_id(),
        row["tenant_id"] if row else None,
        run_id,
        "reporter",
        reason,
        body,
    )
    if row is None:
        return
    await db.execute(_sql.set_run_aside, run_id)
    await db.execute(_sql.drop_dispatches, [run_id])
    await notify(db, [(RUNS_CHANNEL, [run_id])])
    if row["cancel_requested"] and not before:
        # rule aside_sees_cancel: nobody asks a second time. But once only: what carries the cancel out may fail here
        # as well, again and again.
        await db.execute(_sql.wake, [run_id])
        await db.execute(_sql.notify, [DISPATCH_CHANNEL], [""])


def _by_run(events: Iterable[Event]) -> Mapping[UUID, list[Event]]:
    by_run: dict[UUID, list[Event]] = defaultdict(list)
    for event in events:
        by_run[event.run_id].append(event)
    return by_run


def _run_row(row: Any) -> RunRow:
    return RunRow(
        row["id"],
        row["tenant_id"],
        RunStatus(row["status"]),
        row["dispatch_id"],
        row["epoch"],
        row["claim_open"],
        (row["fence_epoch"], row["fence_seq"]),
        row["cancel_requested"],
        row["limited"],
        row["pause_requested"],
        row["inbox_seq"],
        row["parent_run_id"],
        row["undoes_run_id"],
        row["pool"],
    )
