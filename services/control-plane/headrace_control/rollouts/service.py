"""Rollouts as people see them: begun, changed, promoted, rolled back, compared, listed."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from headrace.errors import Conflict, InvalidInput, LimitExceeded, NotFound, Problem
from headrace.json_numbers import plain_number
from headrace.json_types import JsonObject
from headrace.postgres.pool import Db, Pool, tenant_transaction

from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.pages import Cursor, PageOf, page_of, page_size
from headrace_control.rollouts import repository
from headrace_control.rollouts.beginning import begin
from headrace_control.rollouts.comparison import Comparison, compare
from headrace_control.rollouts.model import (
    Cohorts,
    Rollout,
    RolloutChange,
    RolloutChangeKind,
    RolloutStatus,
    Terms,
)
from headrace_control.rollouts.terms import check_terms

_ROLLOUTS = Cursor("rollouts")

MAX_NOTE = 1000
MAX_CHANGES = 1_000
# The newest changes of a rollout that are shown with it.
SHOWN_CHANGES = 50


class RolloutService:
    """Rollouts of the caller's tenant, over a pool of the role headrace_api."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def begin(
        self, caller: Caller, workflow: str, number: int, terms: Terms, note: str = ""
    ) -> Rollout:
        """Let a published version be the candidate. Starts that it does not take run the newest of the others.

        Raises `NotFound`, `InvalidInput`, and `Conflict` for a version that can not be started, when a rollout is open,
        or when there is no other version.
        """
        caller.require(Permission.MANAGE_ROLLOUTS)
        _check_note(note)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            workflow_id = await repository.lock_workflow(db, caller.tenant_id, workflow)
            found = await repository.published(db, caller.tenant_id, workflow_id, number)
            candidate = next((one for one in found if one.number == number), None)
            if candidate is None:
                raise NotFound("workflow version")
            if candidate.status != "PUBLISHED":
                raise Conflict(f"the version is {candidate.status.lower()}: a candidate is a published one")
            return await begin(db, caller, workflow_id, workflow, candidate.id, terms, note)

    async def change(
        self,
        caller: Caller,
        workflow: str,
        percent: float | None = None,
        cohorts: Cohorts | None = None,
        note: str = "",
    ) -> Rollout:
        """Another percentage, other cohorts; what is None stays. Raises `InvalidInput`, `NotFound`, `Conflict`."""
        caller.require(Permission.MANAGE_ROLLOUTS)

        async def to_other_terms(db: Db, rollout: Rollout) -> RolloutChangeKind | None:
            terms = rollout.terms
            if percent is not None:
                terms = replace(terms, percent=percent)
            if cohorts is not None:
                terms = replace(terms, cohorts=cohorts)
            check_terms(terms)
            if terms == rollout.terms:
                return None
            await repository.change(db, caller.tenant_id, rollout.id, terms)
            return RolloutChangeKind.CHANGED

        return await self._act(caller, workflow, "rollout.change", to_other_terms, note)

    async def promote(self, caller: Caller, workflow: str, note: str = "") -> Rollout:
        """Starts run the candidate from now on. Asked again, the same rollout is answered. Raises as `change`."""
        caller.require(Permission.MANAGE_ROLLOUTS)

        async def promoted(db: Db, rollout: Rollout) -> RolloutChangeKind | None:
            await repository.let_go(db, caller.tenant_id, rollout.candidate_id)
            await repository.end(db, caller.tenant_id, rollout.id, RolloutStatus.PROMOTED)
            return RolloutChangeKind.PROMOTED

        return await self._act(caller, workflow, "rollout.promote", promoted, note, RolloutStatus.PROMOTED)

    async def roll_back(self, caller: Caller, workflow: str, note: str = "") -> Rollout:
        """Starts run the stable version from now on; runs in flight end on theirs. Asked again, the same rollout is
        answered. Raises as `change`."""
        caller.require(Permission.MANAGE_ROLLOUTS)

        async def rolled_back(db: Db, rollout: Rollout) -> RolloutChangeKind | None:
            await repository.end(db, caller.tenant_id, rollout.id, RolloutStatus.ROLLED_BACK)
            return RolloutChangeKind.ROLLED_BACK

        return await self._act(
            caller, workflow, "rollout.roll_back", rolled_back, note, RolloutStatus.ROLLED_BACK
        )

    async def find(self, caller: Caller, workflow: str) -> Rollout | None:
        """The open rollout, or else the last one."""
        caller.require(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            return next(iter(await repository.newest(db, caller.tenant_id, workflow, 1)), None)

    async def page(self, caller: Caller, workflow: str, first: int, after: str | None) -> PageOf[Rollout]:
        """Newest first."""
        caller.require(Permission.READ)
        limit, before = page_size(first), _ROLLOUTS.read_id(after)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await repository.newest(db, caller.tenant_id, workflow, limit + 1, before)
        return page_of(found, limit, lambda rollout: _ROLLOUTS.write(rollout.id))

    async def comparison(self, caller: Caller, workflow: str) -> Comparison | None:
        """How the runs of both versions fare, of the open rollout or else the last one."""
        caller.require(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            for rollout in await repository.newest(db, caller.tenant_id, workflow, 1):
                return await compare(db, caller.tenant_id, rollout)
        return None

    async def changes(
        self, caller: Caller, rollout_ids: Sequence[UUID]
    ) -> Mapping[UUID, Sequence[RolloutChange]]:
        """What was done to each, newest first."""
        caller.require(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            return await repository.changes(db, caller.tenant_id, rollout_ids, SHOWN_CHANGES)

    async def _act(
        self,
        caller: Caller,
        workflow: str,
        action: str,
        work: Callable[[Db, Rollout], Awaitable[RolloutChangeKind | None]],
        note: str,
        aim: RolloutStatus | None = None,
    ) -> Rollout:
        """Do `work` to the open rollout, and keep what was done. One that has come to `aim` already is answered."""
        _check_note(note)
        tenant_id = caller.tenant_id
        async with tenant_transaction(self._pool, tenant_id) as db:
            await repository.lock_workflow(db, tenant_id, workflow)
            (before, *_) = [*await repository.newest(db, tenant_id, workflow, 1), None]
            if before is not None and before.status is aim:
                return before
            if before is None or not before.is_open:
                raise Conflict("the workflow has no open rollout: begin one")
            kind = await work(db, before)
            if kind is None:
                return before
            number = await repository.keep_change(db, tenant_id, before.id, kind, note, caller.actor)
            if kind is RolloutChangeKind.CHANGED and number > MAX_CHANGES:
                raise LimitExceeded(f"a rollout is changed {MAX_CHANGES} times at most; promote or roll back")
            (after,) = await repository.newest(db, tenant_id, workflow, 1)
            detail: JsonObject = {"percent": plain_number(after.terms.percent), "note": note}
            terms = (before.terms.as_json(), after.terms.as_json())
            await record(db, caller, Act(action, f"rollout/{workflow}", *terms, detail=detail))
            return after


def _check_note(note: str) -> None:
    if len(note) > MAX_NOTE or "\0" in note:
        raise InvalidInput(
            [Problem("note", "no such note can be kept", f"Write {MAX_NOTE} characters at most.")]
        )
