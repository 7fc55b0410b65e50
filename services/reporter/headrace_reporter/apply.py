"""Events to Postgres: a batch in one transaction, fenced and idempotent.

A batch that fails is applied run by run; the run that can not be applied is set aside with its events, so
that nothing beside it is lost and nothing behind it waits.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import structlog
from headrace.concurrency import turns
from headrace.errors import Conflict
from headrace.ids import new_id
from headrace.messages import Event
from headrace.postgres.listen import DISPATCH_CHANNEL, FENCE_CHANNEL, IDS_PER_PAYLOAD, RUNS_CHANNEL
from headrace.postgres.pool import Db, Pool, transaction
from headrace.postgres.queries import load
from headrace.refusals.audit import Refused
from headrace.workflow.fold import IllegalMove
from headrace.workflow.state import (
    RunStatus,
)

from headrace_reporter.dead_letters import kept, write_dead_letters
from headrace_reporter.lasting import dump, relatives, write_lasting
from headrace_reporter.projection import RunRow, StepRow, apply_event
from headrace_reporter.strangers import keep_strangers
from headrace_reporter.uses import write_uses

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


class Applier:
    """Applies events; safe to be given the same ones again, stale ones, or both."""

    def __init__(self, pool: Pool, refused: Refused) -> None:
        self._pool, self._refused = pool, refused

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

    async def _apply_or_set_aside(self, events: Sequence[Event]) -> None:
        try:
            await self._apply(events)
        except _BAD_EVENT as error:
            reason = f"events can not be applied ({type(error).__name__})"
            _log.error("run set aside", run_id=str(events[0].run_id), reason=reason)
            async with transaction(self._pool) as db:
                await _set_aside(db, events, reason)

    async def _apply(self, events: Sequence[Event]) -> None:
        by_run = _by_run(events)
        async with transaction(self._pool) as db:
            ids = [*by_run, *await relatives(db, by_run)]
            rows = [_run_row(row) for row in await db.fetch(_sql.lock_runs, ids) if row["id"] in by_run]
            now = await db.fetchval(_sql.now)
            changed = [row for row in rows if _apply_all(row, by_run[row.id], now)]
            strangers = await keep_strangers(db, by_run, rows)
            if changed:
                await _write(db, changed)
        for refusal in strangers:
            self._refused(refusal)


def _apply_all(run: RunRow, events: Sequence[Event], now: datetime) -> bool:
    """Whether any of the events changed the run; every one is applied."""
    return sum(apply_event(run, event, now) for event in events) > 0


async def _write(db: Db, runs: Sequence[RunRow]) -> None:
    await _write_history(db, runs)
    await write_uses(db, runs)
    await _write_steps(db, runs)
    open_still = [r for r in runs if not r.ended]
    if open_still:
        await db.execute(
            _sql.raise_fence,
            [r.id for r in open_still],
            [r.fence[0] for r in open_still],
            [r.fence[1] for r in open_still],
            [r.progress for r in open_still],
        )
    due = await _write_parked_and_ended(db, runs)
    due |= await write_lasting(db, runs)
    await write_dead_letters(db, runs)
    await _notify(db, RUNS_CHANNEL, [r.id for r in runs if r.events])
    await _notify(db, FENCE_CHANNEL, [r.id for r in runs if r.marked])
    if due:
        await db.execute(_sql.notify, DISPATCH_CHANNEL, "")


async def _write_history(db: Db, runs: Sequence[RunRow]) -> None:
    events = [event for run in runs for event in run.events]
    if events:
        await db.execute(
            _sql.write_events,
            [e.tenant_id for e in events],
            [e.run_id for e in events],
            [e.epoch for e in events],
            [e.seq for e in events],
            [e.kind.value for e in events],
            [e.step for e in events],
            [e.at for e in events],
            [dump(e.data) for e in events],
        )
    attempts = [(run, attempt) for run in runs for attempt in run.attempts]
    if attempts:
        await db.execute(
            _sql.write_attempts,
            [run.tenant_id for run, _ in attempts],
            [run.id for run, _ in attempts],
            *(
                [a[name] if name != "error" else dump(a[name]) for _, a in attempts]
                for name in (
                    "step",
                    "number",
                    "epoch",
                    "outcome",
                    "http_status",
                    "error",
                    "address",
                    "started_at",
                    "duration_ms",
                )
            ),
        )


async def _write_steps(db: Db, runs: Sequence[RunRow]) -> None:
    steps: list[tuple[RunRow, str, StepRow]] = [(r, key, s) for r in runs for key, s in r.steps.items()]
    if not steps:
        return
    await db.execute(
        _sql.write_steps,
        [r.tenant_id for r, _, _ in steps],
        [r.id for r, _, _ in steps],
        [key for _, key, _ in steps],
        [s.status.value for _, _, s in steps],
        [s.attempts for _, _, s in steps],
        [dump(s.input) for _, _, s in steps],
        [dump(s.output) for _, _, s in steps],
        [dump(s.error) for _, _, s in steps],
        [s.in_flight for _, _, s in steps],
        [s.retry_at for _, _, s in steps],
        [s.started_at for _, _, s in steps],
        [s.finished_at for _, _, s in steps],
        [dump(s.wait) for _, _, s in steps],
        [s.round for _, _, s in steps],
        [s.round_from for _, _, s in steps],
        [s.items for _, _, s in steps],
        [s.done[0] if s.done else None for _, _, s in steps],
        [s.done[1] if s.done else None for _, _, s in steps],
    )


async def _write_parked_and_ended(db: Db, runs: Sequence[RunRow]) -> bool:
    """Close claims, mint and drop dispatches; whether the relay has something to do."""
    parked = [(r, r.parked) for r in runs if r.parked]
    ended = [(r, r.ended) for r in runs if r.ended]
    if not parked and not ended:
        return False
    await db.execute(_sql.drop_dispatches, [r.id for r, _ in (*parked, *ended)])
    if parked:
        await db.execute(
            _sql.park_runs,
            [r.id for r, _ in parked],
            [p.reason.value for _, p in parked],
            [p.dispatch_id for _, p in parked],
            [p.status.value for _, p in parked],
        )
        due = [(r, p) for r, p in parked if p.due_at]
        await db.execute(
            _sql.add_dispatches,
            [p.dispatch_id for _, p in due],
            [r.tenant_id for r, _ in due],
            [r.id for r, _ in due],
            [p.due_at for _, p in due],
        )
    if ended:
        await db.execute(
            _sql.end_runs,
            [r.id for r, _ in ended],
            [e.status.value for _, e in ended],
            [dump(e.result) for _, e in ended],
            [dump(e.error) for _, e in ended],
            [e.at for _, e in ended],
            [r.fence[0] for r, _ in ended],
            [r.fence[1] for r, _ in ended],
        )
        by_id = {r.id: r for r, _ in ended}
        for row in await db.fetch(_sql.cancel_open_steps, list(by_id)):
            by_id[row["run_id"]].in_doubt.append(row["key"])
        limited = [r.id for r, _ in ended if r.limited]
        if limited:
            await turns.leave(db, limited)
    return True


async def _set_aside(db: Db, events: Sequence[Event], reason: str) -> None:
    """Keep the events with a dead letter, and end the run's claim.

    What its holder writes from now on would build on what was not applied, so the fence goes above everything
    that this epoch can write; the holder hears with its next renewal that the claim is not its own any more.
    """
    run_id = events[0].run_id
    row = await db.fetchrow(_sql.lock_runs, [run_id])
    await db.execute(
        _sql.add_dead_letter,
        new_id(),
        row["tenant_id"] if row else None,
        run_id,
        "reporter",
        reason,
        kept(events),
    )
    if row is None:
        return
    await db.execute(_sql.set_run_aside, run_id)
    await db.execute(_sql.drop_dispatches, [run_id])
    await _notify(db, RUNS_CHANNEL, [run_id])


async def _notify(db: Db, channel: str, ids: Sequence[UUID]) -> None:
    for start in range(0, len(ids), IDS_PER_PAYLOAD):
        await db.execute(_sql.notify, channel, ",".join(str(i) for i in ids[start : start + IDS_PER_PAYLOAD]))


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
    )
