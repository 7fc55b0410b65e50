"""The SQL of reading and canceling runs. Every method works inside the caller's transaction and tenant."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.concurrency import turns
from headrace.ids import lowest_id
from headrace.postgres.listen import DISPATCH_CHANNEL, IDS_PER_PAYLOAD, RUNS_CHANNEL
from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.workflow.state import EventKind, ParkReason, RunStatus, StepStatus

from headrace_control.answer_size import check_size
from headrace_control.runs.model import (
    Attempt,
    AttemptOutcome,
    Payload,
    Run,
    RunEvent,
    RunFilter,
    StepPayload,
    StepRun,
)

_sql = load("headrace_control.runs")

_FIRST_ID, _NO_ID = UUID(int=0), UUID(int=2**128 - 1)

StepId = tuple[UUID, str]
EventsFrom = tuple[UUID, int, int]  # run, and the (epoch, seq) to go on after


async def runs_by_id(db: Db, tenant_id: UUID, ids: Sequence[UUID]) -> Mapping[UUID, Run]:
    return {row["id"]: _run(row) for row in await db.fetch(_sql.runs_by_id, tenant_id, ids)}


async def newest(
    db: Db, tenant_id: UUID, wanted: RunFilter, limit: int, before: UUID | None
) -> Sequence[Run]:
    """Runs below the id `before`, newest first."""
    least = _bound(wanted.created_after, _FIRST_ID)
    under = min(_bound(wanted.created_before, _NO_ID), before or _NO_ID)
    wanted_rows = (tenant_id, least, under, limit, sorted(set(wanted.statuses or RunStatus)))
    await db.execute(_sql.in_index_order)
    if wanted.workflow is None:
        rows = await db.fetch(_sql.newest, *wanted_rows)
    else:
        rows = await db.fetch(_sql.newest_of_workflow, *wanted_rows, wanted.workflow)
    return [_run(row) for row in rows]


async def payloads(db: Db, tenant_id: UUID, ids: Sequence[UUID]) -> Mapping[UUID, Payload]:
    await check_size(db, len(ids), _sql.size_of_payloads, tenant_id, ids)
    rows = await db.fetch(_sql.payloads, tenant_id, ids)
    return {row["id"]: Payload(row["input"], row["result"]) for row in rows}


async def step_keys(db: Db, tenant_id: UUID, version_ids: Sequence[UUID]) -> Mapping[UUID, Sequence[str]]:
    rows = await db.fetch(_sql.step_keys, tenant_id, version_ids)
    return {row["id"]: tuple(row["keys"]) for row in rows}


async def steps(db: Db, tenant_id: UUID, run_ids: Sequence[UUID]) -> Mapping[UUID, Mapping[str, StepRun]]:
    found: dict[UUID, dict[str, StepRun]] = defaultdict(dict)
    for row in await db.fetch(_sql.steps, tenant_id, run_ids):
        found[row["run_id"]][row["key"]] = StepRun(
            row["run_id"],
            row["key"],
            StepStatus(row["status"]),
            row["attempts"],
            row["error"],
            row["retry_at"],
            row["started_at"],
            row["finished_at"],
        )
    return found


async def step_payloads(db: Db, tenant_id: UUID, ids: Sequence[StepId]) -> Mapping[StepId, StepPayload]:
    wanted = (tenant_id, [i for i, _ in ids], [key for _, key in ids])
    await check_size(db, len(ids), _sql.size_of_step_payloads, *wanted)
    rows = await db.fetch(_sql.step_payloads, *wanted)
    return {(row["run_id"], row["key"]): StepPayload(row["input"], row["output"]) for row in rows}


async def attempts(db: Db, tenant_id: UUID, ids: Sequence[StepId]) -> Mapping[StepId, Sequence[Attempt]]:
    found: dict[StepId, list[Attempt]] = defaultdict(list)
    for row in await db.fetch(_sql.attempts, tenant_id, [i for i, _ in ids], [key for _, key in ids]):
        found[row["run_id"], row["step"]].append(
            Attempt(
                row["number"],
                AttemptOutcome(row["outcome"]),
                row["http_status"],
                row["error"],
                row["address"],
                row["started_at"],
                row["duration_ms"],
            )
        )
    return found


async def events(
    db: Db, tenant_id: UUID, places: Sequence[EventsFrom], limit: int
) -> Sequence[Sequence[RunEvent]]:
    """For each place in turn: at most `limit` events that follow it, oldest first."""
    found: list[list[RunEvent]] = [[] for _ in places]
    columns = [list(column) for column in zip(*places, strict=True)]
    await check_size(db, len(places) * limit, _sql.size_of_events, tenant_id, *columns, limit)
    for row in await db.fetch(_sql.events, tenant_id, *columns, limit):
        kind = EventKind(row["kind"])
        event = RunEvent(row["epoch"], row["seq"], kind, row["step"], row["at"], row["data"])
        found[row["n"] - 1].append(event)
    return found


async def lock(db: Db, tenant_id: UUID, run_id: UUID) -> tuple[RunStatus, UUID] | None:
    """Lock the run's row; its status and its current dispatch id."""
    row = await db.fetchrow(_sql.lock, tenant_id, run_id)
    return None if row is None else (RunStatus(row["status"]), row["dispatch_id"])


async def lock_unfinished(db: Db, tenant_id: UUID, run_ids: Sequence[UUID]) -> Collection[UUID]:
    """Lock the rows of those that have not ended."""
    return {row["id"] for row in await db.fetch(_sql.lock_unfinished, tenant_id, run_ids)}


async def request_cancel(db: Db, tenant_id: UUID, run_ids: Sequence[UUID]) -> None:
    """Ask for the end of runs whose rows are locked, and wake those that wait, for whatever they wait."""
    limited = [row["id"] for row in await db.fetch(_sql.request_cancel, tenant_id, run_ids)]
    if limited:
        await turns.step_out(db, limited)
    for start in range(0, len(run_ids), IDS_PER_PAYLOAD):
        changed = ",".join(str(i) for i in run_ids[start : start + IDS_PER_PAYLOAD])
        await db.execute(_sql.notify, RUNS_CHANNEL, changed)
    await db.execute(_sql.notify, DISPATCH_CHANNEL, "")


async def wake(db: Db, tenant_id: UUID, run_id: UUID, dispatch_id: UUID) -> None:
    await db.execute(_sql.wake, dispatch_id, tenant_id, run_id)
    await db.execute(_sql.notify, DISPATCH_CHANNEL, "")


def _bound(at: datetime | None, default: UUID) -> UUID:
    return default if at is None else lowest_id(at)


def _run(row: Any) -> Run:
    return Run(
        row["id"],
        row["workflow_id"],
        row["version_id"],
        RunStatus(row["status"]),
        ParkReason(row["wait_reason"]) if row["wait_reason"] else None,
        row["error"],
        row["cancel_requested"],
        row["created_at"],
        row["started_at"],
        row["finished_at"],
        (row["fence_epoch"], row["fence_seq"]),
        row["epoch"],
    )
