"""Past states as callers see them: a run's revisions, and the run as it was at one of them."""

import asyncio
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from uuid import UUID

from headrace.errors import InvalidInput, NotFound, Problem
from headrace.postgres.pool import Db, Pool, tenant_transaction
from headrace.workflow.keys import read_key
from headrace.workflow.state import ENDED_RUN, Place, StepState

from headrace_control.answer_size import Sized, look_up
from headrace_control.answer_text import masked
from headrace_control.auth.caller import Caller
from headrace_control.pages import Cursor, PageOf, page_of, page_size
from headrace_control.revisions import repository
from headrace_control.revisions.folding import Folding
from headrace_control.revisions.model import (
    BEGINNING,
    At,
    EventPayload,
    PastMessage,
    PastRun,
    PastStep,
    Revision,
    StoredEvent,
)
from headrace_control.revisions.notes import STARTED, note
from headrace_control.revisions.repository import EventId
from headrace_control.runs import repository as runs_repository
from headrace_control.runs.model import Run
from headrace_control.runs.service import RunService

# How many events are held in memory at once, and how many are folded before other work has its turn: some milliseconds.
_BATCH, _SLICE = 1000, 100
# How many states are folded at once by one process: each holds a connection meanwhile.
_AT_ONCE = 4
_LAST: Place = (2**31 - 1, 2**31 - 1)
_REVISIONS = Cursor("revisions")
_STEPS = Cursor("pastSteps")
_MESSAGES = Cursor("pastMessages")


class RevisionService:
    """Over a pool of the role headrace_api; `runs` says which runs a caller sees."""

    def __init__(self, pool: Pool, runs: RunService) -> None:
        self._pool, self._runs = pool, runs
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def revisions(
        self, caller: Caller, run_id: UUID, first: int, after: str | None
    ) -> PageOf[Revision]:
        """What happened to a run, oldest first; before all events stands its start. Raises `NotFound`."""
        run = await self._runs.get(caller, run_id)
        limit, place = page_size(first), _place(after)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await repository.events(
                db, caller.tenant_id, run_id, place or BEGINNING, _LAST, limit + 1
            )
        start = [] if place else [_beginning(run)]
        revisions = [*start, *(_revision(event) for event in found)]
        return page_of(revisions, limit, lambda revision: _REVISIONS.write(*revision.place))

    async def past(self, caller: Caller, run_id: UUID, at: At) -> PastRun:
        """The run after its events up to a moment, which are folded anew. Raises `NotFound` and `InvalidInput`."""
        run = await self._runs.get(caller, run_id)
        if at.time is not None and at.time < run.created_at:
            when = run.created_at.isoformat()
            raise InvalidInput(
                [Problem("at.time", "the run did not exist then", f"give a time from {when} on")]
            )
        async with self._turns, tenant_transaction(self._pool, caller.tenant_id) as db:
            taken = await repository.taken(db, caller.tenant_id, run_id) if run.origin_run_id else {}
            folding = Folding(taken, run.undoes_run_id is not None)
            last = await _fold(db, caller.tenant_id, run_id, at, folding)
            revision = _revision(last) if last else _beginning(run)
            version_id = run.version_id
            if at.place is not None or at.time is not None:
                moved = repository.version_then(db, caller.tenant_id, run_id, revision.place, at.time)
                version_id = await moved or version_id
            keys = await runs_repository.step_keys(db, caller.tenant_id, [version_id])
        if at.place is not None and at.place != revision.place:
            raise NotFound("revision")
        return PastRun(
            caller.tenant_id,
            run_id,
            revision,
            folding.state.status,
            folding.wait_reason,
            folding.state.error,
            folding.result_of,
            folding.steps(run_id),
            folding.used,
            at.time or (revision.at if at.place else None),
            {key: place for place, key in enumerate(keys.get(version_id, ()))},
        )

    async def steps(self, caller: Caller, past: PastRun, first: int, after: str | None) -> PageOf[PastStep]:
        """See `steps_page`. Raises `NotFound` for another tenant's."""
        if caller.tenant_id != past.tenant_id:
            raise NotFound("run")
        return steps_page(past, first, after)

    async def messages(
        self, caller: Caller, past: PastRun, first: int, after: str | None
    ) -> PageOf[PastMessage]:
        """What had been said to the run by then and no event had used up, oldest first."""
        limit, seq = page_size(first), _MESSAGES.read_number(after) or 0
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await repository.messages(
                db, caller.tenant_id, past.run_id, seq, past.until, past.used, limit + 1
            )
        return page_of(found, limit, lambda message: _MESSAGES.write(message.seq))

    async def payloads(self, caller: Caller, ids: Sequence[EventId]) -> Mapping[EventId, EventPayload]:
        """Of events that the caller was shown, as people see them."""

        async def read(most: int) -> Sized[Mapping[EventId, EventPayload]]:
            async with tenant_transaction(self._pool, caller.tenant_id) as db:
                return await repository.payloads(db, caller.tenant_id, ids, most)

        found = await look_up(len(ids), read)
        return {
            event: EventPayload(await masked(own.input), await masked(own.output), await masked(own.result))
            for event, own in found.items()
        }


def steps_page(past: PastRun, first: int, after: str | None) -> PageOf[PastStep]:
    """The rows in the order of the version, a loop's items behind it, behind each what asks about it and what undoes
    it. A step that had not begun is QUEUED; once its run has ended it never will, and is left out."""
    limit, key = page_size(first), _STEPS.read_text(after)
    ahead = () if past.status in ENDED_RUN else past.order.keys() - past.steps.keys()
    rows = {**past.steps, **{step: PastStep(past.run_id, step, StepState()) for step in ahead}}
    behind = None if key is None else _order(past, key)
    places = sorted(_order(past, row) for row in rows)
    if behind is not None:
        places = places[bisect_right(places, behind) :]
    return page_of(
        [rows[place[-1]] for place in places[: limit + 1]], limit, lambda row: _STEPS.write(row.key)
    )


def _order(past: PastRun, row: str) -> tuple[int, str, int, str, str]:
    try:
        key = read_key(row)
    except ValueError:
        raise InvalidInput(
            [Problem("after", "not a cursor of this list", "use a page's endCursor")]
        ) from None
    index = -1 if key.index is None else key.index
    return past.order.get(key.step, len(past.order)), key.step, index, key.part or "", row


async def _fold(db: Db, tenant_id: UUID, run_id: UUID, at: At, folding: Folding) -> StoredEvent | None:
    """Fold all events up to a moment; the last of them."""
    last, place = None, BEGINNING
    while True:
        found = await repository.events(db, tenant_id, run_id, place, at.place or _LAST, _BATCH)
        for number, event in enumerate(found, 1):
            # A runner's clock may be behind that of the one before it: what counts is the order of events.
            if at.time is not None and event.at > at.time:
                return last
            folding.add(event)
            last = event
            if number % _SLICE == 0:
                await asyncio.sleep(0)
        if len(found) < _BATCH or last is None:
            return last
        place = last.place


def _beginning(run: Run) -> Revision:
    return Revision(BEGINNING, run.created_at, STARTED)


def _revision(event: StoredEvent) -> Revision:
    return Revision(event.place, event.at, note(event), event.kind, event.step)


def _place(after: str | None) -> Place | None:
    key = _REVISIONS.read(after, parts=2)
    if key is None:
        return None
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in key):
        raise InvalidInput([Problem("after", "not a cursor of this list", "use a page's endCursor")])
    return int(key[0]), int(key[1])
