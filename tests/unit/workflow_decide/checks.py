"""What must be true of each answer of `decide`, whatever the state."""

from collections import Counter
from collections.abc import Collection, Sequence
from copy import deepcopy
from datetime import datetime
from typing import Any

import pytest
from headrace.workflow.commands import (
    Cancel,
    Collect,
    Command,
    Compensate,
    Doubt,
    Finish,
    Park,
    Resolve,
    Settle,
    SettleByProbe,
    Skip,
    Start,
)
from headrace.workflow.conditions import ConditionFailed
from headrace.workflow.decide import MAX_PARALLEL_STEPS, decide
from headrace.workflow.document import Ending, StepType
from headrace.workflow.frontier import Frontier
from headrace.workflow.graph import Graph
from headrace.workflow.keys import Part, probe_key, read_key, undo_key
from headrace.workflow.state import (
    ENDED_STEP,
    Message,
    MessageKind,
    ParkReason,
    RunState,
    RunStatus,
    StepState,
    StepStatus,
    WaitKind,
)

from tests.unit.workflow_decide.oracle import evaluate, is_dealt_with, is_ready

_OPEN = {StepStatus.RUNNING, StepStatus.WAITING, StepStatus.UNKNOWN}


def decided(
    frontier: Frontier, state: RunState, now: datetime, running: Collection[str], deadline: datetime | None
) -> Sequence[Command]:
    """The commands, the same by a frontier kept up to date, by it again, and by one made afresh."""
    graph = frontier.graph
    kept = _insides(frontier)
    commands = decide(graph, state, now, running, deadline, evaluate, frontier)
    assert decide(graph, state, now, running, deadline, evaluate, frontier) == commands
    assert _insides(frontier) == kept, "deciding changed something"
    fresh = decide(graph, state, now, running, deadline, evaluate)
    assert _without_order(fresh, state) == _without_order(commands, state)
    _Check(graph, state, now, running, deadline, commands).every()
    return commands


def _insides(frontier: Frontier) -> Any:
    return deepcopy([getattr(frontier, name) for name in vars(frontier) if name != "graph"])


def _without_order(commands: Sequence[Command], state: RunState) -> Counter[Any]:
    """Which of two waits of the same name gets a signal is not said."""
    return Counter(
        (signal, c.status, str(c.output))
        if isinstance(c, Resolve) and (signal := _signal_of(state.step(c.step)))
        else str(c)
        for c in commands
    )


def _in_time(message: Message, row: StepState) -> bool:
    assert message.at is not None
    return row.retry_at is None or message.at < row.retry_at


def _signal_of(row: StepState) -> str | None:
    wait = row.wait or {}
    return str(wait.get("name")) if wait.get("kind") == WaitKind.SIGNAL else None


def undoable(graph: Graph, state: RunState, key: str) -> bool:
    """Whether the row is work that can be undone; a loop is its items."""
    name = read_key(key)
    return name.part is None and graph.undoable(name.step) and state.step(key).items is None


class _Check:
    def __init__(
        self,
        graph: Graph,
        state: RunState,
        now: datetime,
        running: Collection[str],
        deadline: datetime | None,
        commands: Sequence[Command],
    ) -> None:
        self.graph, self.state, self.now, self.running = graph, state, now, running
        self.deadline, self.commands = deadline, commands
        self.late = deadline is not None and now >= deadline
        rows = state.steps.items()
        self.undoable = [key for key, _ in rows if undoable(graph, state, key)]
        self.to_undo = [k for k in self.undoable if state.step(k).status is StepStatus.SUCCESS]
        failed = [k for k in graph.order if state.step(k).status is StepStatus.FAILED]
        fatal = [k for k in failed if not is_dealt_with(graph, state, k)]
        self.fatal = sorted(fatal, key=lambda k: state.step(k).done or (0, 0))
        self.succeeded = any(
            state.step(k).status is StepStatus.SUCCESS and graph.steps[k].type == StepType.SUCCEED
            for k in graph.order
        )
        self.ending = state.cancel or self.late or bool(self.fatal) or self.succeeded

    def every(self) -> None:
        self._alone()
        self._starts()
        self._messages()
        seen = self.state  # skips take effect in the order in which they are commanded
        for command in self.commands:
            match command:
                case Start(key):
                    self._start(seen, key)
                case Skip(key):
                    assert is_ready(self.graph, seen, key) is False
                    assert seen.step(key).status is StepStatus.QUEUED
                case Doubt(key):
                    assert self.state.step(key).in_flight
                case Resolve(key, StepStatus.FAILED, _, error, ()) if (
                    error and error.code == "CONDITION_FAILED"
                ):
                    with pytest.raises(ConditionFailed):
                        is_ready(self.graph, seen, key)
                case Resolve(key):
                    assert self.state.step(key).status in _OPEN
                case Settle(key) | SettleByProbe(key):
                    assert self.state.step(key).status is StepStatus.UNKNOWN
                case Collect(key):
                    self._collect(key)
                case Park():
                    self._park(command)
                case Compensate():
                    self._compensate()
                case Finish(error):
                    self._end(RunStatus.FAILED if error else RunStatus.SUCCESS, error.code if error else None)
                case Cancel(error):
                    self._end(RunStatus.CANCELED, error.code if error else None)

    def _alone(self) -> None:
        if any(isinstance(c, Park | Finish | Cancel | Compensate) for c in self.commands):
            assert len(self.commands) == 1
            assert not self.running
        if not self.commands:
            assert self.running, "nothing is under way, and nothing is to be done"

    def _starts(self) -> None:
        starts = [command.step for command in self.commands if isinstance(command, Start)]
        assert len(set(starts)) == len(starts)
        assert not set(starts) & set(self.running)
        assert len(starts) + len(self.running) <= MAX_PARALLEL_STEPS
        new = [
            k for k in starts if self.state.step(k).status is StepStatus.QUEUED and not k.endswith(".probe")
        ]
        if not self.state.undoing:
            doubts = [k for k, row in self.state.steps.items() if self._nobody_can_answer(k, row)]
            assert not (new and doubts), "something new begins beside a row that nobody can answer for"
        if self.state.pause and not self.state.undoing and not self.ending:
            assert not starts, "a run that pauses begins something"

    def _nobody_can_answer(self, key: str, row: StepState) -> bool:
        if key in self.running:
            return False
        asked = probe_key(key) in self.running or self.state.step(probe_key(key)).status in _OPEN
        asked |= Start(probe_key(key)) in self.commands
        settled = any(isinstance(c, Settle | SettleByProbe) and c.step == key for c in self.commands)
        return row.in_flight or (row.status is StepStatus.UNKNOWN and not asked and not settled)

    def _messages(self) -> None:
        """Each is used once, and for what it is meant."""
        used = [
            (seq, command)
            for command in self.commands
            if isinstance(command, Resolve | Settle)
            for seq in command.inbox
        ]
        assert len({seq for seq, _ in used}) == len(used), "a message is used twice"
        for seq, command in used:
            (message,) = [m for m in self.state.inbox if m.seq == seq]
            if message.kind is MessageKind.SIGNAL:
                assert message.name == _signal_of(self.state.step(command.step))
                assert message.step in (None, command.step)
                assert _in_time(message, self.state.step(command.step))
            else:
                assert message.step == command.step

    def _start(self, seen: RunState, key: str) -> None:
        name, row = read_key(key), seen.step(key)
        assert row.status not in ENDED_STEP
        if name.part is Part.UNDO:
            self._undo(name.work)
            return
        undoing = self.state.undoing is not None
        if (undoing or self.ending) and name.part is None:
            # What was begun and can be undone is asked again before it is undone; nothing else is begun.
            assert row.status is StepStatus.RUNNING or (undoing and row.status is StepStatus.WAITING)
            assert key in self.undoable
        if name.part is Part.PROBE:
            assert seen.step(name.work).status is StepStatus.UNKNOWN
        elif name.index is not None:
            loop = seen.step(name.step)
            assert loop.status is StepStatus.RUNNING
            assert loop.items is not None
            assert name.index < loop.items
            self._concurrency(name.step)
        elif row.status is StepStatus.QUEUED:
            assert is_ready(self.graph, seen, key) is True

    def _concurrency(self, step: str) -> None:
        each = self.graph.steps[step].for_each
        assert each is not None
        begun = {c.step for c in self.commands if isinstance(c, Start)} | set(self.running)
        begun |= {k for k, row in self.state.steps.items() if row.status in _OPEN}
        own = [k for k in map(read_key, begun) if k.step == step and k.index is not None and k.part is None]
        assert len(own) <= each.max_concurrency

    def _undo(self, work: str) -> None:
        """One at a time, when nothing else is under way, and what was done last is undone first."""
        assert self.state.undoing is not None
        assert len(self.commands) == 1
        assert not self.running
        assert work in self.to_undo
        done = self.state.step(work).done
        assert done is not None
        for other in self.to_undo:
            newer = self.state.step(other).done
            assert newer is not None
            assert newer <= done or self.state.step(undo_key(other)).status is StepStatus.FAILED
        assert not self._children()

    def _children(self) -> list[str]:
        """The child runs under way whose work could be undone."""
        return [
            key
            for key in self.undoable
            if self.state.step(key).status is StepStatus.WAITING
            and (self.state.step(key).wait or {}).get("kind") == WaitKind.CHILD
        ]

    def _collect(self, key: str) -> None:
        total = self.state.step(key).items
        assert total is not None
        items = [self.state.step(f"{key}[{n}]") for n in range(total)]
        still = {item.status for item in items if item.status in _OPEN}
        if still:  # nobody waits for what items wait for, once one of them has ended the run
            assert still == {StepStatus.WAITING}
            assert not self.graph.deals_with_any_failure(key)
            assert not self.graph.error_conditions(key)
        over = all(item.status in ENDED_STEP for item in items)
        assert over or any(item.status is StepStatus.FAILED for item in items)

    def _park(self, park: Park) -> None:
        state = self.state
        assert park.resume_at is None or park.resume_at > self.now, "it would come back at once"
        if state.undoing is None:
            assert not self.ending
        if park.reason is ParkReason.PAUSED:
            assert state.pause
            return
        waiting = [(key, row) for key, row in state.steps.items() if row.status is StepStatus.WAITING]
        for key, row in waiting if state.undoing is None else ():
            if park.reason is ParkReason.IN_DOUBT and row.retry_at and self._could_begin(row):
                continue  # its next attempt does not begin beside a row that nobody can answer for
            assert row.retry_at is None or (park.resume_at and park.resume_at <= row.retry_at)
            signals = [m for m in state.inbox if m.kind is MessageKind.SIGNAL and m.step in (None, key)]
            assert _signal_of(row) not in [m.name for m in signals if _in_time(m, row)]
        if self.deadline:
            assert park.resume_at is not None
            assert park.resume_at <= self.deadline

    def _could_begin(self, row: StepState) -> bool:
        """Whether the row's time has come, or its call was approved."""
        assert row.retry_at is not None
        wait = row.wait or {}
        return row.retry_at <= self.now or any(
            message.kind is MessageKind.DECISION
            and wait.get("kind") == WaitKind.GATE
            and self.state.step(message.step or "") is row
            and message.data.get("digest") == wait["digest"]
            and message.data.get("decision") == "APPROVED"
            for message in self.state.inbox
        )

    def _compensate(self) -> None:
        state = self.state
        assert state.undoing is None
        assert self.ending
        assert not [k for k in self.undoable if state.step(k).status is StepStatus.RUNNING], (
            "not answered for"
        )
        assert self._why() in self.graph.compensate_on

    def _why(self) -> Ending | None:
        if self.state.cancel:
            return Ending.CANCEL
        if self.succeeded:
            return None
        if self.fatal:
            error = self.state.step(self.fatal[0]).error
            return Ending.REJECTION if error and error.code == "REJECTED" else Ending.FAILURE
        return Ending.FAILURE if self.late else None

    def _end(self, status: RunStatus, code: str | None) -> None:
        state, undoing = self.state, self.state.undoing
        if undoing is not None:
            wanted = RunStatus.FAILED if code == "COMPENSATION_FAILED" else undoing.outcome
            assert status in (wanted, undoing.outcome)
            left = [k for k in self.to_undo if state.step(undo_key(k)).status is not StepStatus.FAILED]
            assert not left, f"{left} were not undone"
            assert bool(self.to_undo) == (code == "COMPENSATION_FAILED")
            assert not self._children()
            if undoing.outcome is not RunStatus.SUCCESS:
                assert not [k for k in self.undoable if state.step(k).status is StepStatus.UNKNOWN]
            return
        if status is RunStatus.SUCCESS:
            assert not state.cancel
            assert self.succeeded or not self.fatal
            return
        assert (status is RunStatus.CANCELED) == state.cancel
        assert self.ending
        assert state.cancel or not self.succeeded, "it reached its success, and fails"
        if self._why() in self.graph.compensate_on:
            maybe = (StepStatus.SUCCESS, StepStatus.RUNNING, StepStatus.UNKNOWN)
            left = [k for k in self.undoable if state.step(k).status in maybe]
            assert not left, f"{left} are not undone"
