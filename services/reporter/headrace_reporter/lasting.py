"""What events do beside their own run's row and steps: children, messages, waits and compensations."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from headrace.messages import Event
from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.workflow.fold import IllegalMove
from headrace.workflow.state import EventKind

from headrace_reporter.changes import Child, RunRow

_sql = load("headrace_reporter")

_ENDS = frozenset({EventKind.FINISHED, EventKind.CANCELED})
_STOPS_CHILDREN = _ENDS | {EventKind.COMPENSATING}


def stopping(by_run: Mapping[UUID, Sequence[Event]]) -> list[UUID]:
    """Those that end or turn to compensation: their parents are told, or their unfinished children stopped."""
    return [i for i, events in by_run.items() if any(e.kind in _STOPS_CHILDREN for e in events)]


async def write_lasting(db: Db, runs: Sequence[RunRow]) -> list[UUID]:
    """Write it, before the ends of runs, which close waits and stop children; the runs that are due now."""
    await _write_messages_and_waits(db, runs)
    undone = [(run, key) for run in runs for key in run.undone]
    if undone:
        await db.execute(
            _sql.mark_compensated, [r.undoes_run_id or r.id for r, _ in undone], [key for _, key in undone]
        )
    return await _write_children(db, runs)


async def write_compensations(db: Db, runs: Sequence[RunRow]) -> None:
    """Of runs that turn to compensation; not of those that have ended in the same batch."""
    compensating = [run for run in runs if run.compensating is not None]
    if compensating:
        await db.execute(
            _sql.begin_compensation,
            [r.id for r in compensating],
            [dump(r.compensating) for r in compensating],
        )


async def write_undone_loops(db: Db, runs: Sequence[RunRow]) -> None:
    """Of runs that have ended with undoing, when what they have undone is written: once, and not with each item."""
    undid = [run.undoes_run_id or run.id for run in runs if run.undid]
    if undid:
        await db.execute(_sql.mark_loops_compensated, undid)


async def tell_parents(db: Db, runs: Sequence[RunRow]) -> list[UUID]:
    """Of the ends of their children, when these are written; the parents that are due now."""
    children = [run for run in runs if run.ended and run.parent_run_id is not None]
    if not children:
        return []
    # rule child_ends_with_its_message: the parent learns of the end by the transaction that makes it one
    told = await db.fetch(
        _sql.post_child_ends, [run.id for run in children], [run.parent_run_id for run in children]
    )
    return [row["run_id"] for row in told]


async def _write_messages_and_waits(db: Db, runs: Sequence[RunRow]) -> None:
    used = [(run.id, seq) for run in runs for seq in run.used_messages]
    if used:
        await db.execute(_sql.use_messages, [i for i, _ in used], [seq for _, seq in used])
    waits = [(run, wait) for run in runs for wait in run.waits]
    if waits:
        await db.execute(
            _sql.open_waits,
            [run.tenant_id for run, _ in waits],
            [run.id for run, _ in waits],
            [wait.step for _, wait in waits],
            [wait.kind.value for _, wait in waits],
            [dump(wait.data) for _, wait in waits],
            [wait.at for _, wait in waits],
            [wait.due_at for _, wait in waits],
        )
    reminders = [(run.id, step, at) for run in runs for step, at in run.reminders]
    if reminders:
        await db.execute(
            _sql.remind,
            [i for i, _, _ in reminders],
            [s for _, s, _ in reminders],
            [a for _, _, a in reminders],
        )
    resolved = [(run.id, key) for run in runs for key in run.resolved]
    if resolved:
        await db.execute(_sql.close_waits, [i for i, _ in resolved], [key for _, key in resolved])


async def _write_children(db: Db, runs: Sequence[RunRow]) -> list[UUID]:
    children: list[tuple[RunRow, Child]] = [(run, child) for run in runs for child in run.children]
    if not children:
        return []
    begun = await db.fetch(
        _sql.begin_children,
        [run.id for run, _ in children],
        [child.run_id for _, child in children],
        [child.dispatch_id for _, child in children],
        [child.step for _, child in children],
        [child.version_id for _, child in children],
        [dump(child.input) for _, child in children],
        [child.undoes for _, child in children],
    )
    if len(begun) < len(children):
        raise IllegalMove("a child of no version or origin that its parent has")
    if taking := [row["id"] for row in begun if row["takes"]]:
        await db.execute(_sql.take_over_of_children, taking)
    return [row["id"] for row in begun]


def dump(value: Any) -> str | None:
    """JSON text, cast in SQL: an array parameter would read a JSON list as one more dimension of itself."""
    return None if value is None else orjson.dumps(value).decode()
