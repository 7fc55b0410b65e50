"""The SQL of reading, locking and waking runs. Every method works inside the caller's transaction and tenant."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.concurrency import turns
from headrace.ids import lowest_id
from headrace.pools import named
from headrace.postgres.listen import DISPATCH_CHANNEL, IDS_PER_PAYLOAD, RUNS_CHANNEL
from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.workflow.state import EventKind, ParkReason, RunStatus, StepStatus, WaitKind

from headrace_control.answer_size import Sized
from headrace_control.auth.caller import Actor, ActorKind
from headrace_control.runs.model import (
    Attempt,
    AttemptOutcome,
    Payload,
    Run,
    RunEvent,
    RunFilter,
    StepPayload,
    StepRun,
    StepWait,
    Trigger,
)

_sql = load("headrace_control.runs")
_changing = load("headrace_control.runs", "changing.sql")

_FIRST_ID, _NO_ID = UUID(int=0), UUID(int=2**128 - 1)

StepId = tuple[UUID, str]
ItemsFrom = tuple[UUID, str, int, str]  # run, loop, and the (index, rest of the row key) to go on after
EventsFrom = tuple[UUID, int, int]  # run, and the (epoch, seq) to go on after


async def runs_by_id(db: Db, tenant_id: UUID, ids: Sequence[UUID]) -> Mapping[UUID, Run]:
    return {row["id"]: _run(row) for row in await db.fetch(_sql.runs_by_id, tenant_id, ids)}


@dataclass(frozen=True, slots=True)
class Locked:
    """What the row of a locked run says. `held`: somebody has its claim, or had it when the run was set aside.
    `limited`: while it is QUEUED it may be waiting for its turn. `undoes`: it is there to undo another run."""

    version_id: UUID
    status: RunStatus
    wait_reason: ParkReason | None
    dispatch_id: UUID
    held: bool
    cancel_requested: bool
    pause_requested: bool
    created_by: UUID | None
    limited: bool
    undoes: bool


async def newest(
    db: Db, tenant_id: UUID, wanted: RunFilter, limit: int, before: UUID | None
) -> Sequence[Run]:
    """Runs below the id `before`, newest first."""
    least = _bound(wanted.created_after, _FIRST_ID)
    under = min(_bound(wanted.created_before, _NO_ID), before or _NO_ID)
    wanted_rows = (tenant_id, least, under, limit, sorted(set(wanted.statuses or RunStatus)))
    await db.execute(_sql.in_index_order)
    if (triggered_by := wanted.triggered_by) is not None:
        rows = await db.fetch(_sql.newest_triggered, *wanted_rows, triggered_by)
    elif wanted.workflows is None:
        rows = await db.fetch(_sql.newest, *wanted_rows)
    elif wanted.version is None:
        rows = await db.fetch(_sql.newest_of_workflow, *wanted_rows, list(wanted.workflows))
    else:
        rows = await db.fetch(_sql.newest_of_version, *wanted_rows, list(wanted.workflows), wanted.version)
    return [_run(row) for row in rows]


async def of_workflows(db: Db, tenant_id: UUID, ids: Sequence[UUID], names: Collection[str]) -> set[UUID]:
    """Those of the runs that are of workflows with these names."""
    return {row["id"] for row in await db.fetch(_sql.of_workflows, tenant_id, ids, list(names))}


async def children(
    db: Db, tenant_id: UUID, places: Sequence[tuple[UUID, UUID | None]], limit: int
) -> Sequence[Sequence[Run]]:
    """For each (run, last child seen) in turn: at most `limit` children that follow, in the order of their start."""
    return await _of_each(db, _sql.children, tenant_id, places, limit)


async def reruns(
    db: Db, tenant_id: UUID, places: Sequence[tuple[UUID, UUID | None]], limit: int
) -> Sequence[Sequence[Run]]:
    """As `children`, of the runs that go on from each."""
    return await _of_each(db, _sql.reruns, tenant_id, places, limit)


async def _of_each(
    db: Db, statement: str, tenant_id: UUID, places: Sequence[tuple[UUID, UUID | None]], limit: int
) -> Sequence[Sequence[Run]]:
    found: list[list[Run]] = [[] for _ in places]
    wanted = [run_id for run_id, _ in places], [after or _FIRST_ID for _, after in places]
    for row in await db.fetch(statement, tenant_id, *wanted, limit):
        found[row["n"] - 1].append(_run(row))
    return found


async def starters(db: Db, tenant_id: UUID, ids: Sequence[UUID]) -> Mapping[UUID, Actor]:
    """The keys and members with these ids."""
    rows = await db.fetch(_sql.starters, tenant_id, ids)
    return {row["id"]: Actor(ActorKind(row["kind"]), row["id"], row["name"]) for row in rows}


async def payloads(db: Db, tenant_id: UUID, ids: Sequence[UUID], most: int) -> Sized[Mapping[UUID, Payload]]:
    """None of them when they have more than `most` bytes together."""
    rows = await db.fetch(_sql.payloads, tenant_id, ids, most)
    found = {row["id"]: Payload(row["input"], row["result"]) for row in rows if row["id"] is not None}
    return Sized(rows[0]["size"], found)


async def step_keys(db: Db, tenant_id: UUID, version_ids: Sequence[UUID]) -> Mapping[UUID, Sequence[str]]:
    rows = await db.fetch(_sql.step_keys, tenant_id, version_ids)
    return {row["id"]: tuple(row["keys"]) for row in rows}


async def steps(db: Db, tenant_id: UUID, run_ids: Sequence[UUID]) -> Mapping[UUID, Mapping[str, StepRun]]:
    found: dict[UUID, dict[str, StepRun]] = defaultdict(dict)
    for row in await db.fetch(_sql.steps, tenant_id, run_ids):
        found[row["run_id"]][row["key"]] = _step(row)
    return found


async def items(
    db: Db, tenant_id: UUID, places: Sequence[ItemsFrom], limit: int
) -> Sequence[Sequence[StepRun]]:
    """For each place in turn: at most `limit` rows of the loop's items that follow it, in their order."""
    found: list[list[StepRun]] = [[] for _ in places]
    columns = [list(column) for column in zip(*places, strict=True)]
    for row in await db.fetch(_sql.items, tenant_id, *columns, limit):
        found[row["n"] - 1].append(_step(row))
    return found


async def step_payloads(
    db: Db, tenant_id: UUID, ids: Sequence[StepId], most: int
) -> Sized[Mapping[StepId, StepPayload]]:
    """As `payloads`; outputs as they are stored."""
    wanted = (tenant_id, [i for i, _ in ids], [key for _, key in ids])
    rows = await db.fetch(_sql.step_payloads, *wanted, most)
    found = {
        (row["run_id"], row["key"]): StepPayload(row["input"], row["output"])
        for row in rows
        if row["key"] is not None
    }
    return Sized(rows[0]["size"], found)


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
    db: Db, tenant_id: UUID, places: Sequence[EventsFrom], first: int, most: int
) -> Sized[Sequence[Sequence[RunEvent]]]:
    """For each place in turn: at most `first` events that follow it, oldest first, and one more without its data. None
    of them when their data, as it is stored, has more than `most` bytes together."""
    found: list[list[RunEvent]] = [[] for _ in places]
    columns = [list(column) for column in zip(*places, strict=True)]
    rows = await db.fetch(_sql.events, tenant_id, *columns, first, most)
    for row in rows:
        if row["n"] is not None:
            kind, data = EventKind(row["kind"]), row["data"] or b"{}"
            event = RunEvent(row["epoch"], row["seq"], kind, row["step"], row["at"], data)
            found[row["n"] - 1].append(event)
    return Sized(rows[0]["size"], found)


async def lock(db: Db, tenant_id: UUID, run_id: UUID) -> Locked | None:
    """Lock the run's row, until the transaction ends."""
    row = await db.fetchrow(_changing.lock, tenant_id, run_id)
    if row is None:
        return None
    return Locked(
        row["version_id"],
        RunStatus(row["status"]),
        _reason(row),
        row["dispatch_id"],
        row["held"],
        row["cancel_requested"],
        row["pause_requested"],
        row["created_by"],
        row["limited"],
        row["undoes"],
    )


async def lock_unfinished(db: Db, tenant_id: UUID, run_ids: Sequence[UUID]) -> Collection[UUID]:
    """Lock the rows of those that have not ended."""
    return {row["id"] for row in await db.fetch(_changing.lock_unfinished, tenant_id, run_ids)}


async def request_cancel(db: Db, tenant_id: UUID, run_ids: Sequence[UUID]) -> None:
    """Ask for the end of runs whose rows are locked, and wake those that wait, for whatever they wait."""
    limited = [row["id"] for row in await db.fetch(_changing.request_cancel, tenant_id, run_ids)]
    if limited:
        await turns.step_out(db, limited)
    for start in range(0, len(run_ids), IDS_PER_PAYLOAD):
        changed = ",".join(str(i) for i in run_ids[start : start + IDS_PER_PAYLOAD])
        await db.execute(_changing.notify, RUNS_CHANNEL, changed)
    await db.execute(_changing.notify, DISPATCH_CHANNEL, "")


async def notify_changed(db: Db, run_id: UUID) -> None:
    await db.execute(_changing.notify, RUNS_CHANNEL, str(run_id))


async def wake(db: Db, tenant_id: UUID, run_id: UUID, dispatch_id: UUID) -> None:
    await db.execute(_changing.wake, dispatch_id, tenant_id, run_id)
    await db.execute(_changing.notify, DISPATCH_CHANNEL, "")


def _bound(at: datetime | None, default: UUID) -> UUID:
    return default if at is None else lowest_id(at)


def _run(row: Any) -> Run:
    return Run(
        id=row["id"],
        workflow_id=row["workflow_id"],
        version_id=row["version_id"],
        status=RunStatus(row["status"]),
        wait_reason=_reason(row),
        error=row["error"],
        cancel_requested=row["cancel_requested"],
        pause_requested=row["pause_requested"],
        parent_run_id=row["parent_run_id"],
        parent_step=row["parent_step"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        fence=(row["fence_epoch"], row["fence_seq"]),
        epoch=row["epoch"],
        trigger=Trigger.of(row["trigger"]) if row["trigger"] else None,
        origin_run_id=row["origin_run_id"],
        undoes_run_id=row["undoes_run_id"],
        pool=named(row["pool"]),
        created_by=row["created_by"],
    )


def _reason(row: Any) -> ParkReason | None:
    return ParkReason(row["wait_reason"]) if row["wait_reason"] else None


def _step(row: Any) -> StepRun:
    kind, until = row["wait_kind"], row["wait_until"]
    wait = StepWait(WaitKind(kind), datetime.fromisoformat(until) if until else None) if kind else None
    return StepRun(
        row["run_id"],
        row["key"],
        StepStatus(row["status"]),
        row["attempts"],
        row["error"],
        row["retry_at"],
        row["started_at"],
        row["finished_at"],
        wait,
        row["round"],
        row["items"],
        row["taken_from"],
    )
