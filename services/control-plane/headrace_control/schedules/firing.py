"""Fires one schedule: its due firings in one transaction, on its locked row."""

from collections.abc import Mapping
from uuid import UUID

from headrace.json_types import JsonObject
from headrace.postgres.pool import Db, Pool, tenant_transaction

from headrace_control.runs import repository as runs
from headrace_control.runs.model import Run
from headrace_control.schedules import repository
from headrace_control.schedules.deciding import Decision, Due, Overlap, decide, due, first_of
from headrace_control.schedules.inputs import Occasion
from headrace_control.schedules.model import FiringOutcome, Schedule
from headrace_control.schedules.starting import MOST_STARTS, Starter, firing_of, kept, record_starts

# Why a firing was left out, by what its schedule does with overlaps.
_LEFT_OUT: Mapping[Overlap, JsonObject] = {
    Overlap.SKIP: {"code": "EARLIER_RUN", "message": "a run of an earlier firing was unfinished"},
    Overlap.QUEUE_ONE: {"code": "EARLIER_FIRING", "message": "an earlier firing waited already"},
    Overlap.CANCEL_PREVIOUS: {"code": "LATER_FIRING", "message": "a later firing took its place"},
}


class Firings:
    """Over a pool of the role headrace_api."""

    def __init__(self, pool: Pool, starter: Starter) -> None:
        self._pool, self._starter = pool, starter

    async def fire(self, tenant_id: UUID, schedule_id: UUID) -> bool:
        """Do what is due of the schedule, up to `MOST_STARTS` firings; whether there was anything. However many control
        planes ask, one does it: the row is locked, and in the transaction that starts the runs the next firing is
        written on it."""
        async with tenant_transaction(self._pool, tenant_id) as db:
            schedule = await repository.lock_due(db, tenant_id, schedule_id)
            if schedule is None:
                return False
            minded = schedule.terms.overlap is not Overlap.ALLOW
            # Where runs are minded, one is started at most, and which one it is only all firings together tell.
            now_due = _due(schedule) if minded else first_of(_due(schedule), MOST_STARTS)
            unfinished = await repository.unfinished_runs(db, tenant_id, schedule.id) if minded else ()
            decision = decide(schedule.terms.overlap, bool(unfinished), schedule.queued_at, now_due.firings)
            if decision.cancel:
                # In the order of their ids, as all who lock rows of runs do.
                ending = await runs.lock_unfinished(db, tenant_id, unfinished)
                await runs.request_cancel(db, tenant_id, list(ending))
            await self._carry_out(db, tenant_id, schedule, now_due, decision, minded)
            await repository.fired(db, tenant_id, schedule.id, now_due.next_at, decision.queued)
        return True

    async def _carry_out(
        self,
        db: Db,
        tenant_id: UUID,
        schedule: Schedule,
        now_due: Due,
        decision: Decision,
        minded: bool,
    ) -> None:
        firings = []
        if now_due.missed is not None:
            missed = now_due.missed
            firings.append(kept(missed.first, FiringOutcome.MISSED, last_at=missed.last))
        why = _LEFT_OUT.get(schedule.terms.overlap)
        firings += [kept(at, FiringOutcome.SKIPPED, error=why) for at in decision.skipped]
        if decision.queued is not None and decision.queued != schedule.queued_at:
            firings.append(kept(decision.queued, FiringOutcome.QUEUED))
        begun = []
        for at in decision.start:
            occasion = Occasion(schedule.name, schedule.terms.clock, at)
            answer = await self._starter.start(db, tenant_id, schedule, occasion)
            firings.append(firing_of(occasion, answer))
            if isinstance(answer, Run):
                begun.append(answer.id)
        await repository.keep_firings(db, tenant_id, schedule.id, firings, minded=minded)
        await record_starts(db, tenant_id, schedule, begun)


def _due(schedule: Schedule) -> Due:
    """What is due by the clock; nothing of one that only has a firing that is queued."""
    terms = schedule.terms
    if schedule.next_at is None or schedule.next_at > schedule.read_at:
        return Due((), None, schedule.next_at)
    return due(terms.clock, schedule.next_at, schedule.read_at, terms.missed, terms.missed_limit)
