"""What moves read and write; `db` is inside a tenant's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.errors import LimitExceeded, NotFound
from headrace.json_types import JsonObject
from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.workflow.definition import Version
from headrace.workflow.state import Failure, RunStatus, StepStatus
from headrace.workflow.version import load_version

from headrace_control.auth.caller import Actor, ActorKind
from headrace_control.moves.model import Move
from headrace_control.workflows.model import VersionDocuments

_sql = load("headrace_control.moves")

# Rows of one run: every item of its loops is one.
MAX_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class Movable:
    """A run, as far as a move looks at it. `moved`: how often it was."""

    id: UUID
    workflow_id: UUID
    version_id: UUID
    parent_run_id: UUID | None
    parent_step: str | None
    status: RunStatus
    held: bool
    cancel_requested: bool
    undoes: bool
    wait_reason: str | None
    dispatch_id: UUID
    input: JsonObject
    moved: int


@dataclass(frozen=True, slots=True)
class Written:
    """A version that was published once, with all that is written in it."""

    id: UUID
    status: str
    documents: VersionDocuments
    version: Version


async def run(db: Db, tenant_id: UUID, run_id: UUID, *, lock: bool = False) -> Movable:
    """Raises `NotFound`. With `lock` it stays as it is until the transaction ends."""
    if lock:
        await db.execute(_sql.lock, tenant_id, run_id)
    row = await db.fetchrow(_sql.run, tenant_id, run_id)
    if row is None:
        raise NotFound("run")
    return Movable(**{**row, "status": RunStatus(row["status"])})


async def version(db: Db, tenant_id: UUID, version_id: UUID) -> Written:
    """Raises `NotFound`, for a draft too."""
    return _written(await db.fetchrow(_sql.version, tenant_id, version_id))


async def version_numbered(db: Db, tenant_id: UUID, workflow_id: UUID, number: int) -> Written:
    """As `version`."""
    return _written(await db.fetchrow(_sql.version_numbered, tenant_id, workflow_id, number))


def _written(row: Any) -> Written:
    if row is None:
        raise NotFound("workflow version")
    documents = VersionDocuments(row["document"], row["source"], row["resolved"])
    return Written(row["id"], row["status"], documents, load_version(row["resolved"]))


async def rows(
    db: Db, tenant_id: UUID, run_id: UUID
) -> tuple[Mapping[str, StepStatus], Mapping[str, Failure | None]]:
    """The run's rows, and why those failed that did. Raises `LimitExceeded`."""
    found = await db.fetch(_sql.rows, tenant_id, run_id, MAX_ROWS + 1)
    if len(found) > MAX_ROWS:
        raise LimitExceeded(f"a run of more than {MAX_ROWS} rows is not moved")
    statuses = {row["key"]: StepStatus(row["status"]) for row in found}
    errors = {row["key"]: Failure.from_json(row["error"]) for row in found if row["error"] is not None}
    return statuses, errors


async def move(db: Db, tenant_id: UUID, run: Movable, to: UUID, note: str, actor: Actor) -> None:
    """Of a run that is locked, and that nobody holds."""
    told = {
        "from": str(run.version_id),
        "to": str(to),
        "note": note,
        "actorKind": actor.kind,
        "actorId": str(actor.id),
        "actorName": actor.name,
    }
    await db.execute(_sql.move, tenant_id, run.id, to, told)


async def moves(db: Db, tenant_id: UUID, run_id: UUID) -> Sequence[Move] | None:
    """Oldest first; None when there is no such run."""
    row = await db.fetchrow(_sql.moves, tenant_id, run_id)
    if row is None:
        return None
    return [
        Move(
            UUID(one["from"]),
            UUID(one["to"]),
            datetime.fromisoformat(one["at"]),
            Actor(ActorKind(one["actorKind"]), UUID(one["actorId"]), one["actorName"]),
            one["note"],
            one["epoch"],
            one["seq"],
        )
        for one in row["moves"] or ()
    ]
