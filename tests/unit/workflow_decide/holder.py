"""The holder of a claim: what the runner's engine does with the commands of `decide`, without the calls.

It writes and folds events as `engine`, `execution` and `attempt_ends` of `headrace_runner` do. What comes of a call,
and whatever else chance decides, is the `answer` to a question: the first option is the benign one.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from headrace.ids import new_id
from headrace.workflow.commands import (
    Cancel,
    Collect,
    Command,
    Compensate,
    Doubt,
    Finish,
    Park,
    Remind,
    Resolve,
    Settle,
    SettleByProbe,
    Skip,
    Start,
)
from headrace.workflow.conditions import holds, upstream
from headrace.workflow.document import Approval, Step, StepType
from headrace.workflow.fold import Change, fold
from headrace.workflow.frontier import Frontier
from headrace.workflow.graph import Graph
from headrace.workflow.keys import Part, RowKey, probe_key, read_key
from headrace.workflow.state import (
    EventKind,
    MessageKind,
    ParkReason,
    RunState,
    StepStatus,
    WaitKind,
)
from headrace.workflow.undo import may_be_done, unanswered
from headrace_runner.loops import collected
from headrace_runner.rows import step_of

from tests.unit.workflow_decide.oracle import is_dealt_with

T = TypeVar("T")

ERROR = {"code": "E", "message": "it failed"}
LOST = {"code": "TIMEOUT", "message": "nobody answered"}
# The longest delay between two attempts for which a run is not parked, in seconds.
_SHORT = 5


class Around(Protocol):
    """What a holder sees of the world."""

    graph: Graph
    now: datetime
    deadline: datetime | None
    unsafe: frozenset[str]
    gated: frozenset[str]

    def answer(self, *options: T) -> T: ...

    def write(self, kind: EventKind, step: str | None, data: dict[str, Any]) -> tuple[int, int]: ...

    def confirm(self) -> None: ...

    def called(self, key: str) -> None: ...

    def allows(self, key: str, digest: str, approved: bool, begun: bool, unattended: bool) -> bool: ...

    def decided(self, holder: "Holder", deadline: datetime | None) -> Sequence[Command]: ...

    def folded(self, before: RunState, change: Change, after: RunState) -> None: ...


class Holder:
    """`running` are the rows under way, and whether their attempt was announced. `left`: the claim is over."""

    def __init__(self, world: Around, state: RunState) -> None:
        self.world, self.graph, self.state = world, world.graph, state
        self.frontier = Frontier(world.graph, state)
        self.running: dict[str, bool] = {}
        self._unanswered: set[str] = set()
        self.draining = self.left = self._late = False
        self._despite_cancel = state.undoing is not None

    def turn(self) -> bool:
        """Decide and do; whether there is nothing to do now but wait."""
        now = self.world.now
        deadline = None if self.state.undoing else self.world.deadline
        if deadline and now >= deadline and not self._late:
            self._late = True
            self.running.clear()
            for key, row in self.state.steps.items():
                if row.in_flight:
                    self._doubt(key)
        commands = self.world.decided(self, deadline)
        hand_back = self.draining and not (self.state.cancel and not self.state.undoing)
        waits = True
        for command in commands:
            if isinstance(command, Start):
                self._despite_cancel |= self.state.cancel
                if not hand_back:
                    waits &= self._start(command.step)
            else:
                self._carry_out(command)
                waits = False
        if hand_back and not self.running and waits:
            self._park(ParkReason.HANDED_BACK, now)
        return waits and not self.left

    def hear(self, cancel: bool, pause: bool, inbox: RunState) -> None:
        """A heartbeat's news: the flags, and the messages above those that are known."""
        new = [message for message in inbox.inbox if message.seq > self.state.inbox_seen]
        seen = new[-1].seq if new else self.state.inbox_seen
        state = self.state._replace(cancel=self.state.cancel or cancel, pause=pause)
        self.state = state._replace(inbox=(*state.inbox, *new), inbox_seen=seen)

    def _carry_out(self, command: Command) -> None:
        match command:
            case Skip(key):
                self.emit(EventKind.COMPLETED, key, {"status": "SKIPPED"})
            case Doubt(key):
                self._doubt(key)
            case Resolve(key, status, output, error, inbox):
                data = {"status": status, "output": output, "error": error.as_json() if error else None}
                self.emit(EventKind.COMPLETED, key, data | ({"inbox": list(inbox)} if inbox else {}))
            case Remind(key, again):
                self.emit(EventKind.REMINDED, key, {"remindAt": again.isoformat()})
            case Settle(key, status, output, error, _, inbox):
                data = {"status": status, "inbox": list(inbox)}
                if status is StepStatus.SUCCESS:
                    data["output"] = output
                if status is StepStatus.FAILED:
                    data["error"] = error.as_json() if error else ERROR
                self.emit(EventKind.SETTLED, key, data)
            case SettleByProbe(key):
                self._settle_by_probe(key)
            case Collect(key):
                output, error = collected(self.graph.steps[key], self.state)
                done = {"status": "FAILED", "error": error.as_json()} if error else {"status": "SUCCESS"}
                self.emit(EventKind.COMPLETED, key, done | ({} if error else {"output": output}))
            case Compensate(undoing):
                self._despite_cancel = True
                self.emit(EventKind.COMPENSATING, None, undoing.as_json())
            case Park(reason, resume_at):
                self._park(reason, resume_at)
            case Finish(error):
                data = {"status": "FAILED", "error": error.as_json()} if error else {"status": "SUCCESS"}
                self._leave(EventKind.FINISHED, data)
            case Cancel(error):
                self._leave(EventKind.CANCELED, {"error": error.as_json()} if error else {})

    def _settle_by_probe(self, key: str) -> None:
        probe = self.graph.steps[read_key(key).step].probe
        assert probe is not None
        row = self.state.step(probe_key(key))
        if holds(probe.done, upstream(row)):
            self.emit(EventKind.SETTLED, key, {"status": "SUCCESS", "output": row.output})
        else:
            self.emit(EventKind.SETTLED, key, {"status": "QUEUED"})

    def _doubt(self, key: str) -> None:
        data = {"status": "UNKNOWN", "attempt": self._attempt(key, "UNKNOWN"), "error": ERROR}
        self.emit(EventKind.COMPLETED, key, data)

    # -- steps ---------------------------------------------------------------------------------------------

    def _start(self, row: str) -> bool:
        """Begin a row; whether there is something to wait for."""
        key = read_key(row)
        step = self.graph.steps[key.step]
        if step.for_each is not None and key.index is None and key.part is None:
            self._expand(row, step)
            return False
        if may_be_done(self.state.step(row)):
            self._unanswered.add(row)
        if self.world.answer(True, True, False):
            self._begin(row)
        else:  # its input is being made
            self.running[row] = False
        return row in self.running

    def _expand(self, row: str, step: Step) -> None:
        assert step.for_each is not None
        if self.world.answer(False, False, False, False, True):  # the list can not be rendered
            self.emit(EventKind.COMPLETED, row, {"status": "FAILED", "error": ERROR})
        else:
            items = step.for_each.items
            assert isinstance(items, list)
            self.emit(EventKind.STARTED, row, {"attempt": 1, "unsafe": False, "items": len(items)})

    def _begin(self, row: str) -> None:
        """Prepare: it fails, waits, or is attempted."""
        self.running.pop(row, None)
        key = read_key(row)
        step = step_of(self.graph, key)
        if wait := self._wait_of(key, step):
            self.emit(EventKind.WAITING, row, {"wait": wait})
        elif step.type == StepType.FAIL or self.world.answer(False, False, False, False, False, True):
            self.emit(EventKind.COMPLETED, row, {"status": "FAILED", "error": ERROR})
        elif (passed := self._permitted(key, step)) is None:
            return
        else:
            self._announce(row, step, passed)

    def _permitted(self, key: RowKey, step: Step) -> dict[str, Any] | None:
        """What `started` says of a call that the policy lets by; None: a person is asked, and the row waits."""
        row, digest = str(key), self.world.answer("this", "this", "this", "this", "another")
        if step.type != StepType.ACTION or key.step not in self.world.gated:
            return {}
        said = [m for m in self.state.inbox if m.kind is MessageKind.DECISION and m.step == row]
        used = {"inbox": [m.seq for m in said]} if said else {}
        before = self.state.step(row)
        begun = before.status is StepStatus.RUNNING or before.attempts > 0 or unanswered(before)
        ending = self.state.cancel or self.state.undoing is not None
        unattended = key.part is not None or (begun and ending)
        approved = any(m.data == {"decision": "APPROVED", "digest": digest} for m in said)
        if (approved or begun or unattended) and self.world.allows(row, digest, approved, begun, unattended):
            return {**used, "approval": {"by": "me", "digest": digest}} if used else {}
        wait = {"kind": WaitKind.GATE, "digest": digest, "until": self._after(40_000)}
        self.emit(EventKind.WAITING, row, {"wait": self._told_on(row, wait), **used})
        return None

    def _told_on(self, row: str, wait: dict[str, Any]) -> dict[str, Any]:
        return {**wait, "unanswered": True} if row in self._unanswered else wait

    def _wait_of(self, key: RowKey, step: Step) -> dict[str, Any] | None:
        match step.type:
            case StepType.WAIT:
                assert step.wait is not None
                return {"kind": WaitKind.TIMER, "until": self._after(step.wait.for_ms)}
            case StepType.APPROVAL:
                asked = step.approval or Approval()
                return {
                    "kind": WaitKind.APPROVAL,
                    "default": asked.default,
                    "until": self._after(asked.deadline_ms),
                    "remindEveryMs": asked.remind_every_ms,
                    "remindAt": self._after(asked.remind_every_ms),
                }
            case StepType.SIGNAL:
                assert step.signal is not None
                return {
                    "kind": WaitKind.SIGNAL,
                    "name": step.signal.name or key.step,
                    "until": self._after(step.signal.deadline_ms),
                    "default": step.signal.default,
                }
            case StepType.WORKFLOW:
                undoes = {"undoes": key.work} if key.part is Part.UNDO else {}
                ids = {"runId": str(new_id()), "versionId": str(new_id())}
                return {"kind": WaitKind.CHILD, **ids, **undoes}
        return None

    def _announce(self, row: str, step: Step, passed: dict[str, Any]) -> None:
        """An attempt begins, unless a limit holds it up, the claim is not to call any more, or a `succeed` step comes
        too late."""
        failed = [k for k in self.frontier.failed if not is_dealt_with(self.graph, self.state, k)]
        if step.type == StepType.SUCCEED and (failed or self.frontier.succeeded):
            self.running.pop(row, None)
            return
        calls = step.type == StepType.ACTION
        if calls and self.world.answer(*[False] * 7, True):
            wait = {"kind": WaitKind.BLOCKED, "until": self._after(self.world.answer(1_000, 30_000))}
            self.emit(EventKind.WAITING, row, {"wait": self._told_on(row, wait)})
            self.running.pop(row, None)
            return
        number = self.state.step(row).attempts + 1
        unsafe = calls and row.split("[")[0].split(".")[0] in self.world.unsafe and not row.endswith(".probe")
        self.emit(EventKind.STARTED, row, {"attempt": number, "unsafe": unsafe, **passed})
        if calls:
            self.world.confirm()
            if self.state.cancel and not self._despite_cancel:
                self.running.pop(row, None)
                return
            self.world.called(row)
        self.running[row] = True
        if not calls:
            self.end_of_attempt(row)

    def end_of_attempt(self, row: str) -> None:
        """What was under way comes a step further."""
        if not self.running[row]:
            self._begin(row)
            return
        key = read_key(row)
        step = step_of(self.graph, key)
        unsafe = self.state.step(row).in_flight
        again = ["AGAIN", "LATER"] if step.type == StepType.ACTION else []
        outcome = self.world.answer("SUCCESS", "SUCCESS", "SUCCESS", "FAILED", *again, *["UNKNOWN"] * unsafe)
        made = {"n": self.world.answer(1, 2), "row": row}
        match outcome:
            case "SUCCESS" if step.repeat is not None and made["n"] <= 1:
                self._next_round(row, step.repeat.every_ms / 1000, step.repeat.max)
            case "AGAIN" | "LATER":
                data = {"attempt": self._attempt(row, "FAILED"), "error": self.world.answer(ERROR, LOST)}
                if data["error"] == LOST:
                    self._unanswered.add(row)
                seconds = 1 if outcome == "AGAIN" else self.world.answer(10, 50)
                if self._later(row, seconds, data) and not self._stopping():
                    self._announce(row, step, {})
                else:
                    del self.running[row]
            case _:
                data = {"status": outcome, "attempt": self._attempt(row, outcome)}
                data |= {"output": made} if outcome == "SUCCESS" else {"error": ERROR}
                self.emit(EventKind.COMPLETED, row, data)
                del self.running[row]

    def _next_round(self, row: str, seconds: float, most: int) -> None:
        rounds = self.state.step(row).round + 1
        self._unanswered.discard(row)
        attempt = self._attempt(row, "SUCCESS")
        if rounds >= most:
            data = {"status": "FAILED", "attempt": attempt, "error": ERROR}
            self.emit(EventKind.COMPLETED, row, data)
        else:
            self._later(row, seconds, {"attempt": attempt, "round": rounds})
        del self.running[row]

    def _later(self, row: str, seconds: float, data: dict[str, Any]) -> bool:
        """Whether the delay is waited for here."""
        here = seconds <= _SHORT and not self._stopping()
        if not here:
            data["retryAt"] = (self.world.now + timedelta(seconds=seconds)).isoformat()
            if row in self._unanswered:
                data["unanswered"] = True
        self.emit(EventKind.ATTEMPTED, row, data)
        return here

    def _stopping(self) -> bool:
        canceled = self.state.cancel and not self._despite_cancel
        return canceled or self.draining or self.state.pause

    def _attempt(self, row: str, outcome: str) -> dict[str, Any]:
        number = self.state.step(row).attempts + 1
        return {
            "number": number,
            "outcome": outcome,
            "startedAt": self.world.now.isoformat(),
            "durationMs": 1,
        }

    def _after(self, milliseconds: int | None) -> str | None:
        if milliseconds is None:
            return None
        return (self.world.now + timedelta(milliseconds=milliseconds)).isoformat()

    # -- events --------------------------------------------------------------------------------------------

    def _park(self, reason: ParkReason, resume_at: datetime | None) -> None:
        data: dict[str, Any] = {"reason": reason, "inboxSeen": self.state.inbox_seen}
        self._leave(EventKind.PARKED, data | ({"resumeAt": resume_at.isoformat()} if resume_at else {}))

    def _leave(self, kind: EventKind, data: dict[str, Any]) -> None:
        self.emit(kind, None, data)
        self.left = True

    def emit(self, kind: EventKind, step: str | None, data: dict[str, Any]) -> None:
        before = self.state
        change = Change(kind, step, data, self.world.write(kind, step, data))
        self.state = fold(before, change)
        if step:
            self.frontier.changed(step, self.state)
        self.world.folded(before, change, self.state)
