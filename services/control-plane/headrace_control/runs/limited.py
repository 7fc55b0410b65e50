"""Starts of workflows that limit how many of their runs are unfinished: what is refused, queued or canceled by them.

Only such starts come here. Locks are taken in the order of `headrace.concurrency.turns`, with one before them all:
starts that cancel previous runs follow one another per workflow, for each locks the rows of the runs that it finds
before the slot, and a start in between would add one that it has not locked. A run that another kind of start adds
in between is not canceled; it counts as come later.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from headrace.concurrency import turns
from headrace.concurrency.turns import Slot, Turn
from headrace.errors import ConcurrencyLimit
from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.workflow.document import OnLimit

from headrace_control.runs import repository

_sql = load("headrace_control.runs", "starting.sql")

# Locks that one transaction takes at most so that starts of a workflow follow one another.
_STRIPES = 64
# A lock's number has this in front of the stripe: no other part of Headrace takes such a number.
_STARTS = 0x48525354 << 16
# How many of the runs in the way are named.
MAX_NAMED = 10


@dataclass(frozen=True, slots=True)
class LimitedStart:
    """A run about to be inserted. `same_as` is the idempotency key that it shares with others of its batch."""

    turn: Turn
    on_limit: OnLimit
    same_as: str | None

    @property
    def run_id(self) -> UUID:
        return self.turn.run_id


class LimitedStarts:
    """The starts with a limit of one transaction: `lock`, then `refused`, then insert the runs, then `enter`."""

    def __init__(self, db: Db, tenant_id: UUID, starts: Sequence[LimitedStart]) -> None:
        self._db, self._tenant_id, self._starts = db, tenant_id, starts
        self._previous: Collection[UUID] = ()

    async def lock(self) -> None:
        """Lock all that the starts may change."""
        canceling = {s.turn.slot for s in self._starts if s.on_limit is OnLimit.CANCEL_PREVIOUS}
        if canceling:
            stripes = sorted({_STARTS + slot.workflow_id.int % _STRIPES for slot in canceling})
            await self._db.execute(_sql.one_start_at_a_time, stripes)
            found = await self._in_slots(canceling)
            self._previous = await repository.lock_unfinished(
                self._db, self._tenant_id, [run_id for ids in found.values() for run_id in ids]
            )
        await turns.lock_slots(self._db, [start.turn.slot for start in self._starts])

    async def refused(self, wanted: Collection[UUID]) -> Mapping[UUID, ConcurrencyLimit]:
        """Of the runs that are still `wanted`, those that are not to be inserted: the limit is reached, and their
        versions say to skip then."""
        wanted_starts = [start for start in self._starts if start.run_id in wanted]
        skipping = [start for start in wanted_starts if start.on_limit is OnLimit.SKIP]
        if not skipping:
            return {}
        unfinished = defaultdict(list, await self._in_slots({start.turn.slot for start in skipping}))
        refused: dict[UUID, ConcurrencyLimit] = {}
        let_in: set[str] = set()
        for start in wanted_starts:
            in_way = unfinished[start.turn.slot]
            if start.same_as in let_in:
                continue  # it is answered with the run of the first one
            if start.on_limit is OnLimit.SKIP and len(in_way) >= start.turn.max_runs:
                refused[start.run_id] = _limit_reached(in_way)
                continue
            in_way.append(start.run_id)
            if start.same_as is not None:
                let_in.add(start.same_as)
        return refused

    async def enter(self, begun: Collection[UUID]) -> Collection[UUID]:
        """The runs of `begun` take their turns, previous ones are canceled; those that wait for their turn."""
        entered = [start for start in self._starts if start.run_id in begun]
        admitted = await turns.enter(self._db, [start.turn for start in entered])
        await self._cancel_previous([s for s in entered if s.on_limit is OnLimit.CANCEL_PREVIOUS])
        if len(entered) < len(self._starts):
            await turns.forget_empty(self._db, {start.turn.slot for start in self._starts})
        if admitted:
            await self._db.execute(_sql.admitted, self._tenant_id, admitted)
        return {start.run_id for start in entered} - set(admitted)

    async def _cancel_previous(self, starts: Sequence[LimitedStart]) -> None:
        """Of each slot, all but its newest runs, as many as are allowed."""
        if not starts:
            return
        allowed = {start.turn.slot: start.turn.max_runs for start in starts}
        ours = {start.run_id for start in starts}
        previous = [
            run_id
            for slot, run_ids in (await self._in_slots(allowed)).items()
            for run_id in run_ids[: -allowed[slot]]
            if run_id in self._previous or run_id in ours
        ]
        if previous:
            await repository.request_cancel(self._db, self._tenant_id, previous)

    async def _in_slots(self, slots: Collection[Slot]) -> Mapping[Slot, list[UUID]]:
        """The unfinished runs of each slot, the oldest first."""
        found: dict[Slot, list[UUID]] = defaultdict(list)
        for row in await self._db.fetch(
            _sql.in_slots, self._tenant_id, [s.workflow_id for s in slots], [s.key for s in slots]
        ):
            found[Slot(self._tenant_id, row["workflow_id"], row["key"])].append(row["run_id"])
        return found


def _limit_reached(in_way: Sequence[UUID]) -> ConcurrencyLimit:
    named = in_way[:MAX_NAMED]
    more = f" and {len(in_way) - len(named)} more" if len(in_way) > len(named) else ""
    return ConcurrencyLimit(
        f"as many runs as the workflow allows at once are unfinished: {', '.join(map(str, named))}{more}",
        named,
    )
