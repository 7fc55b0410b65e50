"""The SQL of rollouts. Every function works inside the caller's transaction and tenant."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from headrace.errors import NotFound
from headrace.ids import new_id
from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.auth.caller import Actor, ActorKind
from headrace_control.rollouts.model import (
    Rollout,
    RolloutChange,
    RolloutChangeKind,
    RolloutStatus,
    Terms,
    cohorts_json,
)

_sql = load("headrace_control.rollouts")

_NO_ID = UUID(int=2**128 - 1)
SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Found:
    """A version, as far as a rollout is concerned."""

    id: UUID
    number: int
    status: str
    held_back: bool


async def lock_workflow(db: Db, tenant_id: UUID, name: str) -> UUID:
    """Its id; nobody else publishes or rolls out until the transaction ends. Raises `NotFound`."""
    workflow_id: UUID | None = await db.fetchval(_sql.lock_workflow, tenant_id, name)
    if workflow_id is None:
        raise NotFound("workflow")
    return workflow_id


async def open_of(db: Db, tenant_id: UUID, workflow_id: UUID) -> Rollout | None:
    row = await db.fetchrow(_sql.open_of, tenant_id, workflow_id)
    return _rollout(row) if row else None


async def newest(
    db: Db, tenant_id: UUID, workflow: str, limit: int, before: UUID | None = None
) -> Sequence[Rollout]:
    """Newest first. One that is open is the first of all."""
    rows = await db.fetch(_sql.rollouts_below, tenant_id, workflow, before or _NO_ID, limit)
    return [_rollout(row) for row in rows]


async def published(db: Db, tenant_id: UUID, workflow_id: UUID, number: int | None) -> Sequence[Found]:
    """The version of this number, and those that starts may run; newest first."""
    return [Found(**row) for row in await db.fetch(_sql.published, tenant_id, workflow_id, number)]


async def hold_back(db: Db, tenant_id: UUID, version_id: UUID) -> None:
    await db.execute(_sql.hold_back, tenant_id, version_id)


async def let_go(db: Db, tenant_id: UUID, version_id: UUID) -> None:
    """From now on starts that name no version run this one."""
    await db.execute(_sql.let_go, tenant_id, version_id)


async def begin(
    db: Db, tenant_id: UUID, workflow_id: UUID, stable_id: UUID, candidate_id: UUID, terms: Terms
) -> UUID:
    # The database's time in the id: the newest is the last one begun, whichever control plane did it.
    rollout_id = new_id(await db.fetchval(_sql.now))
    await db.execute(
        _sql.begin,
        tenant_id,
        rollout_id,
        workflow_id,
        stable_id,
        candidate_id,
        terms.share,
        terms.key,
        cohorts_json(terms.cohorts),
        secrets.token_bytes(SALT_BYTES),
    )
    return rollout_id


async def change(db: Db, tenant_id: UUID, rollout_id: UUID, terms: Terms) -> None:
    """The key stays: with another one, who is on the candidate would not."""
    await db.execute(_sql.change, tenant_id, rollout_id, terms.share, cohorts_json(terms.cohorts))


async def end(db: Db, tenant_id: UUID, rollout_id: UUID, status: RolloutStatus) -> None:
    await db.execute(_sql.end, tenant_id, rollout_id, status)


async def keep_change(
    db: Db, tenant_id: UUID, rollout_id: UUID, kind: RolloutChangeKind, note: str, actor: Actor
) -> int:
    """Write down what the rollout is from now on. The change's number."""
    number: int = await db.fetchval(
        _sql.keep_change, tenant_id, rollout_id, kind, note, actor.kind, actor.id, actor.name
    )
    return number


async def changes(
    db: Db, tenant_id: UUID, rollout_ids: Sequence[UUID], limit: int
) -> Mapping[UUID, Sequence[RolloutChange]]:
    """The newest of each rollout, newest first."""
    found: dict[UUID, list[RolloutChange]] = {}
    for row in await db.fetch(_sql.changes, tenant_id, rollout_ids, limit):
        found.setdefault(row["rollout_id"], []).append(
            RolloutChange(
                row["number"],
                RolloutChangeKind(row["kind"]),
                row["share"] / 100,
                row["cohorts"],
                row["note"],
                row["at"],
                Actor(ActorKind(row["actor_kind"]), row["actor_id"], row["actor_name"]),
            )
        )
    return found


def _rollout(row: Any) -> Rollout:
    return Rollout(
        row["id"],
        row["workflow_id"],
        row["workflow"],
        row["stable_id"],
        row["candidate_id"],
        RolloutStatus(row["status"]),
        Terms(row["share"] / 100, row["key"], row["cohorts"]),
        row["begun_at"],
        row["ended_at"],
    )
