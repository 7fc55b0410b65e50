"""`headrace run verify`: does a finished run's history alone explain what the API shows of it?"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import orjson
from headrace.errors import Conflict
from headrace.json_types import Json
from headrace.workflow.fold import IllegalMove
from headrace.workflow.history import compensated, rebuilt, undone_by
from headrace.workflow.keys import Part
from headrace.workflow.state import ENDED_RUN, Failure, RunState, StepState, StepStatus

from headrace_cli.command import ExpectationFailed, Session
from headrace_cli.output import cells, table
from headrace_cli.runs.history import Asks, ShownRow, ShownRun, children_of, events_of, reruns_of, shown_run
from headrace_cli.runs.view import RunId

_SHOWN = 60
_RUN = "the run"


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the history (`told`) and the API (`shown`) disagree; `row` is a row key, or the run itself."""

    row: str
    what: str
    told: Json
    shown: Json


@dataclass(frozen=True, slots=True)
class Verified:
    events: int
    differences: Sequence[Difference]


async def verify_run(session: Session, run: RunId) -> None:
    """Fold a finished run's events and compare the outcome with the run; exit 1 when they differ."""
    async with session.client() as client:
        verified = await verify(client, run)
    told = {
        "events": verified.events,
        "differences": [
            {"row": d.row, "what": d.what, "history": d.told, "run": d.shown} for d in verified.differences
        ],
    }
    if verified.differences:
        session.output.beside_error = told
        shown = table("row", "what", "by its history", "as it is shown")
        for one in verified.differences:
            shown.add_row(*cells(one.row, one.what, _short(one.told), _short(one.shown)))
        session.output.show(shown)
        raise ExpectationFailed(
            f"{verified.events} events do not explain the run: {len(verified.differences)} differences"
        )
    session.output.result(told)
    session.output.say(f"{verified.events} events explain the run")


async def verify(api: Asks, run_id: str) -> Verified:
    """Raises `NotFound`, and `Conflict` when the run has not ended."""
    shown = await shown_run(api, run_id)
    if shown.status not in ENDED_RUN:
        raise Conflict(f"the run has not ended ({shown.status}): its history is not whole yet")
    events = await events_of(api, run_id)
    try:
        begun = {event.step for event in events if event.step}
        told = rebuilt(events, {**await _origin_rows(api, shown), **await _taken_rows(api, shown, begun)})
        told = compensated(told, await _undone_later(api, shown))
    except IllegalMove as error:
        return Verified(len(events), [Difference(_RUN, "history", str(error), shown.status)])
    # Of the rows of a run that it undoes, those that it has not touched are not its own.
    own = begun if shown.undoes else told.steps.keys()
    return Verified(len(events), differences(told, shown, own))


def differences(told: RunState, shown: ShownRun, own: Collection[str]) -> list[Difference]:
    """All of them; `own` are the rows of `told` that the run is to have."""
    found: list[Difference] = []

    def compare(row: str, what: str, by_events: Json, by_api: Json) -> None:
        if by_events != by_api:
            found.append(Difference(row, what, by_events, by_api))

    compare(_RUN, "status", told.status, shown.status)
    compare(_RUN, "result", told.result, shown.result)
    compare(_RUN, "error", _plain(told.error), _plain(shown.error))
    # A run that undoes another shows the other's loops, which lead to what it did to their items.
    others = {k for k, row in shown.rows.items() if shown.undoes and row.taken_from and k not in own}
    for key in sorted(({*own} | shown.rows.keys()) - others):
        row = told.steps.get(key) if key in own else None
        there = shown.rows.get(key)
        if row is None or there is None:
            compare(key, "status", row.status if row else None, there.status if there else None)
            continue
        # The release before left a loop a success when its items were undone.
        left = there.items is not None and there.status is StepStatus.SUCCESS
        if not (left and row.status is StepStatus.COMPENSATED):
            compare(key, "status", row.status, there.status)
        compare(key, "attempts", row.attempts, there.attempts)
        compare(key, "output", row.output, there.output)
        compare(key, "error", _plain(row.error), _plain(there.error))
    return found


async def _origin_rows(api: Asks, run: ShownRun) -> dict[str, StepState]:
    """What the run that this one undoes, if it does, had done."""
    if run.undoes is None:
        return {}
    events = await events_of(api, run.undoes)
    begun = {event.step for event in events if event.step}
    taken = await _taken_rows(api, await shown_run(api, run.undoes), begun)
    return dict(rebuilt(events, taken).steps.items())


async def _undone_later(api: Asks, run: ShownRun) -> set[str]:
    """The rows of this run that another run, begun for that, has undone."""
    rows: set[str] = set()
    undoing = await _undoing(api, run)
    for run_id in undoing:
        rows |= {*undone_by(await events_of(api, run_id))}
    # What could not be undone by them may have been by a replay of that.
    later = [run.id, *([run.undoes] if run.undoes else []), *undoing]
    while later:
        # What they have taken over from this one, or were begun to undo.
        for rerun in [await shown_run(api, i) for i in await reruns_of(api, later.pop())]:
            later.append(rerun.id)
            for by in (rerun.id, *await _undoing(api, rerun)):
                undone = undone_by(await events_of(api, by))
                rows |= {key for key in undone if _whose(rerun, key) == run.id}
    return rows


def _whose(run: ShownRun, key: str) -> str | None:
    """Whose work it is that `run` undoes."""
    row = run.rows.get(key)
    return run.undoes if row is None else row.taken_from


async def _taken_rows(api: Asks, run: ShownRun, begun: Collection[str]) -> dict[str, StepState]:
    """What a re-run began with, as the runs that did it show it; a loop that it went on with was open again."""
    rows: dict[str, StepState] = {}
    doers: dict[str, ShownRun] = {}
    for key, row in run.rows.items():
        if row.taken_from is None:
            continue
        if row.taken_from not in doers:
            doers[row.taken_from] = await shown_run(api, row.taken_from)
        done = doers[row.taken_from].rows.get(key, row)
        if key in begun:
            rows[key] = StepState(StepStatus.RUNNING, items=done.items)
        else:
            rows[key] = StepState(_before(done), 0, done.output, done.error, items=done.items)
    return rows


def _before(row: ShownRow) -> StepStatus:
    """What it was when it was taken over: only afterwards it can have been undone."""
    return StepStatus.SUCCESS if row.status is StepStatus.COMPENSATED else row.status


async def _undoing(api: Asks, run: ShownRun) -> list[str]:
    """The runs that undo this one: children of its parent, or of what undoes its parent."""
    if run.parent is None or run.parent_step is None or run.undoes is not None:
        return []
    parent = await shown_run(api, run.parent)
    wanted = f"{run.parent_step}.{Part.UNDO}"
    begun_by = [parent.id, *await _undoing(api, parent), *await _replays(api, parent.id)]
    return [child.id for i in begun_by for child in await children_of(api, i) if child.step == wanted]


async def _replays(api: Asks, run_id: str) -> list[str]:
    """The runs that were begun to undo what is left of this one."""
    found: list[str] = []
    later = [run_id]
    while later:
        again = [await shown_run(api, i) for i in await reruns_of(api, later.pop())]
        later += [one.id for one in again if one.undoes == run_id]
        found += [one.id for one in again if one.undoes == run_id]
    return found


def _plain(error: Failure | None) -> Json:
    return error.as_json() if error else None


def _short(value: Json) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
