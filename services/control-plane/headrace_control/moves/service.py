"""Moving unfinished runs to another version of their workflow: shown before, and recorded."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from headrace.errors import Conflict, HeadraceError, InvalidInput, LimitExceeded, Problem
from headrace.json_types import JsonObject
from headrace.postgres.pool import Db, Pool, tenant_transaction
from headrace.workflow.move import fates, misfits
from headrace.workflow.state import ENDED_RUN, ParkReason, RunStatus, StepStatus

from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.moves import repository
from headrace_control.moves.model import Move, MovePreview, MoveStep
from headrace_control.moves.repository import Movable, Written
from headrace_control.runs import repository as runs
from headrace_control.runs.model import Run
from headrace_control.runs.parameters import Parameters
from headrace_control.workflows.diff import diff_versions

MAX_MOVED = 200
"""Runs that are moved at once."""
MAX_MOVES = 50
"""How often one run is."""
MAX_NOTE = 1000


Known = dict[tuple[UUID, int | None], Written]
"""Versions that were read before: by workflow and number, and by id alone. They do not change."""


@dataclass(frozen=True, slots=True)
class _Checked:
    """A run between two versions, as its rows are now."""

    run: Movable
    before: Written
    target: Written
    rows: Mapping[str, StepStatus]
    problems: Sequence[Problem]


class MoveService:
    """Over a pool of the role headrace_api."""

    def __init__(self, pool: Pool) -> None:
        self._pool, self._parameters = pool, Parameters()

    async def preview(self, caller: Caller, run_id: UUID, number: int) -> MovePreview:
        """What a move to this version would change, and what is in its way. Raises `NotFound`, and `Conflict` for a
        run or a version that no move is for."""
        caller.require(Permission.CONTROL_RUNS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            run = await repository.run(db, caller.tenant_id, run_id)
            checked = await self._checked(db, caller.tenant_id, run, number, {})
        # Off the event loop, and outside the transaction: large documents take their time.
        return await asyncio.to_thread(_shown, checked)

    async def move(
        self, caller: Caller, run_ids: Sequence[UUID], number: int, note: str = ""
    ) -> Sequence[Run | HeadraceError]:
        """Move each run, by itself: the run, or why it was not moved, in order. A run that is of the version already is
        answered as it is. Raises `LimitExceeded`, and `InvalidInput` for a note that can not be kept."""
        caller.require(Permission.CONTROL_RUNS)
        if len(run_ids) > MAX_MOVED:
            raise LimitExceeded(f"at most {MAX_MOVED} runs can be moved at once")
        if len(note) > MAX_NOTE or "\0" in note:
            mend = f"Write {MAX_NOTE} characters at most."
            raise InvalidInput([Problem("note", "no such note can be kept", mend)])
        answers: list[Run | HeadraceError] = []
        known: Known = {}
        for run_id in run_ids:
            try:
                answers.append(await self._move(caller, run_id, number, note, known))
            except HeadraceError as error:
                answers.append(error)
        return answers

    async def moves(self, caller: Caller, run_id: UUID) -> Sequence[Move] | None:
        """How the run was moved, oldest first; None when there is no such run."""
        caller.require(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            return await repository.moves(db, caller.tenant_id, run_id)

    async def _move(self, caller: Caller, run_id: UUID, number: int, note: str, known: Known) -> Run:
        tenant_id = caller.tenant_id
        async with tenant_transaction(self._pool, tenant_id) as db:
            run = await repository.run(db, tenant_id, run_id, lock=True)
            checked = await self._checked(db, tenant_id, run, number, known)
            target_id = checked.target.id
            if target_id != run.version_id:
                _check(checked)
                await repository.move(db, tenant_id, run, target_id, note, caller.actor)
                if run.status is RunStatus.WAITING:
                    # It may have something to do now: whoever claims it decides by this version, or parks it again.
                    await runs.wake(db, tenant_id, run_id, run.dispatch_id)
                detail: JsonObject = {"from": str(run.version_id), "to": str(target_id), "note": note}
                await record(db, caller, Act("run.move", f"run/{run_id}", detail=detail))
                await runs.notify_changed(db, run_id)
            return (await runs.runs_by_id(db, tenant_id, [run_id]))[run_id]

    async def _checked(self, db: Db, tenant_id: UUID, run: Movable, number: int, known: Known) -> _Checked:
        """Raises `Conflict` where no version could fit."""
        if run.status in ENDED_RUN:
            raise Conflict(f"the run has ended ({run.status}): re-run it by the version")
        if run.status is RunStatus.COMPENSATING or run.undoes or run.cancel_requested:
            raise Conflict("the run is being undone or canceled, and ends by its own version")
        if run.parent_run_id is not None:
            # Its parent undoes it by the version that it has pinned.
            raise Conflict(
                f"the run is step {run.parent_step} of run {run.parent_run_id}, and ends by its version"
            )
        if run.wait_reason == ParkReason.DEAD_LETTER:
            # The reporter sets runs aside, too, with events that it could not apply.
            raise Conflict("the run is set aside as a dead letter: what it has done may not all be known")
        if (own := (run.version_id, None)) not in known:
            known[own] = await repository.version(db, tenant_id, run.version_id)
        if (other := (run.workflow_id, number)) not in known:
            known[other] = await repository.version_numbered(db, tenant_id, run.workflow_id, number)
        before, target = known[own], known[other]
        if target.status != "PUBLISHED":
            raise Conflict(f"the version is {target.status.lower()}: runs are moved to a published one")
        rows, errors = await repository.rows(db, tenant_id, run.id)
        problems = misfits(before.version, target.version, rows, errors)
        problems += await self._input_problems(db, tenant_id, run, before, target)
        return _Checked(run, before, target, rows, problems)

    async def _input_problems(
        self, db: Db, tenant_id: UUID, run: Movable, before: Written, target: Written
    ) -> Sequence[Problem]:
        """What the version's parameters have against the input that the run was started with."""
        if before.version.document.parameters == target.version.document.parameters:
            return []
        rules = await self._parameters.of(db, tenant_id, {before.id, target.id})
        if any(rule.marks is not None for rule in rules.values()):
            words = "they mark values as sensitive, and the input was sealed by other ones"
            return [Problem("parameters", words, "Let the run end on its version.")]
        return rules[target.id].problems(run.input)


def _check(checked: _Checked) -> None:
    """Raises `Conflict` and `InvalidInput` for what is in the way of the move; the run is locked."""
    if checked.run.held:
        raise Conflict("a runner holds the run: pause it, and move it when it is PAUSED")
    if checked.run.moved >= MAX_MOVES:
        raise LimitExceeded(f"a run is moved {MAX_MOVES} times at most")
    if checked.problems:
        raise InvalidInput(list(checked.problems))


def _shown(checked: _Checked) -> MovePreview:
    before, target = checked.before.version, checked.target.version
    written = {step.key: step for version in (before, target) for step in version.document.steps}
    steps = [
        MoveStep(key, fate, written[key].type, written[key].action)
        for key, fate in fates(before, target, checked.rows).items()
        if key in written
    ]
    diff = diff_versions(checked.before.documents, checked.target.documents)
    return MovePreview(
        checked.run.id, checked.before.id, checked.target.id, checked.run.held, checked.problems, steps, diff
    )
