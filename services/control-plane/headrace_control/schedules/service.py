"""Schedules as people see them: made, changed, paused, resumed, taken away, listed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from headrace.errors import Conflict, InvalidInput, LimitExceeded, NotFound, Problem
from headrace.postgres.pool import Db, Pool, tenant_transaction
from headrace.redaction import MARKER
from headrace.workflow.expressions import ExpressionError, Templates

from headrace_control.answer_size import Sized, look_up
from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.backfills import repository as backfills
from headrace_control.names import name_problems
from headrace_control.pages import Cursor, PageOf, page_of, page_size
from headrace_control.runs.model import RunStart
from headrace_control.runs.parameters import Parameters
from headrace_control.runs.startable import rule_of_start
from headrace_control.schedules import repository
from headrace_control.schedules.inputs import Occasion, rendered
from headrace_control.schedules.model import Firing, Schedule, Terms
from headrace_control.schedules.terms import CRON_MEND, terms_problems

_SCHEDULES = Cursor("schedules")
_FIRINGS = Cursor("scheduleFirings")

MAX_SCHEDULES = 1_000


class ScheduleService:
    """Schedules of the caller's tenant, over a pool of the role headrace_api."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._parameters, self._templates = Parameters(), Templates()

    async def create(self, caller: Caller, name: str, terms: Terms) -> Schedule:
        """Begin with the first firing from now on. Raises `InvalidInput`, `NotFound`, `Conflict`, `LimitExceeded`.

        Its runs are the caller's, as if the caller had started them.
        """
        caller.require(Permission.MANAGE_SCHEDULES)
        if problems := [*name_problems(name), *terms_problems(terms)]:
            raise InvalidInput(problems)
        tenant_id = caller.tenant_id
        async with tenant_transaction(self._pool, tenant_id) as db:
            await self._check_start(db, tenant_id, name, terms)
            if await repository.count(db, tenant_id) >= MAX_SCHEDULES:
                raise LimitExceeded(f"a tenant has {MAX_SCHEDULES} schedules at most; delete some")
            first = terms.clock.after(await repository.now(db))
            await repository.insert(db, tenant_id, name, terms, caller.actor.id, first)
            await record(db, caller, Act("schedule.create", f"schedule/{name}", after=terms.as_json()))
            await repository.tell(db)
            return await _found(db, tenant_id, name)

    async def update(self, caller: Caller, name: str, changes: Mapping[str, Any]) -> Schedule:
        """Change what is among `changes`, fields of `Terms`. From now on its runs are the caller's.

        With another cron or zone the next firing is the first from now on. Raises as `create` does.
        """
        caller.require(Permission.MANAGE_SCHEDULES)
        tenant_id = caller.tenant_id
        async with tenant_transaction(self._pool, tenant_id) as db:
            before = await _found(db, tenant_id, name, lock=True)
            terms = replace(before.terms, **changes)
            if problems := terms_problems(terms):
                raise InvalidInput(problems)
            await self._check_start(db, tenant_id, name, terms)
            next_at = before.next_at
            moved = (terms.cron, terms.time_zone) != (before.terms.cron, before.terms.time_zone)
            if moved and not before.paused:
                next_at = terms.clock.after(before.read_at)
            await repository.change(db, tenant_id, before.id, terms, caller.actor.id, next_at)
            act = Act(
                "schedule.update", f"schedule/{name}", before=before.terms.as_json(), after=terms.as_json()
            )
            await record(db, caller, act)
            await repository.tell(db)
            return await _found(db, tenant_id, name)

    async def pause(self, caller: Caller, name: str) -> Schedule:
        """It fires no more until it is resumed, and a firing that was queued is given up. Asking again changes
        nothing."""
        caller.require(Permission.MANAGE_SCHEDULES)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            schedule = await _found(db, caller.tenant_id, name, lock=True)
            if not schedule.paused:
                await repository.pause(db, caller.tenant_id, schedule.id)
            await record(db, caller, Act("schedule.pause", f"schedule/{name}"))
            return await _found(db, caller.tenant_id, name)

    async def resume(self, caller: Caller, name: str) -> Schedule:
        """It fires from now on; what it would have fired meanwhile is not missed. One that is not paused stays as it
        is. Raises `NotFound`, and `InvalidInput` when its cron or zone can not be read any more."""
        caller.require(Permission.MANAGE_SCHEDULES)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            schedule = await _found(db, caller.tenant_id, name, lock=True)
            if schedule.paused:
                if problems := terms_problems(schedule.terms):
                    raise InvalidInput(problems)
                next_at = schedule.terms.clock.after(schedule.read_at)
                await repository.resume(db, caller.tenant_id, schedule.id, next_at)
            await record(db, caller, Act("schedule.resume", f"schedule/{name}"))
            await repository.tell(db)
            return await _found(db, caller.tenant_id, name)

    async def delete(self, caller: Caller, name: str) -> Schedule:
        """Take it away with what is kept of its firings; its runs stay. Raises `Conflict` while a backfill is under
        way."""
        caller.require(Permission.MANAGE_SCHEDULES)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            schedule = await _found(db, caller.tenant_id, name, lock=True)
            if await backfills.count_running(db, caller.tenant_id, schedule.id):
                raise Conflict("a backfill of the schedule is under way; stop it first")
            await repository.delete(db, caller.tenant_id, schedule.id)
            act = Act("schedule.delete", f"schedule/{name}", before=schedule.terms.as_json())
            await record(db, caller, act)
            return schedule

    async def find(self, caller: Caller, name: str) -> Schedule | None:
        caller.require(Permission.READ)
        return next(iter(await self._shown(caller, 1, name=name)), None)

    async def page(self, caller: Caller, first: int, after: str | None) -> PageOf[Schedule]:
        """By name."""
        caller.require(Permission.READ)
        limit, name = page_size(first), _SCHEDULES.read_text(after)
        found = await self._shown(caller, limit, name or "")
        return page_of(found, limit, lambda schedule: _SCHEDULES.write(schedule.name))

    async def _shown(
        self, caller: Caller, first: int, after: str = "", name: str | None = None
    ) -> Sequence[Schedule]:
        async def read(most: int) -> Sized[Sequence[Schedule]]:
            async with tenant_transaction(self._pool, caller.tenant_id) as db:
                return await repository.shown(db, caller.tenant_id, after, name, first, most)

        return await look_up(first, read)

    async def firings(self, caller: Caller, name: str, first: int, after: str | None) -> PageOf[Firing]:
        """What came of the schedule's firings, newest first; empty of a schedule that is not there."""
        caller.require(Permission.READ)
        limit, before = page_size(first), _FIRINGS.read_id(after)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await repository.firings(db, caller.tenant_id, name, before, limit + 1)
        return page_of(found, limit, lambda firing: _FIRINGS.write(firing.id))

    async def _check_start(self, db: Db, tenant_id: UUID, name: str, terms: Terms) -> None:
        """Raises what the start of the next firing would be refused for by itself."""
        at = terms.clock.after(await repository.now(db))
        if at is None:
            raise InvalidInput([Problem("cron", "it never fires again", CRON_MEND)])
        try:
            made = rendered(self._templates, terms.input, Occasion(name, terms.clock, at))
        except ExpressionError as error:
            raise InvalidInput([Problem(error.path, error.reason, error.mend, "BAD_EXPRESSION")]) from None
        rule = await rule_of_start(
            db, tenant_id, RunStart(terms.workflow, made, terms.version), self._parameters
        )
        if problems := rule.problems(made):
            raise InvalidInput(problems)
        if rule.marks is not None and rule.marks.hidden(made, MARKER) != made:
            mend = "A schedule's input can be read: keep the value as a secret, and name it in the workflow's env."
            raise InvalidInput([Problem("input", "the workflow marks a value of it as sensitive", mend)])


async def _found(db: Db, tenant_id: UUID, name: str, *, lock: bool = False) -> Schedule:
    schedule = await repository.find(db, tenant_id, name, lock=lock)
    if schedule is None:
        raise NotFound("schedule")
    return schedule
