"""Replays as callers see them, and the next step of one that is due."""

from datetime import timedelta
from uuid import UUID

from headrace.errors import (
    Conflict,
    HeadraceError,
    InvalidInput,
    Problem,
    Unavailable,
)
from headrace.ids import new_id
from headrace.json_types import JsonObject
from headrace.postgres.pool import Db, Pool, tenant_transaction
from headrace.sealed_outputs import INPUT_ROW, OutputPlace, seal_value

from headrace_control.audit.record import Act, Part, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.dead_letters import repository as dead_letters
from headrace_control.dead_letters.model import Group
from headrace_control.pages import Cursor, PageOf, page_of, page_size
from headrace_control.replays import repository
from headrace_control.replays.going_on import go_on
from headrace_control.replays.model import Replay, ReplayStatus, ReplayWish, TakenReplay
from headrace_control.reruns.inputs import opened
from headrace_control.reruns.service import RerunService
from headrace_control.runs.model import Run
from headrace_control.runs.refusals import passes
from headrace_control.vault.output_keys import OutputKeys

_REPLAYS = Cursor("replays")

MAX_PER_SECOND = 100
# What a start has no room for now, or needs while it is away, is tried again after a while.
PUT_OFF = timedelta(seconds=5)


class ReplayService:
    """Over a pool of the role headrace_api."""

    def __init__(self, pool: Pool, reruns: RerunService, keys: OutputKeys) -> None:
        self._pool, self._reruns, self._keys = pool, reruns, keys

    async def replay(self, caller: Caller, letter_id: UUID, wish: ReplayWish) -> Run:
        """Start what goes on from one dead letter. See `go_on`."""
        caller.require(Permission.CONTROL_RUNS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            run = await go_on(db, caller.tenant_id, caller.actor.id, letter_id, wish, self._reruns)
            target = f"dead_letter/{letter_id}"
            await record(db, caller, Act("dead_letter.replay", target, detail={"run": str(run.id)}))
        return run

    async def start(self, caller: Caller, group: Group, workflow: str | None, wish: ReplayWish) -> Replay:
        """Replay all dead letters of the group that are open now. Raises `NotFound` when there is none."""
        caller.require(Permission.CONTROL_RUNS)
        if not 1 <= wish.per_second <= MAX_PER_SECOND:
            raise InvalidInput([Problem("perSecond", "out of range", f"give 1 to {MAX_PER_SECOND}")])
        if wish.patch is not None and not isinstance(wish.patch, dict):
            raise InvalidInput([Problem("patch", "an object is needed", "Write names and values.")])
        replay_id = new_id()
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            named = await dead_letters.workflow_id(db, caller.tenant_id, workflow)
            patch = None
            if wish.patch is not None:
                # It may hold what the parameters mark as sensitive.
                keys = await self._keys.within(db, caller.tenant_id, [replay_id])
                place = OutputPlace(caller.tenant_id, replay_id, INPUT_ROW, "")
                patch = seal_value(keys[replay_id], place, wish.patch)
            await repository.add(db, caller.tenant_id, replay_id, group, named, patch, wish, caller.actor)
            made = await repository.by_id(db, caller.tenant_id, replay_id)
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
            await repository.set_status(db, caller.tenant_id, replay_id, old, new)
            found = await repository.by_id(db, caller.tenant_id, replay_id)
            await record(db, caller, Act(action, f"replay/{replay_id}"))
        return found

    async def get(self, caller: Caller, replay_id: UUID) -> Replay:
        caller.require(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            return await repository.by_id(db, caller.tenant_id, replay_id)

    async def page(self, caller: Caller, first: int, after: str | None) -> PageOf[Replay]:
        """Replays, newest first."""
        caller.require(Permission.READ)
        limit, before = page_size(first), _REPLAYS.read_id(after)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await repository.page(db, caller.tenant_id, limit + 1, before)
        return page_of(found, limit, lambda one: _REPLAYS.write(one.id))

    async def step(self, tenant_id: UUID, replay_id: UUID) -> bool:
        """Replay the next dead letter, if the replay is due and nobody else has it now; whether that was so.

        The run, the dead letter's end and the replay's place are one transaction: whoever dies, each is replayed once.
        """
        letter_id: UUID | None = None
        try:
            async with tenant_transaction(self._pool, tenant_id) as db:
                taken = await repository.take(db, tenant_id, replay_id)
                if taken is None:
                    return False
                letter_id = await repository.next_letter(db, tenant_id, taken)
                if letter_id is None:
                    await repository.end(db, tenant_id, replay_id)
                    return True
                await self._one(db, tenant_id, taken, letter_id)
        except HeadraceError as error:
            if isinstance(error, Unavailable) and letter_id is None:
                raise
            async with tenant_transaction(self._pool, tenant_id) as db:
                # Left due, it would stand before all others each time.
                if passes(error) or isinstance(error, Unavailable):
                    await repository.put_off(db, tenant_id, replay_id, PUT_OFF, _refusal(error, letter_id))
                    return True
                # Closed by somebody meanwhile: nothing is refused, and it is not found again.
                closed = letter_id is None or not await dead_letters.is_open(db, tenant_id, letter_id)
                if isinstance(error, Conflict) and closed:
                    return True
                await repository.refuse(db, tenant_id, replay_id, letter_id, _refusal(error, letter_id))
        return True

    async def _one(self, db: Db, tenant_id: UUID, taken: TakenReplay, letter_id: UUID) -> None:
        patch = taken.patch
        if patch is not None:
            keys = await self._keys.within(db, tenant_id, [taken.id])
            patch = opened(tenant_id, taken.id, keys[taken.id], patch)
        wish = ReplayWish(patch, taken.version, taken.repeat_in_doubt)
        run = await go_on(db, tenant_id, taken.actor.id, letter_id, wish, self._reruns)
        await repository.step(db, tenant_id, taken.id, letter_id)
        detail: JsonObject = {"run": str(run.id), "replay": str(taken.id)}
        act = Act("dead_letter.replay", f"dead_letter/{letter_id}", detail=detail)
        await record(db, Part(tenant_id, taken.actor), act)


def _refusal(error: HeadraceError, letter_id: UUID | None) -> JsonObject:
    words = error.message
    if isinstance(error, InvalidInput) and error.problems:
        words = f"{error.problems[0].path}: {error.problems[0].message}"
    return {"code": error.code, "message": words, "deadLetter": str(letter_id)}
