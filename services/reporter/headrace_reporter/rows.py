"""The rows of runs as a batch of events has left them, written in few statements: each is a round trip."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from headrace.concurrency import turns
from headrace.messages import Event
from headrace.postgres.listen import DISPATCH_CHANNEL, FENCE_CHANNEL, IDS_PER_PAYLOAD, ROOM, RUNS_CHANNEL
from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_reporter.changes import RunRow, StepRow
from headrace_reporter.dead_letters import write_dead_letters
from headrace_reporter.lasting import (
    dump,
    tell_parents,
    write_compensations,
    write_lasting,
    write_undone_loops,
)
from headrace_reporter.results import write_results
from headrace_reporter.uses import write_uses

_sql = load("headrace_reporter")


async def write(db: Db, runs: Sequence[RunRow]) -> None:
    """Write what the batch has changed of these runs, and tell those who wait for it, when it is committed.

    `runs` are in the order of their ids, as they were locked.
    """
    due = any(run.parked and run.parked.due_at for run in runs)
    room = any(run.ended or run.parked for run in runs)
    told: list[tuple[str, Sequence[UUID]]] = [
        (RUNS_CHANNEL, [r.id for r in runs if r.events]),
        (FENCE_CHANNEL, [r.id for r in runs if r.marked]),
    ]
    channels, payloads = _payloads(told)
    if due or room:
        channels.append(DISPATCH_CHANNEL)
        payloads.append("" if due else ROOM)
    await _write_progress(db, runs, channels, payloads)
    await write_uses(db, runs)
    await write_results(db, runs)
    await _write_parked(db, runs)
    woken = await write_lasting(db, runs)
    woken += await _write_stopping(db, runs)
    await write_undone_loops(db, runs)
    await write_compensations(db, runs)
    admitted = await _leave_turns(db, runs)
    woken += await tell_parents(db, runs)
    if woken:
        await db.execute(_sql.wake, woken)
    await write_dead_letters(db, runs)
    if (woken or admitted) and not due:
        await db.execute(_sql.notify, [DISPATCH_CHANNEL], [""])


async def notify(db: Db, told: Iterable[tuple[str, Sequence[UUID]]]) -> None:
    """Tell of these runs on these channels."""
    await db.execute(_sql.notify, *_payloads(told))


def _payloads(told: Iterable[tuple[str, Sequence[UUID]]]) -> tuple[list[str], list[str]]:
    """Channels, and what to send on each; Postgres bounds a payload."""
    channels, payloads = [], []
    for channel, ids in told:
        for start in range(0, len(ids), IDS_PER_PAYLOAD):
            channels.append(channel)
            payloads.append(",".join(str(i) for i in ids[start : start + IDS_PER_PAYLOAD]))
    return channels, payloads


async def _write_progress(
    db: Db, runs: Sequence[RunRow], channels: Sequence[str], payloads: Sequence[str]
) -> None:
    """Events, attempts and steps; and the fences, but for those of runs that have ended, which go with their ends.

    As rows of 0057_reported_rows.sql. Ids are the runs' own, which the driver has made.
    """
    unfinished = [run for run in runs if not run.ended]
    await db.execute(
        _sql.write_progress,
        [_event_row(run, event) for run in runs for event in run.events],
        [_attempt_row(run, attempt) for run in runs for attempt in run.attempts],
        [_step_row(run, key, step) for run in runs for key, step in run.steps.items()],
        [(run.id, *run.fence, run.progress) for run in unfinished],
        runs[0].id,
        runs[-1].id,
        channels,
        payloads,
        [run.id for run in unfinished],
    )


def _event_row(run: RunRow, e: Event) -> tuple[object, ...]:
    return run.tenant_id, run.id, e.epoch, e.seq, e.kind, e.step, e.at, dump(e.data)


def _attempt_row(run: RunRow, a: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        run.tenant_id,
        run.id,
        a["step"],
        a["number"],
        a["epoch"],
        a["outcome"],
        a["http_status"],
        dump(a["error"]),
        a["address"],
        a["started_at"],
        a["duration_ms"],
    )


def _step_row(run: RunRow, key: str, s: StepRow) -> tuple[object, ...]:
    return (
        run.tenant_id,
        run.id,
        key,
        s.status,
        s.attempts,
        dump(s.input),
        dump(s.output),
        dump(s.error),
        s.in_flight,
        s.retry_at,
        s.started_at,
        s.finished_at,
        dump(s.wait),
        s.round,
        s.round_from,
        s.items,
        *(s.done or (None, None)),
    )


async def _write_parked(db: Db, runs: Sequence[RunRow]) -> None:
    """Close claims, and mint the next dispatches."""
    parked = [(run, run.parked) for run in runs if run.parked]
    if not parked:
        return
    await db.execute(_sql.drop_dispatches, [r.id for r, _ in parked])
    await db.execute(
        _sql.park_runs,
        [r.id for r, _ in parked],
        [p.reason.value for _, p in parked],
        [p.dispatch_id for _, p in parked],
        [p.status.value for _, p in parked],
    )
    due = [(r, p) for r, p in parked if p.due_at]
    if due:
        await db.execute(
            _sql.add_dispatches,
            [p.dispatch_id for _, p in due],
            [r.tenant_id for r, _ in due],
            [r.id for r, _ in due],
            [p.due_at for _, p in due],
            [r.pool for r, _ in due],
        )


async def _write_stopping(db: Db, runs: Sequence[RunRow]) -> list[UUID]:
    """Close claims, open steps and waits of runs that end, drop their dispatches, and stop the children of these and of
    those that turn to compensation; the children."""
    ended = [(run, run.ended) for run in runs if run.ended]
    stopping = [run.id for run in runs if run.ended or run.compensating is not None]
    if not stopping:
        return []
    answer = await db.fetch(
        _sql.end_runs,
        [r.id for r, _ in ended],
        [e.status.value for _, e in ended],
        [dump(e.result) for _, e in ended],
        [dump(e.error) for _, e in ended],
        [e.at for _, e in ended],
        [r.fence[0] for r, _ in ended],
        [r.fence[1] for r, _ in ended],
        runs[0].id,
        runs[-1].id,
        stopping,
    )
    by_id = {r.id: r for r, _ in ended}
    for row in answer:
        if row["key"] is not None:
            by_id[row["run_id"]].in_doubt.append(row["key"])
    return [row["run_id"] for row in answer if row["key"] is None]


async def _leave_turns(db: Db, runs: Sequence[RunRow]) -> bool:
    """Of limited runs that end; whether others are admitted in their places."""
    limited = [run.id for run in runs if run.ended and run.limited]
    return bool(limited and await turns.leave(db, limited))
