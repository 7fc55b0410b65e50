"""Waits in Postgres. Every method works inside the caller's transaction and tenant."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.json_types import JsonObject
from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.workflow.state import Place, StepStatus

from headrace_control.answer_size import Sized
from headrace_control.answer_text import as_text, made_of
from headrace_control.waits.model import Decided, OpenKind, SignalStep, Wait, WaitStatus, signals_of

_sql = load("headrace_control.waits")
APPROVALS, WAITS = (_sql.shown.replace("{page}", page) for page in (_sql.approvals_page, _sql.waits_page))

# Above every step's key: keys are of ASCII letters, digits and few signs.
_LAST_STEP = "\U0010ffff"
_LAST_ID = UUID(int=2**128 - 1)

# Of what a step says of its wait, and of a decision, what may be large.
_LARGE = ("details", "form", "schema")

ApprovalPlace = tuple[datetime, UUID, str]  # when it was opened, its run, its step


@dataclass(frozen=True, slots=True)
class StoredWait:
    """A wait without its data and its decision, these as JSON texts, and the time of the database."""

    wait: Wait
    data: bytes
    decision: bytes | None
    now: datetime


async def approvals(
    db: Db, tenant_id: UUID, status: WaitStatus, first: int, before: ApprovalPlace | None, most: int
) -> Sized[Sequence[StoredWait]]:
    """At most `first` approvals that were opened before, newest first, and one more without what is large. None of them
    when that has more than `most` bytes."""
    place = before or (None, _LAST_ID, _LAST_STEP)
    rows = await db.fetch(APPROVALS, tenant_id, first, most, status, *place)
    return Sized(rows[0]["size"], [_stored(row) for row in rows if row["run_id"] is not None])


async def waits(
    db: Db, tenant_id: UUID, places: Sequence[tuple[UUID, str]], first: int, most: int
) -> Sized[Sequence[Sequence[StoredWait]]]:
    """For each (run, last step seen) in turn: at most `first` waits that follow, in the order of their row keys; else
    as `approvals`."""
    found: list[list[StoredWait]] = [[] for _ in places]
    columns = [run_id for run_id, _ in places], [after for _, after in places]
    rows = await db.fetch(WAITS, tenant_id, first, most, *columns)
    for row in rows:
        if row["run_id"] is not None:
            found[row["n"] - 1].append(_stored(row))
    return Sized(rows[0]["size"], found)


async def in_answers(stored: StoredWait) -> tuple[Wait, datetime]:
    """The wait, with what is large in it as text, and the time of the database."""
    data = await made_of(stored.data, lambda data: _with_texts(data, _LARGE))
    wait = replace(stored.wait, data=data)
    if stored.decision is not None:
        decision = await made_of(stored.decision, lambda said: _with_texts(said, ("form",)))
        wait = replace(wait, decided=_decided(decision))
    return wait, stored.now


def _with_texts(values: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: as_text(value) if name in names else value for name, value in values.items()}


async def wait(db: Db, tenant_id: UUID, run_id: UUID, step: str) -> tuple[Wait, datetime] | None:
    row = await db.fetchrow(_sql.wait, tenant_id, run_id, step)
    return (_wait(row), row["now"]) if row else None


async def decide(
    db: Db, tenant_id: UUID, run_id: UUID, step: str, decision: JsonObject, decided_by: UUID
) -> None:
    await db.execute(_sql.decide, tenant_id, run_id, step, decision, decided_by)


async def signal_steps(db: Db, tenant_id: UUID, version_id: UUID) -> Sequence[SignalStep]:
    return signals_of(await db.fetchval(_sql.signal_steps, tenant_id, version_id) or ())


async def step_status(db: Db, tenant_id: UUID, run_id: UUID, step: str) -> tuple[StepStatus, Place] | None:
    """The row's status, and the place of the event that completed it or put it in doubt."""
    row = await db.fetchrow(_sql.step_status, tenant_id, run_id, step)
    return (StepStatus(row["status"]), (row["done_epoch"] or 0, row["done_seq"] or 0)) if row else None


async def unused_settlement(db: Db, tenant_id: UUID, run_id: UUID, step: str, doubt: Place) -> str | None:
    """Who settled this doubt of the step, when the run has not taken that yet."""
    row = await db.fetchrow(_sql.unused_settlement, tenant_id, run_id, step, list(doubt))
    return str(row["by"]) if row else None


def _stored(row: Any) -> StoredWait:
    return StoredWait(_of(row, {}, None), row["data"] or b"{}", row["decision"], row["now"])


def _wait(row: Any) -> Wait:
    return _of(row, row["data"], _decided(row["decision"]))


def _of(row: Any, data: JsonObject, decided: Decided | None) -> Wait:
    return Wait(
        row["run_id"],
        row["step"],
        OpenKind(row["kind"]),
        WaitStatus(row["status"]),
        data,
        row["opened_at"],
        row["due_at"],
        row["closed_at"],
        decided,
        row["started_by"],
        row["published_by"],
    )


def _decided(decision: Any) -> Decided | None:
    return decision and Decided(
        decision["decision"],
        decision["by"],
        datetime.fromisoformat(decision["at"]),
        decision["reason"],
        decision["form"],
    )
