"""Advances one backfill: the next of its firings, in one transaction, on its locked row."""

from datetime import timedelta
from itertools import islice
from uuid import UUID

from headrace.errors import HeadraceError
from headrace.postgres.pool import Pool, tenant_transaction

from headrace_control.audit.record import CONTROL_PLANE, Act, Part, record
from headrace_control.backfills import repository
from headrace_control.runs.model import Run
from headrace_control.runs.refusals import passes
from headrace_control.schedules import repository as schedules
from headrace_control.schedules.cron import read_cron
from headrace_control.schedules.inputs import Occasion
from headrace_control.schedules.starting import (
    MOST_STARTS,
    Starter,
    error_of,
    firing_of,
    record_starts,
)

# When there is room for more runs is asked again then.
LOOK_AGAIN = timedelta(seconds=1)
# A quota, or a limit of the workflow, was in the way.
TRY_AGAIN = timedelta(seconds=5)
# A range begins with its first moment and ends before its last.
TICK = timedelta(microseconds=1)


class Advancer:
    """Over a pool of the role headrace_api."""

    def __init__(self, pool: Pool, starter: Starter) -> None:
        self._pool, self._starter = pool, starter

    async def advance(self, tenant_id: UUID, backfill_id: UUID) -> bool:
        """Start what there is room for; whether it was this control plane's to do.

        What the backfill is through with is written in the transaction that starts it. A start that is refused for now
        is tried again; for any other refusal the backfill is stopped in front of it.
        """
        async with tenant_transaction(self._pool, tenant_id) as db:
            backfill = await repository.lock_due(db, tenant_id, backfill_id)
            if backfill is None:
                return False
            schedule = await schedules.find(db, tenant_id, backfill.schedule)
            if schedule is None:
                return False
            clock = read_cron(backfill.cron, backfill.time_zone)
            unfinished = await schedules.unfinished_runs(db, tenant_id, schedule.id, backfill.id)
            room = max(0, min(backfill.at_once - len(unfinished), MOST_STARTS))
            ahead = list(islice(clock.between(backfill.done_to, backfill.until_at - TICK), room + 1))
            done_to, begun, firings = backfill.done_to, [], []
            refusal: HeadraceError | None = None
            for at in ahead[:room]:
                occasion = Occasion(schedule.name, clock, at, backfill.id)
                answer = await self._starter.start(db, tenant_id, schedule, occasion)
                if not isinstance(answer, Run):
                    refusal = answer
                    break
                done_to = at
                begun.append(answer.id)
                firings.append(firing_of(occasion, answer))
            await schedules.keep_firings(db, tenant_id, schedule.id, firings, minded=True)
            await record_starts(db, tenant_id, schedule, begun, backfill.id)
            look_in = timedelta() if room == MOST_STARTS else LOOK_AGAIN
            if refusal is not None:
                look_in = TRY_AGAIN
            await repository.move(db, tenant_id, backfill.id, done_to, len(begun), look_in)
            if refusal is not None and not passes(refusal):
                told = error_of(refusal)
                await repository.stop(db, tenant_id, backfill.id, told)
                act = Act("backfill.stop", f"backfill/{backfill.id}", detail=told)
                await record(db, Part(tenant_id, CONTROL_PLANE), act)
            elif refusal is None and len(ahead) <= room:
                await repository.end(db, tenant_id, backfill.id)
        return True
