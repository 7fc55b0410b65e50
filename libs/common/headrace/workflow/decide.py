"""What to do next with a run: `decide`, a pure function of the graph, the run's state and the time.

It is the twin of `headrace.workflow.state.fold`: the engine does what `decide` says, folds the events that
come of it, and asks again, until the answer is to leave.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from headrace.json_types import JsonObject
from headrace.workflow.conditions import holds
from headrace.workflow.document import Edge, OnError
from headrace.workflow.graph import Graph
from headrace.workflow.state import (
    Failure,
    ParkReason,
    RunState,
    RunStatus,
    StepState,
    StepStatus,
)

# How many steps of one run are executed side by side by its runner.
MAX_PARALLEL_STEPS = 20


@dataclass(frozen=True, slots=True)
class Start:
    """Begin, or begin again, a step's next attempt."""

    step: str


@dataclass(frozen=True, slots=True)
class Skip:
    """No edge into the step was taken."""

    step: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """An unsafe call of this step was announced by an earlier claim and never answered for."""

    step: str


@dataclass(frozen=True, slots=True)
class Park:
    """Leave the run; `resume_at` None means that only a person (or a cancel) brings it back.

    It never lies behind the run's time limit, which counts waits too.
    """

    reason: ParkReason
    resume_at: datetime | None


@dataclass(frozen=True, slots=True)
class Finish:
    """The run ends: SUCCESS without `error`, FAILED with it."""

    error: Failure | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """The run ends because a person asked."""


Command: TypeAlias = Start | Skip | Doubt | Park | Finish | Cancel

_PASSED = frozenset({StepStatus.SUCCESS, StepStatus.CACHED})
_SETTLED = _PASSED | {StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.CANCELED}


def decide(
    graph: Graph,
    state: RunState,
    now: datetime,
    running: Collection[str] = (),
    deadline: datetime | None = None,
) -> Sequence[Command]:
    """The commands that follow from `state` at `now`; empty while `running` steps have to be waited for.

    `running` are the steps that this very runner has under way. A step that the state calls RUNNING and
    that is not among them was begun by an earlier claim. `Park`, `Finish` and `Cancel` come alone, and only
    when nothing is running.
    """
    # Before all else, an end included: that the run is over does not tell whether the call arrived.
    doubts = [
        Doubt(key)
        for key in graph.order
        if state.step(key).in_flight and key not in running and state.step(key).status is StepStatus.RUNNING
    ]
    if doubts:
        return doubts
    ending = _ending(graph, state, now, deadline)
    if ending:
        return () if running else (ending,)
    commands: list[Command] = []
    statuses = {key: state.step(key).status for key in graph.order}
    wake: list[datetime] = []
    in_doubt = False
    for key in graph.order:
        step = state.step(key)
        if key in running:
            continue
        match step.status:
            case StepStatus.QUEUED:
                verdict = _ready(graph, key, state, statuses)
                if verdict is True:
                    commands.append(Start(key))
                elif verdict is False:
                    statuses[key] = StepStatus.SKIPPED
                    commands.append(Skip(key))
            case StepStatus.RUNNING:
                commands.append(Start(key))
            case StepStatus.WAITING:
                if step.retry_at is None or step.retry_at <= now:
                    commands.append(Start(key))
                else:
                    wake.append(step.retry_at)
            case StepStatus.UNKNOWN:
                in_doubt = True
            case _:
                pass
    if in_doubt:  # nothing new beside a step that nobody can answer for
        return () if running else (Park(ParkReason.IN_DOUBT, deadline),)
    if commands:
        return _bounded(commands, len(running))
    if running:
        return ()
    if wake:
        return (Park(ParkReason.RETRY, min(wake if deadline is None else [*wake, deadline])),)
    return (Finish(),)


def _ending(graph: Graph, state: RunState, now: datetime, deadline: datetime | None) -> Command | None:
    """Why the run ends before its steps do, if it does."""
    if state.cancel:
        return Cancel()  # rule claim_tells_cancel: a runner that knows of it starts no call and no park
    for key in graph.order:
        step = state.step(key)
        if step.status is StepStatus.FAILED and graph.steps[key].on_error is OnError.FAIL:
            reason = step.error or Failure("STEP_FAILED", "the step failed")
            return Finish(Failure(reason.code, f"step {key} failed: {reason.message}"))
    if deadline is not None and now >= deadline:
        return Finish(Failure("RUN_TIMEOUT", "the run passed its time limit"))
    return None


def _ready(graph: Graph, key: str, state: RunState, statuses: dict[str, StepStatus]) -> bool | None:
    """True: begin; False: skip; None: something upstream has not settled."""
    edges = graph.incoming[key]
    if any(statuses[edge.from_step] not in _SETTLED for edge in edges):
        return None
    return not edges or any(_taken(graph, edge, state, statuses) for edge in edges)


def _taken(graph: Graph, edge: Edge, state: RunState, statuses: dict[str, StepStatus]) -> bool:
    status = statuses[edge.from_step]
    carried_on = status is StepStatus.FAILED and graph.steps[edge.from_step].on_error is OnError.CONTINUE
    if status not in _PASSED and not carried_on:
        return False
    return edge.when is None or holds(edge.when, upstream(state.step(edge.from_step)))


def upstream(step: StepState) -> JsonObject:
    """A step as conditions and expressions see it."""
    return {
        "output": step.output,
        "status": step.status.value,
        "error": step.error.as_json() if step.error else None,
    }


def _bounded(commands: list[Command], running: int) -> list[Command]:
    room = MAX_PARALLEL_STEPS - running
    starts = [c for c in commands if isinstance(c, Start)][: max(room, 0)]
    return [*(c for c in commands if not isinstance(c, Start)), *starts]


def initial(cancel: bool = False) -> RunState:
    """The state of a run that nobody has advanced yet, as a claim hands it out."""
    return RunState(status=RunStatus.RUNNING, cancel=cancel)
