"""What a person asks of a run: its end, a pause, to go on. Each works on the run's locked row."""

from uuid import UUID

from headrace.errors import Conflict, NotFound
from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.workflow.state import ENDED_RUN, ParkReason, RunStatus

from headrace_control.runs import repository

_sql = load("headrace_control.runs", "changing.sql")


async def cancel(db: Db, tenant_id: UUID, run_id: UUID) -> None:
    """Ask for the run's end. Asking again, or of a run that is being undone already or undoes another, changes nothing.

    A run set aside as a dead letter is given its chances to be claimed again, and one that is being undone goes on
    with that. Raises `NotFound`, `Conflict` when the run has ended.
    """
    run = await _lock(db, tenant_id, run_id)
    aside = run.wait_reason is ParkReason.DEAD_LETTER
    if run.status is RunStatus.COMPENSATING or run.undoes:
        # rules cancel_spares_compensation, cancel_wakes_no_undo: but for one that nobody else brings back
        if aside:
            await give_chances(db, tenant_id, run_id, run.dispatch_id)
        return
    # rule cancel_is_a_request: a flag and a wake; the end is left to the run's events
    await repository.request_cancel(db, tenant_id, [run_id])


async def give_chances(db: Db, tenant_id: UUID, run_id: UUID, dispatch_id: UUID) -> None:
    """Let a run that was set aside, whose row is locked, be claimed again; it is due now."""
    await db.execute(_sql.give_chances, tenant_id, run_id)
    await repository.wake(db, tenant_id, run_id, dispatch_id)


async def pause(db: Db, tenant_id: UUID, run_id: UUID) -> None:
    """Ask that the run starts nothing more. At once when nobody holds it; else when what its holder has begun has
    ended, or when the turn that it waits for has come. Asking again changes nothing.

    Raises `NotFound`, and `Conflict` when the run has ended, is to end, is being undone, or is set aside.
    """
    run = await _lock(db, tenant_id, run_id)
    if run.status is RunStatus.COMPENSATING:
        raise Conflict("the run is being undone, which can not be paused")
    if run.cancel_requested:  # rule cancel_beats_pause
        raise Conflict("the run is to be canceled and can not be paused")
    if run.wait_reason is ParkReason.DEAD_LETTER:
        raise Conflict("the run is set aside as a dead letter: nothing of it goes on")
    if run.pause_requested:
        return
    # One that may be waiting for its turn is paused by who claims it then: its dispatch is not ours to take or to give.
    free = run.status is RunStatus.WAITING or (run.status is RunStatus.QUEUED and not run.limited)
    if free and not run.held:
        await db.execute(_sql.pause_now, tenant_id, run_id)
        await db.execute(_sql.drop_dispatch, tenant_id, run_id)
    else:  # rule pause_is_a_request: its holder hears of it, and parks
        await db.execute(_sql.request_pause, tenant_id, run_id)
    await repository.notify_changed(db, run_id)


async def resume(db: Db, tenant_id: UUID, run_id: UUID) -> None:
    """Take a pause back. A paused run is due now, under its current dispatch id; one that is not paused stays as it
    is. Raises `NotFound`, `Conflict` when the run has ended."""
    run = await _lock(db, tenant_id, run_id)
    await db.execute(_sql.resume, tenant_id, run_id)
    if run.status is RunStatus.PAUSED:  # rule resume_keeps_dispatch
        await repository.wake(db, tenant_id, run_id, run.dispatch_id)
    await repository.notify_changed(db, run_id)


async def _lock(db: Db, tenant_id: UUID, run_id: UUID) -> repository.Locked:
    run = await repository.lock(db, tenant_id, run_id)
    if run is None:
        raise NotFound("run")
    if run.status in ENDED_RUN:
        raise Conflict(f"the run has ended ({run.status})")
    return run
