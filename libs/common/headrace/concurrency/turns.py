"""Turns: a run with a limit waits until fewer runs than the limit are unfinished, and then is admitted.

A turn is entered by the transaction that inserts its run, and left by the transaction that applies the run's end.
Both then admit those who may go on. No wake-up is lost, and nobody waits in a circle:

- Turns are read and written only under their slot's lock, so a start and an end of the same slot follow one another.
  If the start is first, the end sees its turn and admits it; if the end is first, the start finds its room.
- A slot with waiting turns has an admitted one: whoever enters or leaves admits, as its last act, the oldest if there
  is room, and there is room when nobody is admitted. So there is an end to come, and it admits the next.
- Locks are taken in one order by everyone: rows of runs by id, then slots by (tenant, workflow, key), then start keys
  and dispatches. Admitting writes the turn and its dispatch, never the row of the run that is admitted, which
  another transaction may hold while it waits for the slot.
- A dispatch of a run that was not admitted is inserted under the slot's lock alone, once.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from headrace.postgres.pool import Db
from headrace.postgres.queries import load

_sql = load("headrace.concurrency")


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """What is limited together; see `headrace.workflow.concurrency.slot_key`."""

    tenant_id: UUID
    workflow_id: UUID
    key: bytes


@dataclass(frozen=True, slots=True)
class Turn:
    """One unfinished run with a limit."""

    slot: Slot
    run_id: UUID
    dispatch_id: UUID
    max_runs: int


async def lock_slots(db: Db, slots: Collection[Slot]) -> None:
    """Lock them until the transaction ends. Whoever needs rows of runs locks those first."""
    await db.execute(_sql.lock_slots, *_columns(set(slots)))


async def enter(db: Db, turns: Sequence[Turn]) -> Collection[UUID]:
    """Let new runs wait in their slots, which the caller has locked; those that are admitted at once."""
    columns = _columns([turn.slot for turn in turns])
    rest = [t.run_id for t in turns], [t.dispatch_id for t in turns], [t.max_runs for t in turns]
    await db.execute(_sql.enter, *columns, *rest)
    return await admit(db, {turn.slot for turn in turns})


async def leave(db: Db, run_ids: Sequence[UUID]) -> Collection[UUID]:
    """These runs have ended, in this transaction; the runs that are admitted in their places."""
    slots = _slots(await db.fetch(_sql.lock_slots_of, run_ids))
    if not slots:
        return ()
    await db.execute(_sql.leave, run_ids)
    admitted = await admit(db, slots)
    await forget_empty(db, slots)
    return admitted


async def step_out(db: Db, run_ids: Sequence[UUID]) -> Collection[UUID]:
    """Of these runs, which the caller has locked and asked to cancel, those that were still waiting: they are due
    now, and their places in the line are free."""
    slots = _slots(await db.fetch(_sql.lock_slots_of, run_ids))
    if not slots:
        return ()
    gone = {row["run_id"] for row in await db.fetch(_sql.step_out, run_ids)}
    # The one behind it may have a larger limit.
    await admit(db, slots)
    await forget_empty(db, slots)
    return gone


async def admit(db: Db, slots: Collection[Slot]) -> Collection[UUID]:
    """Admit who may go on, in slots that the caller has locked."""
    return [row["run_id"] for row in await db.fetch(_sql.admit, *_columns(slots))]


async def forget_empty(db: Db, slots: Collection[Slot]) -> None:
    """Delete those of the locked slots that no run is in."""
    await db.execute(_sql.forget_empty, *_columns(slots))


def _slots(rows: Sequence[Any]) -> set[Slot]:
    return {Slot(row["tenant_id"], row["workflow_id"], row["key"]) for row in rows}


def _columns(slots: Collection[Slot]) -> tuple[list[UUID], list[UUID], list[bytes]]:
    return [s.tenant_id for s in slots], [s.workflow_id for s in slots], [s.key for s in slots]
