"""Messages to a run: what a person, an external system or another run says to it.

A message is a row under the lock of the run's row. It is kept whether or not the run waits for it yet; the holder of
the run's claim folds it, and the transaction that applies the event which says so marks it as used.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from headrace.errors import Conflict, LimitExceeded, NotFound
from headrace.json_types import JsonObject
from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.workflow.state import ENDED_RUN, MessageKind, ParkReason, RunStatus

from headrace_control.runs import repository

_sql = load("headrace_control.runs", "changing.sql")

# Signals that a run has not used up yet: they travel with every claim.
MAX_UNUSED = 200


@dataclass(frozen=True, slots=True)
class NewMessage:
    """What is said. `step` is the row key that it is for, `name` the signal's.

    `once`: of all messages to the run with the same, the first is taken and the others are answered like it.
    """

    kind: MessageKind
    data: JsonObject
    step: str | None = None
    name: str | None = None
    once: str | None = None
    by: UUID | None = None


@dataclass(frozen=True, slots=True)
class Posted:
    """A message's place among its run's, and when it came. `again`: it was there before; `same`: with these words."""

    seq: int
    at: datetime
    again: bool = False
    same: bool = True


async def post_message(db: Db, tenant_id: UUID, run_id: UUID, message: NewMessage) -> Posted:
    """Say something to a run, and wake it if it waits; `db` is inside a tenant's transaction.

    Raises `NotFound`, `Conflict` when the run has ended, `LimitExceeded` above `MAX_UNUSED` signals. A `once` that is
    known is answered whatever became of the run.
    """
    # rule inbox_locks_the_run: inserted, counted and woken for under one lock
    run = await repository.lock(db, tenant_id, run_id)
    if run is None:
        raise NotFound("run")
    if message.once is not None:
        known = await find_posted(db, tenant_id, run_id, message.once, message)
        if known is not None:
            return known
    if run.status in ENDED_RUN:
        raise Conflict(f"the run has ended ({run.status})")
    if message.kind is MessageKind.SIGNAL:
        await _check_unused(db, tenant_id, run_id)
    row = await db.fetchrow(
        _sql.post_message,
        tenant_id,
        run_id,
        message.kind,
        message.step,
        message.name,
        message.data,
        message.once,
        message.by,
    )
    if row is None:
        raise NotFound("run")
    if _parked(run):
        await repository.wake(db, tenant_id, run_id, run.dispatch_id)
    await repository.notify_changed(db, run_id)
    return Posted(row["seq"], row["created_at"])


async def find_posted(
    db: Db, tenant_id: UUID, run_id: UUID, once: str, message: NewMessage | None = None
) -> Posted | None:
    """The message to a locked run that took `once`, and whether it has the words of `message`, if one is given."""
    row = await db.fetchrow(_sql.message_once, tenant_id, run_id, once)
    if row is None:
        return None
    words = (row["kind"], row["step"], row["name"], row["data"])
    same = message is None or words == (message.kind, message.step, message.name, message.data)
    return Posted(row["seq"], row["created_at"], again=True, same=same)


async def _check_unused(db: Db, tenant_id: UUID, run_id: UUID) -> None:
    if await db.fetchval(_sql.count_unused, tenant_id, run_id) >= MAX_UNUSED:
        raise LimitExceeded(f"the run has {MAX_UNUSED} messages that it has not used yet; send no more now")


def _parked(run: repository.Locked) -> bool:
    """Whether the run waits for something that a message may be. One set aside as a dead letter is given to nobody,
    and a paused one has no dispatch."""
    if run.wait_reason is ParkReason.DEAD_LETTER:
        return False
    return run.status in (RunStatus.WAITING, RunStatus.COMPENSATING) and not run.held
