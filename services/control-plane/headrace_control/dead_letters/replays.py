"""Replays of whole groups: asked for by people, worked off by every control plane, an entry at a time."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import structlog
from headrace.errors import (
    ConcurrencyLimit,
    Conflict,
    HeadraceError,
    InvalidInput,
    NotFound,
    Problem,
    QuotaExceeded,
    Unavailable,
)
from headrace.ids import new_id
from headrace.json_types import JsonObject
from headrace.postgres.pool import Db, Pool, one_statement, tenant_transaction
from headrace.postgres.queries import load
from headrace.sealed_outputs import INPUT_ROW, OutputPlace, seal_value

from headrace_control.audit.record import Act, Part, record
from headrace_control.auth.caller import Actor, ActorKind, Caller
from headrace_control.auth.permissions import Permission
from headrace_control.dead_letters import repository
from headrace_control.dead_letters.model import Group, Replay, ReplayStatus, ReplayWish
from headrace_control.dead_letters.replaying import replay
from headrace_control.pages import Cursor, PageOf, page_of, page_size
from headrace_control.reruns.inputs import opened
from headrace_control.reruns.service import RerunService
from headrace_control.unexpected import report_unexpected
from headrace_control.vault.output_keys import OutputKeys

_log = structlog.get_logger(__name__)
_sql = load("headrace_control.dead_letters")
_REPLAYS = Cursor("replays")

MAX_PER_SECOND = 100
IDLE_SECONDS = 0.5
# Replays that are looked at in one turn.
AT_ONCE = 20
# What a start has no room for now is tried again after a while.
PUT_OFF = timedelta(seconds=5)


class ReplayService:
    """Over a pool of the role headrace_api."""

    def __init__(self, pool: Pool, reruns: RerunService, keys: OutputKeys) -> None:
        self._pool, self._reruns, self._keys = pool, reruns, keys

    async def start(self, caller: Caller, group: Group, workflow: str | None, wish: ReplayWish) -> Replay:
        """Replay all entries of the group that are open now. Raises `NotFound` when there is none."""
        caller.require(Permission.CONTROL_RUNS)
        if not 1 <= wish.per_second <= MAX_PER_SECOND:
            raise InvalidInput([Problem("perSecond", "out of range", f"give 1 to {MAX_PER_SECOND}")])
        if wish.patch is not None and not isinstance(wish.patch, dict):
            raise InvalidInput([Problem("patch", "an object is needed", "Write names and values.")])
        replay_id, actor = new_id(), caller.actor
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            named = await repository.workflow_id(db, caller.tenant_id, workflow)
            patch = None
            if wish.patch is not None:
                # It may hold what the parameters mark as sensitive.
                keys = await self._keys.within(db, caller.tenant_id, [replay_id])
                place = OutputPlace(caller.tenant_id, replay_id, INPUT_ROW, "")
                patch = seal_value(keys[replay_id], place, wish.patch)
            added = await db.fetchval(
                _sql.add_replay,
                caller.tenant_id,
                replay_id,
                *repository.stored(group),
                named,
                patch,
                wish.version,
                wish.doubtful,
                wish.per_second,
                actor.id,
                actor.kind,
                actor.name,
            )
            if added is None:
                raise NotFound("open dead letter")
            made = await _replay(db, caller.tenant_id, replay_id)
            detail: JsonObject = {"action": group.action, "code": group.code, "entries": made.total}
            await record(db, caller, Act("dead_letter.replay_group", f"replay/{replay_id}", detail=detail))
        return made

    async def stop(self, caller: Caller, replay_id: UUID) -> Replay:
        """Start no more runs of it until it is resumed. One that is over stays as it is."""
        return await self._set(caller, replay_id, ReplayStatus.RUNNING, ReplayStatus.STOPPED, "replay.stop")

    async def resume(self, caller: Caller, replay_id: UUID) -> Replay:
        """Go on where it was stopped."""
        return await self._set(caller, replay_id, ReplayStatus.STOPPED, ReplayStatus.RUNNING, "replay.resume")

    async def _set(
        self, caller: Caller, replay_id: UUID, old: ReplayStatus, new: ReplayStatus, action: str
    ) -> Replay:
        caller.require(Permission.CONTROL_RUNS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            await db.execute(_sql.set_replay, caller.tenant_id, replay_id, new.value, old.value)
            found = await _replay(db, caller.tenant_id, replay_id)
            await record(db, caller, Act(action, f"replay/{replay_id}"))
        return found

    async def get(self, caller: Caller, replay_id: UUID) -> Replay:
        caller.require(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            return await _replay(db, caller.tenant_id, replay_id)

    async def page(self, caller: Caller, first: int, after: str | None) -> PageOf[Replay]:
        """Replays, newest first."""
        caller.require(Permission.READ)
        limit, before = page_size(first), _REPLAYS.read_id(after)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            rows = await db.fetch(_sql.replays, caller.tenant_id, before or repository.NO_ID, limit + 1)
        found = [repository.read_replay(row) for row in rows]
        return page_of(found, limit, lambda one: _REPLAYS.write(one.id))

    async def step(self, tenant_id: UUID, replay_id: UUID) -> bool:
        """Replay the next entry, if the replay is due and nobody else has it now; whether that was so.

        The run, the entry's end and the replay's place are one transaction: whoever dies, an entry is replayed once.
        """
        letter_id: UUID | None = None
        try:
            async with tenant_transaction(self._pool, tenant_id) as db:
                row = await db.fetchrow(_sql.take_replay, tenant_id, replay_id)
                if row is None:
                    return False
                letter_id = await _next(db, tenant_id, row)
                if letter_id is None:
                    await db.execute(_sql.end_replay, tenant_id, replay_id)
                    return True
                await self._one(db, tenant_id, row, letter_id)
        except (QuotaExceeded, ConcurrencyLimit) as error:
            async with tenant_transaction(self._pool, tenant_id) as db:
                await db.execute(
                    _sql.put_off_replay, tenant_id, replay_id, PUT_OFF, _refusal(error, letter_id)
                )
        except Unavailable:
            raise
        except HeadraceError as error:
            async with tenant_transaction(self._pool, tenant_id) as db:
                # Closed by somebody meanwhile: nothing is refused, and it is not found again.
                closed = letter_id is None or not await repository.is_open(db, tenant_id, letter_id)
                if isinstance(error, Conflict) and closed:
                    return True
                await db.execute(
                    _sql.refuse_replay, tenant_id, replay_id, letter_id, _refusal(error, letter_id)
                )
        return True

    async def _one(self, db: Db, tenant_id: UUID, row: Any, letter_id: UUID) -> None:
        patch = row["patch"]
        if patch is not None:
            keys = await self._keys.within(db, tenant_id, [row["id"]])
            patch = opened(tenant_id, row["id"], keys[row["id"]], patch)
        wish = ReplayWish(patch, row["version"], row["doubtful"])
        run = await replay(db, tenant_id, row["created_by"], letter_id, wish, self._reruns)
        await db.execute(_sql.step_replay, tenant_id, row["id"], letter_id, 1)
        asked = Part(tenant_id, Actor(ActorKind(row["actor_kind"]), row["created_by"], row["actor_name"]))
        detail = {"run": str(run.id), "replay": str(row["id"])}
        await record(db, asked, Act("dead_letter.replay", f"dead_letter/{letter_id}", detail=detail))


class Replaying:
    """The loop of one control plane. `pool` is of the role headrace_worker, to find what is due of all tenants."""

    def __init__(self, pool: Pool, service: ReplayService) -> None:
        self._pool, self._service = pool, service

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            wait = IDLE_SECONDS
            try:
                for row in await self._soon_due():
                    if row["seconds"] > 0:
                        wait = min(wait, row["seconds"])
                    elif await self._step(row):
                        wait = 0
            except (Unavailable, asyncpg.PostgresError) as error:
                _log.warning("replays wait", error=type(error).__name__)
                wait = IDLE_SECONDS
            await asyncio.sleep(wait)

    async def _step(self, row: Any) -> bool:
        """Whether something was replayed; what goes wrong with one is in no other's way."""
        try:
            return await self._service.step(row["tenant_id"], row["id"])
        except (Unavailable, asyncpg.PostgresError) as error:
            _log.warning("a replay waits", error=type(error).__name__, replay=str(row["id"]))
        except Exception as unforeseen:
            report_unexpected(unforeseen)
        return False

    async def _soon_due(self) -> Sequence[Any]:
        async with one_statement(self._pool) as db:
            found: Sequence[Any] = await db.fetch(_sql.due_replays, AT_ONCE, IDLE_SECONDS)
        return found


async def _replay(db: Db, tenant_id: UUID, replay_id: UUID) -> Replay:
    row = await db.fetchrow(_sql.replay_by_id, tenant_id, replay_id)
    if row is None:
        raise NotFound("replay")
    return repository.read_replay(row)


async def _next(db: Db, tenant_id: UUID, row: Any) -> UUID | None:
    found: UUID | None = await db.fetchval(
        _sql.next_letter,
        tenant_id,
        row["source"],
        row["action"],
        row["code"],
        row["at_id"],
        row["last_id"],
        row["workflow_id"],
    )
    return found


def _refusal(error: HeadraceError, letter_id: UUID | None) -> dict[str, str]:
    words = error.message
    if isinstance(error, InvalidInput) and error.problems:
        words = f"{error.problems[0].path}: {error.problems[0].message}"
    return {"code": error.code, "message": words, "deadLetter": str(letter_id)}
