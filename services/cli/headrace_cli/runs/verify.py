"""`headrace run verify`: does a finished run's history alone explain what the API shows of it?"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import orjson
from headrace.errors import Conflict
from headrace.json_types import Json
from headrace.workflow.fold import IllegalMove
from headrace.workflow.history import compensated, rebuilt, undone_by
from headrace.workflow.keys import Part, read_key
from headrace.workflow.state import ENDED_RUN, Failure, RunState, RunStatus, StepState

from headrace_cli.command import ExpectationFailed, Session
from headrace_cli.output import cells, table
from headrace_cli.runs.history import Asks, ShownRun, children_of, events_of, shown_run
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
    session.output.result(
        {
            "events": verified.events,
            "differences": [
                {"row": d.row, "what": d.what, "history": d.told, "run": d.shown}
                for d in verified.differences
            ],
        }
    )
    if verified.differences:
        shown = table("row", "what", "by its history", "as it is shown")
        for one in verified.differences:
            shown.add_row(*cells(one.row, one.what, _short(one.told), _short(one.shown)))
        session.output.show(shown)
        raise ExpectationFailed(
            f"{verified.events} events do not explain the run: {len(verified.differences)} differences"
        )
    session.output.say(f"{verified.events} events explain the run")


async def verify(api: Asks, run_id: str) -> Verified:
    """Raises `NotFound`, and `Conflict` when the run has not ended."""
    shown = await shown_run(api, run_id)
    if shown.status not in ENDED_RUN:
        raise Conflict(f"the run has not ended ({shown.status}): its history is not whole yet")
    events = await events_of(api, run_id)
    try:
        told = rebuilt(events, await _origin_rows(api, shown))
        told = compensated(told, await _undone_later(api, shown))
    except IllegalMove as error:
        return Verified(len(events), [Difference(_RUN, "history", str(error), shown.status)])
    # Of the rows of a run that it undoes, those that it has not touched are not its own.
    own = {event.step for event in events if event.step} if _undoes(shown) else told.steps.keys()
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
    for key in sorted({*own} | shown.rows.keys()):
        row = told.steps.get(key) if key in own else None
        there = shown.rows.get(key)
        if row is None or there is None:
            compare(key, "status", row.status if row else None, there.status if there else None)
            continue
        compare(key, "status", row.status, there.status)
        compare(key, "attempts", row.attempts, there.attempts)
        compare(key, "output", row.output, there.output)
        compare(key, "error", _plain(row.error), _plain(there.error))
    return found


def _undoes(run: ShownRun) -> bool:
    return run.parent_step is not None and read_key(run.parent_step).part is Part.UNDO


async def _origin(api: Asks, run: ShownRun) -> ShownRun | None:
    """The run that this one undoes, if it does: the child of the same step of its parent, or, when that one undoes a
    run itself, of the run that it undoes."""
    if not _undoes(run) or run.parent is None or run.parent_step is None:
        return None
    parent = await shown_run(api, run.parent)
    begun_by = await _origin(api, parent) or parent
    step = read_key(run.parent_step).work
    for child in await children_of(api, begun_by.id):
        if child.step == step and child.status is RunStatus.SUCCESS:
            return await shown_run(api, child.id)
    return None


async def _origin_rows(api: Asks, run: ShownRun) -> dict[str, StepState]:
    origin = await _origin(api, run)
    return dict(rebuilt(await events_of(api, origin.id)).steps.items()) if origin else {}


async def _undone_later(api: Asks, run: ShownRun) -> set[str]:
    """The rows of this run that another run, begun for that, has undone."""
    rows: set[str] = set()
    for run_id in await _undoing(api, run):
        rows |= {*undone_by(await events_of(api, run_id))}
    return rows


async def _undoing(api: Asks, run: ShownRun) -> list[str]:
    """The runs that undo this one: children of its parent, or of what undoes its parent."""
    if run.parent is None or run.parent_step is None or _undoes(run):
        return []
    parent = await shown_run(api, run.parent)
    wanted = f"{run.parent_step}.{Part.UNDO}"
    begun_by = [parent.id, *await _undoing(api, parent)]
    return [child.id for i in begun_by for child in await children_of(api, i) if child.step == wanted]


def _plain(error: Failure | None) -> Json:
    return error.as_json() if error else None


def _short(value: Json) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
