"""What re-runs read and write; `db` is inside a tenant's transaction."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from headrace.errors import LimitExceeded
from headrace.ids import new_id
from headrace.json_types import Json, JsonObject
from headrace.postgres.listen import DISPATCH_CHANNEL
from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.workflow.definition import Version
from headrace.workflow.rerun import OriginRow
from headrace.workflow.state import Failure, RunStatus, StepStatus
from headrace.workflow.version import load_version

from headrace_control.reruns.model import Origin, Plan
from headrace_control.tracing import AcceptedRuns

_sql = load("headrace_control.reruns")

# Rows of one run: every item of its loops is one.
MAX_ROWS = 50_000


async def origin(db: Db, tenant_id: UUID, run_id: UUID) -> Origin | None:
    row = await db.fetchrow(_sql.origin, tenant_id, run_id)
    if row is None:
        return None
    # Those of a run that undoes have none.
    planned = {
        key: UUID(child["origin"]) for key, child in (row["planned"] or {}).items() if "origin" in child
    }
    return Origin(
        row["id"],
        row["workflow_id"],
        row["workflow"],
        row["version_id"],
        row["number"],
        RunStatus(row["status"]),
        row["input"],
        row["parent_run_id"],
        row["parent_step"],
        row["undoes_run_id"],
        row["origin_run_id"],
        row["lineage"],
        row["kept_keys"] or {},
        planned,
    )


async def rows(db: Db, tenant_id: UUID, run_id: UUID) -> Mapping[str, OriginRow]:
    found = await db.fetch(_sql.rows, tenant_id, run_id, MAX_ROWS + 1)
    if len(found) > MAX_ROWS:
        raise LimitExceeded(f"a run of more than {MAX_ROWS} rows is re-run as a whole alone")
    return {
        row["key"]: OriginRow(
            StepStatus(row["status"]), row["items"], row["taken_from"], Failure.from_json(row["error"])
        )
        for row in found
    }


async def child(db: Db, tenant_id: UUID, run_id: UUID, step: str) -> UUID | None:
    """The run that the row `step` began last."""
    found: UUID | None = await db.fetchval(_sql.child, tenant_id, run_id, step)
    return found


async def version(db: Db, tenant_id: UUID, version_id: UUID) -> tuple[UUID, Version] | None:
    return _version(await db.fetchrow(_sql.version, tenant_id, version_id))


async def version_numbered(
    db: Db, tenant_id: UUID, workflow_id: UUID, number: int
) -> tuple[UUID, Version] | None:
    return _version(await db.fetchrow(_sql.version_numbered, tenant_id, workflow_id, number))


def _version(row: Any) -> tuple[UUID, Version] | None:
    return (row["id"], load_version(row["resolved"])) if row else None


async def lock_lineage(db: Db, tenant_id: UUID, root: UUID) -> None:
    """Wait for whoever goes on from a run of this lineage now."""
    await db.execute(_sql.lock_lineage, root)
    await db.execute(_sql.lock_first, tenant_id, root)


async def in_the_way(db: Db, tenant_id: UUID, root: UUID, run_id: UUID) -> tuple[UUID, bool] | None:
    """The run that has gone on from this one, or that undoes a part of its lineage, which began with `root`; and
    whether it goes on still."""
    row = await db.fetchrow(_sql.in_the_way, tenant_id, root, run_id)
    return (row["id"], row["unfinished"]) if row else None


async def close_letters(db: Db, tenant_id: UUID, runs: Sequence[UUID], by: UUID) -> None:
    """Close the dead letters of what the run `by` goes on from."""
    await db.execute(_sql.close_letters, tenant_id, list(runs), by)


async def knows_key(db: Db, tenant_id: UUID, key: str) -> bool:
    """Whether a start was made with this idempotency key."""
    return bool(await db.fetchval(_sql.knows_key, tenant_id, key))


async def attach(db: Db, tenant_id: UUID, run_id: UUID, plan: Plan, *, whole: bool) -> None:
    """Make the run, which this transaction has inserted, the re-run of the plan's origin."""
    # A whole one shares nothing with the runs before it. Any other goes on from them, be it that nothing was done yet.
    lineage = None if whole else plan.origin.root
    await db.execute(_sql.link, tenant_id, run_id, plan.origin.id, lineage, plan.as_json())
    take: Sequence[str] = plan.takeover.take
    if take:
        reopen = list(plan.takeover.reopen)
        await db.execute(_sql.take_over, tenant_id, run_id, plan.origin.id, list(take), reopen)


async def start_undoing(
    db: Db,
    tenant_id: UUID,
    created_by: UUID,
    failed: Origin,
    undoes: Origin,
    lineage: UUID,
    left: Mapping[str, Json],
) -> UUID:
    """A run that undoes what is `left` of `undoes`; `failed` is the one whose compensation failed."""
    now = await db.fetchval("SELECT headrace_now()")
    run_id = new_id(now)
    accepted = AcceptedRuns(tenant_id, [run_id])
    await db.execute(
        _sql.start_undoing,
        tenant_id,
        undoes.id,
        run_id,
        new_id(),
        created_by,
        failed.id,
        lineage,
        left,
        accepted.of(run_id),
    )
    accepted.begun([run_id])
    await db.execute(_sql.notify, DISPATCH_CHANNEL)
    return run_id


async def left_to_undo(db: Db, tenant_id: UUID, run_id: UUID) -> Mapping[str, JsonObject]:
    """Under whose idempotency keys goes what could not be undone in the run; and the same of the runs that should have
    undone its children, by the rows that began them."""
    left: dict[UUID, dict[str, JsonObject]] = {}
    children: dict[UUID, JsonObject] = {}
    # A run is younger than the one that began it.
    for row in await db.fetch(_sql.failed_undoings, tenant_id, run_id):
        made_in = {key: run for run, rows in (row["kept_keys"] or {}).items() for key in rows}
        keys: dict[str, list[Json]] = {}
        for key in row["rows"]:
            keys.setdefault(made_in.get(key, str(row["id"])), []).append(key)
        children[row["id"]] = {}
        left[row["id"]] = {"keys": {**keys}, "children": children[row["id"]]}
        if row["parent_run_id"] is not None:
            children[row["parent_run_id"]][row["parent_step"]] = {**left[row["id"]]}
    return left[run_id]
