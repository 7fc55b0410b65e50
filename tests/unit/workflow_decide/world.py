"""One run, advanced to its end by `decide` and `fold`, amid whatever may happen to it.

What happens is a list of numbers: each is the answer to the next question (which step ends? how? does the
runner die here?). When the list is used up, every answer is the benign one, so the run has to end.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from headrace.ids import new_id
from headrace.messages import Event
from headrace.workflow.commands import Cancel, Command, Doubt, Finish, Park, Skip, Start
from headrace.workflow.conditions import holds
from headrace.workflow.decide import MAX_PARALLEL_STEPS, decide, initial, upstream
from headrace.workflow.document import OnError
from headrace.workflow.graph import Graph
from headrace.workflow.state import (
    ENDED_RUN,
    ENDED_STEP,
    MOVES_OF_RUN,
    MOVES_OF_STEP,
    Change,
    EventKind,
    ParkReason,
    RunState,
    RunStatus,
    StepState,
    StepStatus,
    fold,
)

from tests.unit.workflow_decide.table import Table

T = TypeVar("T")

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
MOST_TURNS = 500
_ERROR = {"code": "E", "message": "it failed"}
_SETTLED = {StepStatus.SUCCESS, StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.CACHED}


class World:
    """`unsafe` are the calls that can not be repeated; `deadline` is the run's time limit."""

    def __init__(
        self, graph: Graph, answers: Sequence[int], unsafe: frozenset[str], deadline: datetime | None
    ) -> None:
        self.graph, self.unsafe, self.deadline = graph, unsafe, deadline
        self._answers = iter(answers)
        self.now = BEGIN
        self.table = Table(new_id(), new_id())
        self.partition: list[Event] = []  # confirmed, or arrived all the same
        self._applied = 0
        self._written: list[Event] = []  # not confirmed yet
        self._seq = 0
        self.state = initial()
        self.running: set[str] = set()
        self._draining = self._left = False
        self.calls: list[str] = []
        self.last_park: Park | None = None

    # -- the story -----------------------------------------------------------------------------------------

    def live(self) -> None:
        """Advance the run until it has ended."""
        self._claim()
        for _ in range(MOST_TURNS):
            if self.state.status in ENDED_RUN:
                self._apply(len(self.partition))
                return
            if self._left:
                self._come_back()
            elif self._turn():
                self._something_happens()
        raise AssertionError("the run does not end")

    def _claim(self) -> None:
        """Any runner, the first or the next: barrier if it is a take-over, then the checkpoint."""
        takeover = self.table.claim()
        self._seq, self._written, self.running = 0, [], set()
        self._draining = self._left = False
        if takeover:
            self._write(EventKind.CLAIMED, None, {})
            self._confirm()
        self._apply(len(self.partition))
        self._check_checkpoint()
        self.state = self.table.checkpoint()

    def _turn(self) -> bool:
        """The engine's turn; whether there is nothing left to do but wait."""
        if self.deadline and self.now >= self.deadline:
            self.running.clear()  # the engine stops its steps
        commands = decide(self.graph, self.state, self.now, set(self.running), self.deadline)
        self._check_commands(commands)
        waits = True
        for command in commands:
            match command:
                case Start(key):
                    if not self._draining:
                        self._start(key)
                case Skip(key):
                    self._emit(EventKind.COMPLETED, key, {"status": "SKIPPED"})
                    waits = False
                case Doubt(key):
                    self._emit(EventKind.COMPLETED, key, {"status": "UNKNOWN", "error": _ERROR})
                    waits = False
                case Park(reason, resume_at):
                    self.last_park = command
                    self._park(reason, resume_at)
                case Finish(error):
                    data = {"status": "FAILED", "error": error.as_json()} if error else {"status": "SUCCESS"}
                    self._emit(EventKind.FINISHED, None, data)
                    self._confirm()
                case Cancel():
                    self._emit(EventKind.CANCELED, None, {})
                    self._confirm()
        over = self._left or self.state.status in ENDED_RUN
        if self._draining and not self.running and waits and not over:
            self.last_park = Park(ParkReason.HANDED_BACK, self.now)
            self._park(ParkReason.HANDED_BACK, self.now)
        return waits and not over and not self._left

    def _something_happens(self) -> None:
        happening = self._answer("end", "end", "end", "crash", "cancel", "tell", "later", "late", "drain")
        match happening:
            case "crash":
                arrived = self._answer(*range(len(self._written) + 1))
                self.partition += self._written[:arrived]
                self._claim()
            case "cancel":
                self.table.cancel_requested = True
            case "tell" if self.table.cancel_requested:
                self.state = replace(self.state, cancel=True)
            case "later":
                self.now += timedelta(seconds=self._answer(1, 10, 100))
            case "late":
                self._apply(self._answer(*range(self._applied, len(self.partition) + 1)))
            case "drain":
                self._draining = True
            case _ if self.running:
                self._end_of_attempt(self._answer(*sorted(self.running)))
            case _:
                self.now += timedelta(seconds=1)

    def _come_back(self) -> None:
        """The run is parked. Its time comes, or a person does."""
        assert self.last_park is not None
        self._apply(len(self.partition))
        doubted = [key for key in self.graph.order if self.state.step(key).status is StepStatus.UNKNOWN]
        settles = self.last_park.reason is ParkReason.IN_DOUBT and self._answer(True, True, False)
        if self._answer(False, False, True) or not (settles or self.last_park.resume_at):
            self.table.cancel_requested = True
        elif not settles and self.last_park.resume_at:
            self.now = max(self.now, self.last_park.resume_at)
        self._claim()
        if settles and not self.state.cancel:
            for key in doubted:
                settled = self._answer("SUCCESS", "FAILED")
                self._emit(EventKind.COMPLETED, key, {"status": settled, "output": {"n": 2}})

    # -- steps ---------------------------------------------------------------------------------------------

    def _start(self, key: str) -> None:
        if self._answer(False, False, False, True):  # its input can not be rendered
            self._emit(EventKind.COMPLETED, key, {"status": "FAILED", "error": _ERROR})
            return
        self._announce(key)
        if self.graph.steps[key].type == "transform":
            self._emit(
                EventKind.COMPLETED,
                key,
                {"status": "SUCCESS", "output": {"n": 1}, "attempt": self._attempt(key, "SUCCESS")},
            )
        else:
            self.running.add(key)

    def _announce(self, key: str) -> None:
        number = self.state.step(key).attempts + 1
        self._emit(EventKind.STARTED, key, {"attempt": number, "unsafe": key in self.unsafe})
        if self.graph.steps[key].type == "action":
            self._confirm()
            self._check_call(key)
            self.calls.append(key)

    def _end_of_attempt(self, key: str) -> None:
        outcomes = ["SUCCESS", "SUCCESS", "FAILED", "AGAIN", "LATER"] + ["UNKNOWN"] * (key in self.unsafe)
        outcome = self._answer(*outcomes)
        match outcome:
            case "AGAIN" | "LATER":
                data: dict[str, Any] = {"attempt": self._attempt(key, "FAILED"), "error": _ERROR}
                if outcome == "LATER" or self.state.cancel or self._draining:
                    data["retryAt"] = (self.now + timedelta(seconds=self._answer(0, 5, 50))).isoformat()
                self._emit(EventKind.ATTEMPTED, key, data)
                if "retryAt" in data:
                    self.running.discard(key)
                else:
                    self._announce(key)
            case _:
                data = {"status": outcome, "attempt": self._attempt(key, outcome)}
                if outcome == "SUCCESS":
                    data["output"] = {"n": self._answer(1, 2)}
                else:
                    data["error"] = _ERROR
                self._emit(EventKind.COMPLETED, key, data)
                self.running.discard(key)

    def _attempt(self, key: str, outcome: str) -> dict[str, Any]:
        return {
            "number": self.state.step(key).attempts + 1,
            "outcome": outcome,
            "startedAt": self.now.isoformat(),
            "durationMs": 1,
        }

    # -- events --------------------------------------------------------------------------------------------

    def _park(self, reason: ParkReason, resume_at: datetime | None) -> None:
        data = {"reason": str(reason)} | ({"resumeAt": resume_at.isoformat()} if resume_at else {})
        self._emit(EventKind.PARKED, None, data)
        self._confirm()
        self._left = True

    def _emit(self, kind: EventKind, step: str | None, data: dict[str, Any]) -> None:
        before = self.state
        self.state = fold(before, Change(kind, step, data))
        _check_moves(before, self.state)
        self._write(kind, step, data)

    def _write(self, kind: EventKind, step: str | None, data: dict[str, Any]) -> None:
        self._seq += 1
        table = self.table
        self._written.append(
            Event(table.tenant_id, table.run_id, table.epoch, self._seq, kind, self.now, step, data)
        )

    def _confirm(self) -> None:
        self.partition += self._written
        self._written = []

    def _apply(self, up_to: int) -> None:
        """The reporter catches up, in batches of any size; what it has applied may come again."""
        while self._applied < up_to:
            end = self._answer(up_to, *range(self._applied + 1, up_to + 1))
            begin = self._answer(self._applied, *range(self._applied))
            self.table.apply(self.partition[begin:end], self.now)
            self._applied = end

    def _answer(self, *options: T) -> T:
        """The next answer; the first option is the benign one."""
        return options[next(self._answers, 0) % len(options)] if len(options) > 1 else options[0]

    # -- what must hold ------------------------------------------------------------------------------------

    def _check_commands(self, commands: Sequence[Command]) -> None:
        assert commands == decide(self.graph, self.state, self.now, set(self.running), self.deadline)
        starts = [command.step for command in commands if isinstance(command, Start)]
        over = self.deadline is not None and self.now >= self.deadline
        seen = self.state  # skips take effect in the order in which they are commanded
        for command in commands:
            match command:
                case Park() | Finish() | Cancel():
                    assert len(commands) == 1
                    assert not self.running
                    if isinstance(command, Park):
                        assert not self.state.cancel
                        assert not over
                        assert command.resume_at or not self.deadline
                        assert not self.deadline or command.resume_at <= self.deadline
                case Start(key):
                    assert not self.state.cancel
                    assert not over
                    assert _is_ready(self.graph, seen, key) is True
                case Skip(key):
                    assert _is_ready(self.graph, seen, key) is False
                    assert seen.step(key).status is StepStatus.QUEUED
                    seen = replace(seen, steps=seen.steps.insert(key, StepState(StepStatus.SKIPPED)))
                case Doubt(key):
                    assert self.state.step(key).in_flight
        doubtful = any(s.in_flight or s.status is StepStatus.UNKNOWN for s in self._steps_at_rest())
        assert not (starts and doubtful), "something new begins beside a step that nobody can answer for"
        assert len(set(starts)) == len(starts)
        assert not set(starts) & self.running
        assert len(starts) + len(self.running) <= MAX_PARALLEL_STEPS

    def _steps_at_rest(self) -> list[StepState]:
        return [step for key, step in self.state.steps.items() if key not in self.running]

    def _check_call(self, key: str) -> None:
        """Nothing that was reported is called again; nothing that can not be repeated is called in doubt."""
        about = [event for event in self.partition if event.step == key]
        ended = [e for e in about if e.kind is EventKind.COMPLETED and e.data["status"] in ENDED_STEP]
        assert not ended, f"{key} was reported and is called again"
        if key in self.unsafe and len(about) > 1:
            assert about[-2].kind is not EventKind.STARTED, f"{key} is called again while it is in doubt"

    def _check_checkpoint(self) -> None:
        """Everything was applied: the table says what folding the partition says."""
        folded = initial()
        for event in self.partition:
            folded = fold(folded, Change(event.kind, event.step, event.data))
        same_as(self.table, folded)


def same_as(table: Table, folded: RunState) -> None:
    """The step rows are the folded steps."""
    assert set(table.steps) == set(folded.steps)
    for key, row in table.steps.items():
        step = folded.steps[key]
        assert (row.status, row.attempts, row.in_flight) == (step.status, step.attempts, step.in_flight), key
        if row.status in _SETTLED:
            assert row.output == step.output
            assert row.error == (step.error.as_json() if step.error else None)
        if row.status is StepStatus.WAITING:
            assert row.retry_at == step.retry_at


def _check_moves(before: RunState, after: RunState) -> None:
    if after.status is not before.status:
        assert after.status in MOVES_OF_RUN[before.status]
    for key, step in after.steps.items():
        old, new = before.step(key).status, step.status
        # A step whose start travels with its end passes through RUNNING within one event.
        steps = [MOVES_OF_STEP[old], MOVES_OF_STEP[StepStatus.RUNNING] if old != StepStatus.RUNNING else ()]
        through = StepStatus.RUNNING in steps[0] and new in steps[1]
        assert old is new or new in steps[0] or through, f"{key}: {old} became {new}"


def _is_ready(graph: Graph, state: RunState, key: str) -> bool | None:
    """An oracle of its own: True begin, False skip, None wait."""
    edges = graph.incoming[key]
    statuses = [state.step(edge.from_step).status for edge in edges]
    if not all(status in _SETTLED for status in statuses):
        return None
    return not edges or any(_is_taken(graph, state, edge) for edge in edges)


def _is_taken(graph: Graph, state: RunState, edge: Any) -> bool:
    step = state.step(edge.from_step)
    goes_on = step.status is StepStatus.SUCCESS or (
        step.status is StepStatus.FAILED and graph.steps[edge.from_step].on_error is OnError.CONTINUE
    )
    return goes_on and (edge.when is None or holds(edge.when, upstream(step)))


def check_end(world: World) -> None:
    """The end is explained by what happened, every step has its due, and nothing can change it any more."""
    graph, state, table = world.graph, world.state, world.table
    same_as(table, state)
    assert table.status is state.status
    match state.status:
        case RunStatus.SUCCESS:
            for key in graph.order:
                expected = _is_ready(graph, state, key)
                status = state.step(key).status
                assert status in _SETTLED
                assert (status is StepStatus.SKIPPED) == (expected is False), f"{key} is {status}"
                assert status is not StepStatus.FAILED or graph.steps[key].on_error is OnError.CONTINUE
        case RunStatus.FAILED:
            failed = [key for key in graph.order if state.step(key).status is StepStatus.FAILED]
            fatal = any(graph.steps[key].on_error is OnError.FAIL for key in failed)
            late = world.deadline is not None and world.now >= world.deadline
            assert fatal or late
            assert state.error is not None
        case _:
            assert state.status is RunStatus.CANCELED
            assert table.cancel_requested
    for key, step in state.steps.items():
        over = step.status in ENDED_STEP or step.status is StepStatus.UNKNOWN  # in doubt, for ever
        assert over, f"{key} is {step.status} in a run that ended"
    before = (dict(table.steps), table.status, table.fence)
    for event in world.partition:
        assert fold(state, Change(event.kind, event.step, event.data)) is state
        table.apply([event], world.now)
    table.apply(list(reversed(world.partition)), world.now)
    assert (table.steps, table.status, table.fence) == before
