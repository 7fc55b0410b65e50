"""What to do next with a run: `decide`, a pure function of the graph, the run's state and the time.

It is the twin of `headrace.workflow.fold.fold`: the engine does what `decide` says, folds the events that
come of it, and asks again, until the answer is to leave.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import chain, islice

from headrace.workflow.asking import Answers, Conditions, NotNow
from headrace.workflow.commands import (
    Cancel,
    Collect,
    Command,
    Compensate,
    Doubt,
    Finish,
    GoOn,
    Park,
    Resolve,
    Skip,
    Start,
)
from headrace.workflow.conditions import ConditionFailed, Evaluate, no_expressions
from headrace.workflow.document import Edge, EdgeOn, Ending, Join, OnError
from headrace.workflow.doubt import asked, moot, settle
from headrace.workflow.frontier import PASSED, SETTLED, Frontier
from headrace.workflow.graph import Graph
from headrace.workflow.keys import Part, item_key, read_key
from headrace.workflow.state import (
    Failure,
    ParkReason,
    RunState,
    RunStatus,
    StepStatus,
    Undoing,
    WaitKind,
)
from headrace.workflow.undo import may_be_done, undo
from headrace.workflow.waiting import Waits, over

# How many rows of one run are executed side by side by its runner.
MAX_PARALLEL_STEPS = 20


def decide(
    graph: Graph,
    state: RunState,
    now: datetime,
    running: Collection[str] = (),
    deadline: datetime | None = None,
    evaluate: Evaluate = no_expressions,
    frontier: Frontier | None = None,
    answers: Answers | None = None,
) -> Sequence[Command]:
    """The commands that follow from `state` at `now`; empty while `running` rows have to be waited for.

    `running` are the rows that this very runner has under way. A row that the state calls RUNNING and
    that is not among them was begun by an earlier claim. `Park`, `Finish`, `Compensate` and `Cancel` come alone, and
    only when nothing is running (rules leave_when_still and compensate_when_still). `evaluate` answers for expressions
    in conditions. `frontier`, if given, is that of `state`, kept up to date by the caller: then this costs as much as
    what changed. `answers` is what the caller remembers of the conditions that were asked: decisions add to it, and ask
    nothing twice; who gives none can not go on after `GoOn`.
    """
    frontier = frontier or Frontier(graph, state)
    # Before all else, an end included: that the run is over does not tell whether the call arrived.
    doubts = [Doubt(key) for key in frontier.open if key not in running and state.step(key).in_flight]
    if doubts:
        return doubts
    if state.undoing is not None:
        return undo(frontier, state, state.undoing, now, running)
    conditions = Conditions(graph, state, evaluate, answers or Answers())
    try:
        ending = _ending(frontier, state, now, deadline, conditions)
    except NotNow:
        return (GoOn(),)  # whether a failure ends the run is not known yet
    if ending:
        # rule turn_after_answers: what was begun and can be undone is asked again first, cancel or not: it may have
        # been done, and only its answer tells how to undo it.
        asked = _unanswered(frontier, state, running) if isinstance(ending, Compensate) else []
        return asked or (() if running else (ending,))
    if state.pause:
        return () if running else (Park(ParkReason.PAUSED, None),)
    waits = Waits()
    commands, in_doubt = _open_rows(frontier, state, now, running, waits)
    if in_doubt:
        # Nothing new beside a row that nobody can answer for, but what settles it.
        commands = [c for c in commands if not isinstance(c, Start) or read_key(c.step).part is Part.PROBE]
    else:
        room = MAX_PARALLEL_STEPS - len(running) - sum(isinstance(c, Start) for c in commands)
        commands += _candidates(frontier, running, room, conditions)
    if commands:
        return _bounded(commands, len(running))
    if running:
        return ()
    if in_doubt:
        return (Park(ParkReason.IN_DOUBT, _earliest(waits.wake, deadline)),)
    if waits.reasons:
        return (Park(waits.reason, _earliest(waits.wake, deadline)),)
    return (Finish(),)


def _ending(
    frontier: Frontier, state: RunState, now: datetime, deadline: datetime | None, conditions: Conditions
) -> Command | None:
    """Why the run ends before its steps do, if it does. Raises `NotNow`."""
    graph = frontier.graph
    if state.cancel:
        # rule claim_tells_cancel: a runner that knows of it starts no call and no park
        if Ending.CANCEL in graph.compensate_on and _has_done(frontier, state):
            return Compensate(Undoing(RunStatus.CANCELED))
        return Cancel()
    if frontier.succeeded:
        # Before the failures: a runner that has written one down reaches no `succeed` step any more, so it came later.
        return Finish()
    if fatal := [key for key in frontier.failed if not conditions.dealt_with(key)]:
        # The one that was written down first, also if others failed before all that was under way had ended.
        key = min(fatal, key=lambda key: (state.step(key).failed_at, graph.position[key]))
        reason = state.step(key).error or Failure("STEP_FAILED", "the step failed")
        why = Ending.REJECTION if reason.code == "REJECTED" else Ending.FAILURE
        words = f"step {key} failed: {reason.message}"
        if unclear := conditions.answers.unclear.get(key):
            words = f"{words}; {unclear}"  # or nobody would hear of it: that step is not reached any more
        return _fail(frontier, state, Failure(reason.code, words), why)
    if lost := next((key for key in frontier.loops if _lost(frontier, state, key)), None):
        return Collect(lost)
    if deadline is not None and now >= deadline:
        return _fail(frontier, state, Failure("RUN_TIMEOUT", "the run passed its time limit"), Ending.FAILURE)
    return None


def _lost(frontier: Frontier, state: RunState, key: str) -> bool:
    """Whether an item has failed the loop, nothing can deal with that, and the other items only wait: for a person or a
    child, for days maybe."""
    graph, loop = frontier.graph, frontier.loops[key]
    each = graph.steps[key].for_each
    if not loop.failed or each is None or each.on_item_error is not OnError.FAIL:
        return False
    if graph.deals_with_any_failure(key) or graph.error_conditions(key):
        return False
    return all(state.step(item_key(key, index)).status is StepStatus.WAITING for index in loop.open)


def _fail(frontier: Frontier, state: RunState, error: Failure, why: Ending) -> Command:
    if why in frontier.graph.compensate_on and _has_done(frontier, state):
        return Compensate(Undoing(RunStatus.FAILED, error))
    return Finish(error)


def _has_done(frontier: Frontier, state: RunState) -> bool:
    """Whether there is, or may be, something to undo."""
    return bool(frontier.done) or any(_undoable_open(frontier, state, key) for key in frontier.open)


def _undoable_open(frontier: Frontier, state: RunState, key: str) -> bool:
    """A call that was begun and not answered for, here or in an attempt that is to be made again, one in doubt, or a
    child under way, that can be undone."""
    name, row = read_key(key), state.step(key)
    if name.part is not None or row.items is not None or not frontier.graph.undoable(name.step):
        return False
    in_doubt = row.status is StepStatus.UNKNOWN or may_be_done(row)
    return in_doubt or (row.wait or {}).get("kind") == WaitKind.CHILD


def _unanswered(frontier: Frontier, state: RunState, running: Collection[str]) -> list[Command]:
    return [
        Start(key)
        for key in frontier.open
        if key not in running
        and state.step(key).status is StepStatus.RUNNING
        and _undoable_open(frontier, state, key)
    ]


def _open_rows(
    frontier: Frontier, state: RunState, now: datetime, running: Collection[str], waits: Waits
) -> tuple[list[Command], bool]:
    """What follows for rows that are under way, waiting or in doubt; and whether one stays in doubt."""
    commands: list[Command] = []
    in_doubt = False
    for key in frontier.open:
        if key in running:
            continue
        row = state.step(key)
        if over_already := moot(state, key):
            commands.append(over_already)
            continue
        match row.status:
            case StepStatus.WAITING:
                if command := over(key, row, state, now, waits):
                    commands.append(command)
            case StepStatus.UNKNOWN:
                if command := settle(frontier, state, key, running):
                    commands.append(command)
                elif not asked(state, key, running):
                    in_doubt = True
            case _ if row.items is None:
                commands.append(Start(key))
            case _:
                commands += _items(frontier, key, running)
    return commands, in_doubt


def _items(frontier: Frontier, key: str, running: Collection[str]) -> list[Command]:
    """A loop: the items to begin, or its end."""
    loop, each = frontier.loops[key], frontier.graph.steps[key].for_each
    if each is None:
        return []
    under_way = {name.index for name in map(read_key, running) if name.step == key and name.part is None}
    busy = loop.open | under_way
    stopped = loop.failed > 0 and each.on_item_error is OnError.FAIL
    if stopped or (loop.ended >= loop.total and not loop.again):
        return [] if busy else [Collect(key)]
    room = min(each.max_concurrency - len(busy), MAX_PARALLEL_STEPS)
    not_begun = (i for i in range(loop.following, loop.total) if i not in under_way and i not in loop.ahead)
    following = chain(sorted(loop.again - under_way), not_begun)
    return [Start(item_key(key, index)) for index in islice(following, max(room, 0))]


def _candidates(
    frontier: Frontier, running: Collection[str], room: int, conditions: Conditions
) -> list[Command]:
    commands: list[Command] = []
    for position in frontier.candidates:
        if room <= 0:
            break
        key = frontier.graph.order[position]
        if key in running:
            continue
        try:
            ready = _ready(frontier, key, conditions)
        except ConditionFailed as error:
            commands.append(Resolve(key, StepStatus.FAILED, None, Failure(error.code, str(error))))
            continue
        except NotNow:
            commands.append(GoOn())
            break
        if ready:
            commands.append(Start(key))
            room -= 1
        elif ready is False:
            commands.append(Skip(key))
    return commands


def _ready(frontier: Frontier, key: str, conditions: Conditions) -> bool | None:
    """True: begin; False: skip; None: something upstream has not settled."""
    graph = frontier.graph
    edges = graph.incoming[key]
    all_settled = frontier.all_settled_before(key)
    if not all_settled and graph.steps[key].join is Join.ALL:
        return None
    if not edges or any(
        _goes_on(graph, edge, conditions.state) and conditions.hold(key, number)
        for number, edge in enumerate(edges)
    ):
        return True
    return False if all_settled else None


def _goes_on(graph: Graph, edge: Edge, state: RunState) -> bool:
    """Whether the edge is for how its first step ended."""
    row = state.step(edge.from_step)
    if row.status not in SETTLED:
        return False
    failed = row.status is StepStatus.FAILED
    carried_on = failed and graph.steps[edge.from_step].on_error is OnError.CONTINUE
    return failed if edge.on is EdgeOn.ERROR else row.status in PASSED or carried_on


def _earliest(wake: datetime | None, deadline: datetime | None) -> datetime | None:
    times = [at for at in (wake, deadline) if at is not None]
    return min(times, default=None)


def _bounded(commands: list[Command], running: int) -> list[Command]:
    room = max(MAX_PARALLEL_STEPS - running, 0)
    starts = [c for c in commands if isinstance(c, Start)][:room]
    return [*(c for c in commands if not isinstance(c, Start)), *starts]


def initial(cancel: bool = False) -> RunState:
    """The state of a run that nobody has advanced yet, as a claim hands it out."""
    return RunState(status=RunStatus.RUNNING, cancel=cancel)
