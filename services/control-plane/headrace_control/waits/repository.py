"""Waits in Postgres. Every method works inside the caller's transaction and tenant."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.json_types import JsonObject
from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.workflow.state import Place, StepStatus

from headrace_control.answer_size import check_size
from headrace_control.waits.model import Decided, OpenKind, SignalStep, Wait, WaitStatus, signals_of

_sql = load("headrace_control.waits")

# Above every step's key: keys are of ASCII letters, digits and few signs.
_LAST_STEP = "\U0010ffff"
_LAST_ID = UUID(int=2**128 - 1)

ApprovalPlace = tuple[datetime, UUID, str]  # when it was opened, its run, its step


async def approvals(
    db: Db, tenant_id: UUID, status: WaitStatus, limit: int, before: ApprovalPlace | None
) -> Sequence[tuple[Wait, datetime]]:
    """At most `limit` approvals that were opened before, newest first, and the time of the database."""
    wanted = (tenant_id, status, *(before or (None, _LAST_ID, _LAST_STEP)), limit)
    await check_size(db, limit, _sql.size_of_approvals, *wanted)
    return [(_wait(row), row["now"]) for row in await db.fetch(_sql.approvals, *wanted)]


async def waits(
    db: Db, tenant_id: UUID, places: Sequence[tuple[UUID, str]], limit: int
) -> Sequence[Sequence[tuple[Wait, datetime]]]:
    """For each (run, last step seen) in turn: at most `limit` waits that follow, in the order of their row keys."""
    found: list[list[tuple[Wait, datetime]]] = [[] for _ in places]
    columns = [run_id for run_id, _ in places], [after for _, after in places]
    await check_size(db, len(places) * limit, _sql.size_of_waits, tenant_id, *columns, limit)
    for row in await db.fetch(_sql.waits, tenant_id, *columns, limit):
        found[row["n"] - 1].append((_wait(row), row["now"]))
    return found


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


def _wait(row: Any) -> Wait:
    decision = row["decision"]
    decided = decision and Decided(
        decision["decision"],
        decision["by"],
        datetime.fromisoformat(decision["at"]),
        decision["reason"],
        decision["form"],
    )
    return Wait(
        row["run_id"],
        row["step"],
        OpenKind(row["kind"]),
        WaitStatus(row["status"]),
        row["data"],
        row["opened_at"],
        row["due_at"],
        row["closed_at"],
        decided,
        row["started_by"],
        row["published_by"],
    )
