"""Rows of replays; `db` is inside a tenant's transaction, but for `due`."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from headrace.errors import NotFound
from headrace.json_types import Json, JsonObject
from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.auth.caller import Actor, ActorKind
from headrace_control.dead_letters.model import Group
from headrace_control.dead_letters.repository import read_group, stored
from headrace_control.replays.model import Replay, ReplayStatus, ReplayWish, TakenReplay

_sql = load("headrace_control.replays")
_NO_ID = UUID(int=2**128 - 1)


async def add(
    db: Db,
    tenant_id: UUID,
    replay_id: UUID,
    group: Group,
    workflow_id: UUID | None,
    patch: Json,
    wish: ReplayWish,
    actor: Actor,
) -> None:
    """Write down a replay of what is open of the group now; `patch` is the wish's, sealed. Raises `NotFound` when
    nothing is open."""
    added = await db.fetchval(
        _sql.add,
        tenant_id,
        replay_id,
        *stored(group),
        workflow_id,
        patch,
        wish.version,
        wish.repeat_in_doubt,
        wish.per_second,
        actor.id,
        actor.kind,
        actor.name,
    )
    if added is None:
        raise NotFound("open dead letter")


async def by_id(db: Db, tenant_id: UUID, replay_id: UUID) -> Replay:
    row = await db.fetchrow(_sql.by_id, tenant_id, replay_id)
    if row is None:
        raise NotFound("replay")
    return _replay(row)


async def page(db: Db, tenant_id: UUID, limit: int, before: UUID | None) -> Sequence[Replay]:
    """Replays below the id `before`, newest first."""
    return [_replay(row) for row in await db.fetch(_sql.newest, tenant_id, before or _NO_ID, limit)]


async def set_status(db: Db, tenant_id: UUID, replay_id: UUID, old: ReplayStatus, new: ReplayStatus) -> None:
    """One of another status than `old` stays as it is."""
    await db.execute(_sql.set_status, tenant_id, replay_id, new.value, old.value)


async def due(
    db: Db, most: int, seconds: float, without: Sequence[UUID], without_tenants: Sequence[UUID]
) -> Sequence[tuple[UUID, UUID, float]]:
    """Of all tenants, by the role headrace_worker: what is due within so many seconds, as tenant, replay, and the
    seconds until then."""
    rows = await db.fetch(_sql.due, most, seconds, without, without_tenants)
    return [(row["tenant_id"], row["id"], row["seconds"]) for row in rows]


async def take(db: Db, tenant_id: UUID, replay_id: UUID) -> TakenReplay | None:
    """The replay, if it is due and nobody else has it now."""
    row = await db.fetchrow(_sql.take, tenant_id, replay_id)
    if row is None:
        return None
    return TakenReplay(
        row["id"],
        read_group(row),
        row["workflow_id"],
        row["patch"],
        row["version"],
        row["doubtful"],
        row["at_id"],
        row["last_id"],
        Actor(ActorKind(row["actor_kind"]), row["created_by"], row["actor_name"]),
    )


async def next_letter(db: Db, tenant_id: UUID, taken: TakenReplay) -> UUID | None:
    """The first of its dead letters that is still open and that it is not through with."""
    found: UUID | None = await db.fetchval(
        _sql.next_letter, tenant_id, *stored(taken.group), taken.at_id, taken.last_id, taken.workflow_id
    )
    return found


async def step(db: Db, tenant_id: UUID, replay_id: UUID, letter_id: UUID) -> None:
    """The dead letter was replayed; the next one is due by the replay's rate."""
    await db.execute(_sql.step, tenant_id, replay_id, letter_id, 1)


async def refuse(
    db: Db, tenant_id: UUID, replay_id: UUID, letter_id: UUID | None, refusal: JsonObject
) -> None:
    """The dead letter could not be replayed; the next one is due by the replay's rate."""
    await db.execute(_sql.refuse, tenant_id, replay_id, letter_id, refusal)


async def put_off(db: Db, tenant_id: UUID, replay_id: UUID, wait: timedelta, refusal: JsonObject) -> None:
    """The same dead letter is tried again after `wait`."""
    await db.execute(_sql.put_off, tenant_id, replay_id, wait, refusal)


async def end(db: Db, tenant_id: UUID, replay_id: UUID) -> None:
    await db.execute(_sql.end, tenant_id, replay_id)


def _replay(row: Any) -> Replay:
    return Replay(
        row["id"],
        read_group(row),
        row["workflow"],
        ReplayStatus(row["status"]),
        row["total"],
        row["replayed"],
        row["refused"],
        row["refusal"],
        row["per_second"],
        row["created_at"],
        row["finished_at"],
    )
