"""Runs as callers see them: start, read, cancel, pause, watch."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias
from uuid import UUID

from headrace.errors import HeadraceError, InvalidInput, LimitExceeded, NotFound, Problem
from headrace.json_types import Json
from headrace.postgres.pool import Db, Pool, tenant_transaction
from headrace.workflow.keys import RowKey, read_key
from headrace.workflow.state import StepStatus

from headrace_control.answer_size import Sized, look_up
from headrace_control.answer_text import masked
from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Actor, Caller
from headrace_control.auth.permissions import Permission
from headrace_control.pages import Cursor, PageOf, page_of, page_size
from headrace_control.quotas.starts import StartQuotas
from headrace_control.runs import control, repository
from headrace_control.runs.changes import RunChanges
from headrace_control.runs.model import (
    Attempt,
    Payload,
    Run,
    RunEvent,
    RunFilter,
    RunStart,
    StepPayload,
    StepRun,
    StepsOf,
)
from headrace_control.runs.new_runs import Noted
from headrace_control.runs.nudges import Nudges
from headrace_control.runs.parameters import Parameters
from headrace_control.runs.repository import StepId
from headrace_control.runs.starts import MAX_STARTS, start_runs
from headrace_control.vault.output_keys import OutputKeys

_RUNS = Cursor("runs")
_EVENTS = Cursor("events")
_CHILDREN = Cursor("children")
_RERUNS = Cursor("reruns")
_ITEMS = Cursor("items")
_NO_CURSOR = Problem("after", "not a cursor of this list", "use a page's endCursor")
_NO_WORKFLOW = Problem("filter.version", "each workflow has versions of its own", "name the workflow, too")

# A watcher that no notification woke looks by itself.
REREAD_SECONDS = 5.0
# How many workflows the audit of a batch of starts names.
_NAMED = 20
# How many steps are shown at once, over all runs of a page.
MAX_STEPS = 5000

# Of some runs, those that a caller sees.
Seen: TypeAlias = Callable[[Sequence[UUID]], Awaitable[set[UUID]]]

# Runs, and the last one seen of what belongs to each.
Places: TypeAlias = Sequence[tuple[UUID, UUID | None]]


class RunService:
    """Runs of the caller's tenant, over a pool of the role headrace_api."""

    def __init__(self, pool: Pool, changes: RunChanges, keys: OutputKeys, nudges: Nudges) -> None:
        self._pool, self._changes, self._keys, self._nudges = pool, changes, keys, nudges
        self._parameters, self._quotas = Parameters(), StartQuotas()

    async def start(self, caller: Caller, start: RunStart) -> Run:
        """Start one run. Raises `InvalidInput`, `NotFound`, `Conflict`; see `RunStart` for what is idempotent."""
        (answer,) = await self.start_all(caller, [start])
        if isinstance(answer, HeadraceError):
            raise answer
        return answer

    async def start_all(self, caller: Caller, starts: Sequence[RunStart]) -> Sequence[Run | HeadraceError]:
        """Start up to `MAX_STARTS` runs in one transaction; each start is answered on its own, in order."""
        workflows = caller.require_of_workflows(Permission.START_RUNS)
        if len(starts) > MAX_STARTS:
            raise LimitExceeded(f"at most {MAX_STARTS} runs can be started at once")
        let_through = [start for start in starts if workflows is None or start.workflow in workflows]
        names: list[Json] = [*sorted({start.workflow for start in let_through})[:_NAMED]]
        # Starts are the hot path: one record for the whole batch, and no statement is planned anew.
        noted = Noted(caller, {"workflows": names})
        tenant_id, created_by = caller.tenant_id, caller.actor.id
        kept = (self._parameters, self._quotas, self._keys)
        with self._nudges.around_start() as alone:
            async with tenant_transaction(self._pool, tenant_id, plan_once=True) as db:
                started = await start_runs(db, tenant_id, created_by, let_through, *kept, noted, wakes=alone)
        if started.begun and not alone:
            self._nudges.soon()
        if len(let_through) == len(starts):
            return started.answers
        answers = iter(started.answers)
        return [
            next(answers) if workflows is None or start.workflow in workflows else NotFound("workflow")
            for start in starts
        ]

    async def cancel(self, caller: Caller, run_id: UUID) -> Run:
        """Ask for the run's end; a runner ends it. See `control.cancel`."""
        return await self._control(caller, run_id, control.cancel, "run.cancel")

    async def pause(self, caller: Caller, run_id: UUID) -> Run:
        """Ask that the run starts nothing more. See `control.pause`."""
        return await self._control(caller, run_id, control.pause, "run.pause")

    async def resume(self, caller: Caller, run_id: UUID) -> Run:
        """Take a pause back. See `control.resume`."""
        return await self._control(caller, run_id, control.resume, "run.resume")

    async def _control(
        self, caller: Caller, run_id: UUID, ask: Callable[[Db, UUID, UUID], Awaitable[None]], action: str
    ) -> Run:
        caller.require(Permission.CONTROL_RUNS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            await ask(db, caller.tenant_id, run_id)
            await record(db, caller, Act(action, f"run/{run_id}"))
            return (await repository.runs_by_id(db, caller.tenant_id, [run_id]))[run_id]

    async def get(self, caller: Caller, run_id: UUID) -> Run:
        found = await self.by_ids(caller, [run_id])
        if run_id not in found:
            raise NotFound("run")
        return found[run_id]

    async def page(self, caller: Caller, wanted: RunFilter, first: int, after: str | None) -> PageOf[Run]:
        """Runs, newest first. A page stays the same while new runs arrive. A key for named workflows does not ask what
        a schedule or a webhook started, of which it sees nothing else."""
        workflows = caller.require_of_workflows(Permission.READ)
        if wanted.triggered_by is not None:
            caller.require(Permission.READ)
            if problems := _clashes(wanted):
                raise InvalidInput(problems)
        if wanted.version is not None and wanted.workflows is None:
            raise InvalidInput([_NO_WORKFLOW])
        if workflows is not None:
            named = workflows if wanted.workflows is None else workflows & set(wanted.workflows)
            wanted = replace(wanted, workflows=named)
        limit, before = page_size(first), _RUNS.read_id(after)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await repository.newest(db, caller.tenant_id, wanted, limit + 1, before)
        return page_of(found, limit, lambda run: _RUNS.write(run.id))

    async def watch(self, caller: Caller, run_id: UUID) -> AsyncGenerator[Run, None]:
        """The run now, and again after each change, until it has ended. Raises `NotFound`.

        A slow reader gets the newest state and none of those in between.
        """
        with self._changes.watch(run_id) as watch:
            run = await self.get(caller, run_id)
            yield run
            while not run.ended:
                await watch.changed(REREAD_SECONDS)
                fresh = await self.get(caller, run_id)
                if fresh != run:
                    run = fresh
                    yield run

    # What lists refer to, read for many at once.

    async def by_ids(self, caller: Caller, ids: Sequence[UUID]) -> Mapping[UUID, Run]:
        async with self._reading(caller) as (db, seen):
            found = await repository.runs_by_id(db, caller.tenant_id, ids)
            shown = await seen(list(found))
        return {run_id: run for run_id, run in found.items() if run_id in shown}

    async def children(
        self, caller: Caller, first: int, pages: Sequence[tuple[UUID, str | None]]
    ) -> Sequence[PageOf[Run]]:
        """For each (run, cursor) in turn: a page of the run's children, in the order of their start."""
        return await self._of_each(caller, first, pages, _CHILDREN, repository.children)

    async def reruns(
        self, caller: Caller, first: int, pages: Sequence[tuple[UUID, str | None]]
    ) -> Sequence[PageOf[Run]]:
        """For each (run, cursor) in turn: a page of the runs that go on from it, in the order of their start."""
        return await self._of_each(caller, first, pages, _RERUNS, repository.reruns)

    async def _of_each(
        self,
        caller: Caller,
        first: int,
        pages: Sequence[tuple[UUID, str | None]],
        cursor: Cursor,
        read: Callable[[Db, UUID, Places, int], Awaitable[Sequence[Sequence[Run]]]],
    ) -> Sequence[PageOf[Run]]:
        limit = page_size(first)
        places = [(run_id, cursor.read_id(after)) for run_id, after in pages]
        async with self._reading(caller, [run_id for run_id, _ in pages]) as (db, seen):
            found = await read(db, caller.tenant_id, places, limit + 1)
            shown = await seen([run.id for runs in found for run in runs])
        made = [page_of(runs, limit, lambda run: cursor.write(run.id)) for runs in found]
        return [replace(one, items=[run for run in one.items if run.id in shown]) for one in made]

    async def starters(self, caller: Caller, ids: Sequence[UUID]) -> Mapping[UUID, Actor]:
        """Who is named in the `created_by` of runs that the caller sees."""
        async with self._reading(caller) as (db, _):
            return await repository.starters(db, caller.tenant_id, ids)

    async def payloads(self, caller: Caller, ids: Sequence[UUID]) -> Mapping[UUID, Payload]:
        """Inputs and results as they are stored."""

        async def read(most: int) -> Sized[Mapping[UUID, Payload]]:
            async with self._reading(caller, ids) as (db, _):
                return await repository.payloads(db, caller.tenant_id, ids, most)

        return await look_up(len(ids), read)

    async def steps(self, caller: Caller, runs: Sequence[StepsOf]) -> Mapping[StepsOf, Sequence[StepRun]]:
        """Each run's steps in the order of its version, what undoes and what asks about a step behind it. A step that
        has not begun is QUEUED; once its run has ended it never will, and is left out."""
        versions = list({run.version_id for run in runs})
        async with self._reading(caller, [run.run_id for run in runs]) as (db, _):
            keys = await repository.step_keys(db, caller.tenant_id, versions)
            # Known from the versions alone: a run has no other steps, and for each three rows at most.
            if sum(len(keys.get(run.version_id, ())) for run in runs) > MAX_STEPS:
                raise LimitExceeded(f"these runs have more than {MAX_STEPS} steps; ask for fewer runs")
            begun = await repository.steps(db, caller.tenant_id, [run.run_id for run in runs])
        return {run: _in_order(run, keys.get(run.version_id, ()), begun.get(run.run_id, {})) for run in runs}

    async def items(
        self, caller: Caller, first: int, pages: Sequence[tuple[StepId, str | None]]
    ) -> Sequence[PageOf[StepRun]]:
        """For each (loop, cursor) in turn: a page of its items, each followed by what undoes and asks about it."""
        limit = page_size(first)
        places = [(*step, *_item_place(after)) for step, after in pages]
        async with self._reading(caller, [step[0] for step, _ in pages]) as (db, _):
            found = await repository.items(db, caller.tenant_id, places, limit + 1)
        return [page_of(rows, limit, lambda row: _ITEMS.write(row.key)) for rows in found]

    async def step_payloads(self, caller: Caller, ids: Sequence[StepId]) -> Mapping[StepId, StepPayload]:
        """As people see them."""
        runs = list({run_id for run_id, _ in ids})

        async def read(most: int) -> Sized[Mapping[StepId, StepPayload]]:
            async with self._reading(caller, runs) as (db, _):
                return await repository.step_payloads(db, caller.tenant_id, ids, most)

        found = await look_up(len(runs), read)
        return {step: StepPayload(own.input, await masked(own.output)) for step, own in found.items()}

    async def attempts(self, caller: Caller, ids: Sequence[StepId]) -> Mapping[StepId, Sequence[Attempt]]:
        """Each step's attempts, the first one first."""
        async with self._reading(caller, [run_id for run_id, _ in ids]) as (db, _):
            return await repository.attempts(db, caller.tenant_id, ids)

    async def events(
        self, caller: Caller, first: int, pages: Sequence[tuple[UUID, str | None]]
    ) -> Sequence[PageOf[RunEvent]]:
        """For each (run, cursor) in turn: a page of the run's events, oldest first."""
        limit = page_size(first)
        places = [(run_id, *_event_place(after)) for run_id, after in pages]

        async def read(most: int) -> Sized[Sequence[Sequence[RunEvent]]]:
            async with self._reading(caller, [run_id for run_id, _ in pages]) as (db, _):
                return await repository.events(db, caller.tenant_id, places, limit, most)

        found = await look_up(len(places) * limit, read)
        made = [page_of(events, limit, lambda e: _EVENTS.write(e.epoch, e.seq)) for events in found]
        return [replace(one, items=[await _as_seen(event) for event in one.items]) for one in made]

    @contextlib.asynccontextmanager
    async def _reading(self, caller: Caller, runs: Sequence[UUID] = ()) -> AsyncIterator[tuple[Db, Seen]]:
        """A transaction, and what tells which runs the caller sees. Raises `NotFound` unless these `runs` are among
        them."""
        workflows = caller.require_of_workflows(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:

            async def seen(ids: Sequence[UUID]) -> set[UUID]:
                if workflows is None or not ids:
                    return set(ids)
                return await repository.of_workflows(db, caller.tenant_id, ids, workflows)

            if workflows is not None and not set(runs) <= await seen(runs):
                raise NotFound("run")
            yield db, seen


def _in_order(run: StepsOf, keys: Sequence[str], begun: Mapping[str, StepRun]) -> Sequence[StepRun]:
    places = {key: place for place, key in enumerate(keys)}
    ahead = () if run.ended else [key for key in keys if key not in begun]
    steps = (*begun.values(), *(StepRun(run.run_id, key, StepStatus.QUEUED) for key in ahead))

    def place(row: StepRun) -> tuple[int, str, str]:
        key = read_key(row.key)
        return places.get(key.step, len(places)), key.step, key.part or ""

    return sorted(steps, key=place)


async def _as_seen(event: RunEvent) -> RunEvent:
    data = await masked(event.data) or event.data
    return event if data is event.data else replace(event, data=data)


def _item_place(after: str | None) -> tuple[int, str]:
    key = _ITEMS.read_text(after)
    if key is None:
        return -1, ""
    try:
        row = read_key(key)
    except ValueError:
        row = RowKey(key)
    if row.index is None or row.index >= 2**31:
        raise InvalidInput([_NO_CURSOR])
    return row.index, f".{row.part}" if row.part else ""


def _event_place(after: str | None) -> tuple[int, int]:
    key = _EVENTS.read(after, parts=2)
    if key is None:
        return 0, 0
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in key):
        raise InvalidInput([_NO_CURSOR])
    return int(key[0]), int(key[1])


def _clashes(wanted: RunFilter) -> list[Problem]:
    """What does not go together with what started the runs."""
    named = "schedule" if wanted.schedule is not None else "webhook"
    beside = {
        "webhook": wanted.webhook if named == "schedule" else None,
        "workflow": wanted.workflows,
        "version": wanted.version,
    }
    mend = f"leave it out: what a {named} starts is of its own workflow"
    return [
        Problem(f"filter.{name}", f"not together with a {named}", mend)
        for name, value in beside.items()
        if value is not None
    ]
