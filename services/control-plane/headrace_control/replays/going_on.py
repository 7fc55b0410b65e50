"""The run that goes on from one dead letter, in a transaction of its tenant."""

from uuid import UUID

from headrace.errors import Conflict, NotFound
from headrace.postgres.pool import Db
from headrace.workflow.state import ENDED_RUN, ParkReason

from headrace_control.dead_letters import repository as dead_letters
from headrace_control.dead_letters.model import DeadLetter, DeadLetterSource
from headrace_control.replays.model import ReplayWish
from headrace_control.reruns import repository as reruns
from headrace_control.reruns.model import Origin, RerunWish
from headrace_control.reruns.service import RerunService
from headrace_control.runs import control
from headrace_control.runs import repository as runs
from headrace_control.runs.model import Run


async def go_on(
    db: Db, tenant_id: UUID, created_by: UUID, letter_id: UUID, wish: ReplayWish, service: RerunService
) -> Run:
    """The run that goes on. Raises `NotFound`, and `Conflict` for a dead letter that is closed or can not be
    replayed; what a re-run raises, too. `db` is given up when this raises."""
    letter = await dead_letters.by_id(db, tenant_id, letter_id)
    match letter.source:
        case DeadLetterSource.STEP | DeadLetterSource.IN_DOUBT:
            return await _rerun(db, tenant_id, created_by, letter, wish, service)
        case DeadLetterSource.COMPENSATION:
            return await _undo(db, tenant_id, created_by, letter)
        case DeadLetterSource.CLAIM:
            return await _claim_again(db, tenant_id, letter)
        case DeadLetterSource.EVENTS:
            raise Conflict(
                "what the run did could not be written down, so nothing can go on from it: cancel it, or discard this"
            )


async def _rerun(
    db: Db, tenant_id: UUID, created_by: UUID, letter: DeadLetter, wish: ReplayWish, service: RerunService
) -> Run:
    """A re-run of the first run above the one that failed, with the steps on the way down to it done again."""
    root = await _origin(db, tenant_id, letter.run_id)
    path: list[str] = []
    while root.parent_run_id is not None and root.parent_step is not None:
        path.insert(0, root.parent_step)
        root = await _origin(db, tenant_id, root.parent_run_id)
    if root.status not in ENDED_RUN:
        raise Conflict(f"run {root.id} has not ended ({root.status}): nothing can go on from it yet")
    await reruns.lock_lineage(db, tenant_id, root.root)
    await _still_open(db, tenant_id, letter)
    # Named only where the failure did not end the run: else it is done again in any case, and with it what else failed.
    steps = ["/".join([*path, _step(letter)])] if path else []
    rerun = RerunWish(steps, False, wish.version, wish.patch, wish.repeat_in_doubt)
    run = await service.begin(db, tenant_id, created_by, root.id, rerun)
    await dead_letters.close_replayed(db, tenant_id, letter, run.id)
    return run


async def _undo(db: Db, tenant_id: UUID, created_by: UUID, letter: DeadLetter) -> Run:
    """A run that undoes what is left, under the keys of the compensations that failed."""
    failed = await _origin(db, tenant_id, letter.run_id)
    undoes = failed if failed.undoes_run_id is None else await _origin(db, tenant_id, failed.undoes_run_id)
    # What goes on from the run above, or undoes it, may have to do with this one's steps, too.
    top = await _top(db, tenant_id, failed)
    if any(run.status not in ENDED_RUN for run in (failed, undoes, top)):
        raise Conflict("the run is still being undone")
    await reruns.lock_lineage(db, tenant_id, top.root)
    await _still_open(db, tenant_id, letter)
    for run in (top, undoes):
        if found := await reruns.in_the_way(db, tenant_id, run.root, run.id):
            other, unfinished = found
            then = "it has not ended" if unfinished else "what is left is not to be undone"
            how = "goes on from, or undoes," if unfinished else "goes on from"
            raise Conflict(f"run {other} {how} what this run did: {then}")
    left = await reruns.left_to_undo(db, tenant_id, failed.id)
    run_id = await reruns.start_undoing(db, tenant_id, created_by, failed, undoes, top.root, left)
    await dead_letters.close_replayed(db, tenant_id, letter, run_id)
    return (await runs.runs_by_id(db, tenant_id, [run_id]))[run_id]


async def _claim_again(db: Db, tenant_id: UUID, letter: DeadLetter) -> Run:
    """The same run: it has not ended, and is given its chances again."""
    run = await runs.lock(db, tenant_id, letter.run_id)
    if run is None:
        raise NotFound("run")
    await _still_open(db, tenant_id, letter)
    if run.wait_reason is not ParkReason.DEAD_LETTER:
        raise Conflict("the run is not set aside any more")
    await control.give_chances(db, tenant_id, letter.run_id, run.dispatch_id)
    await dead_letters.close_replayed(db, tenant_id, letter, letter.run_id)
    return (await runs.runs_by_id(db, tenant_id, [letter.run_id]))[letter.run_id]


async def _still_open(db: Db, tenant_id: UUID, letter: DeadLetter) -> None:
    """Whether nobody was quicker, now that the run is ours."""
    if not await dead_letters.is_open(db, tenant_id, letter.id):
        raise Conflict("the dead letter is closed already")


async def _origin(db: Db, tenant_id: UUID, run_id: UUID) -> Origin:
    origin = await reruns.origin(db, tenant_id, run_id)
    if origin is None:
        raise NotFound("run")
    return origin


async def _top(db: Db, tenant_id: UUID, run: Origin) -> Origin:
    """The run that is no step of another, of which `run` did or undid a part; as far up as runs are kept."""
    while True:
        above = run.parent_run_id or (run.origin_run_id if run.undoes_run_id is not None else None)
        found = await reruns.origin(db, tenant_id, above) if above is not None else None
        if found is None:
            return run
        run = found


def _step(letter: DeadLetter) -> str:
    return (letter.step or "").partition(".")[0]
