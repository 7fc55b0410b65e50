"""One run, advanced to its end by `decide` and `fold`, amid whatever may happen to it.

What happens is a list of numbers: each is the answer to the next question (which step ends? how? does the
runner die here? does somebody send a signal?). When the list is used up, every answer is the benign one, so the run
has to end.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from headrace.ids import new_id
from headrace.messages import Event
from headrace.workflow.commands import Command
from headrace.workflow.fold import Change, fold
from headrace.workflow.graph import Graph
from headrace.workflow.history import rebuilt
from headrace.workflow.keys import Part, read_key
from headrace.workflow.state import (
    ENDED_RUN,
    MOVES_OF_RUN,
    MOVES_OF_STEP,
    EventKind,
    MessageKind,
    RunState,
    RunStatus,
    StepStatus,
    WaitKind,
)
from headrace_reporter.changes import StepRow

from tests.unit.workflow_decide.checks import decided
from tests.unit.workflow_decide.holder import Holder
from tests.unit.workflow_decide.table import Table, same_as

T = TypeVar("T")

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
MOST_TURNS = 1_000
# A claim that does nothing but park may have met a message that its parking did not know of. Twice in a row, with
# nothing happening between, is going round in circles.
_MOST_IDLE = 1

_HELD = ("end", "end", "end", "end", "crash", "tell", "flush", "drain")
_ANY = ("later", "late", "cancel", "pause", "resume", "signal", "decide", "child", "settle")


class World:
    """`unsafe` are the steps whose calls can not be repeated, `gated` those that a person approves first; `deadline`
    is the run's time limit; `origin`, if given, the rows of the run that this one undoes."""

    def __init__(
        self,
        graph: Graph,
        answers: Sequence[int],
        unsafe: frozenset[str] = frozenset(),
        deadline: datetime | None = None,
        origin: Mapping[str, StepRow] | None = None,
        gated: frozenset[str] = frozenset(),
    ) -> None:
        self.graph, self.unsafe, self.deadline, self.gated = graph, unsafe, deadline, gated
        self._redeemed: dict[str, set[str]] = {}
        self._answers = iter(answers)
        self.now = BEGIN
        undoes = None if origin is None else new_id()
        self.table = Table(new_id(), new_id(), dict(origin or {}), undoes)
        self._origin = dict(origin or {})
        self.partition: list[Event] = []  # confirmed, or arrived all the same
        self._applied = 0
        self._written: list[Event] = []  # not confirmed yet
        self._seq = self.claims = self._idle = 0
        self.holder: Holder | None = None
        self.calls: list[tuple[str, int]] = []

    @property
    def state(self) -> RunState:
        assert self.holder is not None
        return self.holder.state

    # -- the story -----------------------------------------------------------------------------------------

    def live(self) -> None:
        """Advance the run until it has ended."""
        self._claim()
        for _ in range(MOST_TURNS):
            if self.holder is not None:
                self._hold(self.holder)
            elif self.table.status in ENDED_RUN:
                return
            else:
                self._wait()
        raise AssertionError(f"the run does not end: {self.table.status}")

    def _hold(self, holder: Holder) -> None:
        waits = holder.turn()
        if holder.left:
            if self.answer(*[False] * 6, True):
                self._crash()
            else:
                self.confirm()
                self._check_idle()
                self._apply(len(self.partition))
                self.holder = None
        elif waits:
            happening = self.answer(*_HELD, *_ANY)
            match happening:
                case "crash":
                    self._crash()
                case "tell":
                    table = self.table
                    holder.hear(table.cancel_requested, table.pause_requested, table.checkpoint())
                case "flush":
                    self.confirm()
                case "drain":
                    holder.draining = True
                case "end" if holder.running:
                    holder.end_of_attempt(self.answer(*sorted(holder.running)))
                case "end":
                    self.now += timedelta(seconds=1)
                case _:
                    self._happens(happening)

    def _wait(self) -> None:
        """Nobody holds the run: its time comes, somebody does something, or a job brings it to a runner."""
        table = self.table
        if table.due is not None and table.due <= self.now:
            self._claim()
            return
        match self.answer("help", "help", "time", *_ANY):
            case "help" if table.status is RunStatus.PAUSED:
                table.resume(self.now)
            case "help" if helps := self._helps():
                self._happens(self.answer(*helps))
            case "help" | "time":
                assert table.due is not None or self._helps() or table.status is RunStatus.PAUSED, "lost"
                self.now = table.due or self.now
            case happening:
                self._happens(happening)

    def _helps(self) -> list[str]:
        """What somebody can do so that the run goes on."""
        table = self.table
        helps = ["settle"] * bool(table.doubts())
        helps += ["child"] * bool(table.open_children())
        if table.status is RunStatus.COMPENSATING:
            return helps  # undoing asks nobody else
        helps += ["decide"] * bool(table.open_waits(WaitKind.APPROVAL, WaitKind.GATE))
        return helps + ["signal"] * bool(table.open_waits(WaitKind.SIGNAL))

    def _happens(self, happening: str) -> None:
        table, now = self.table, self.now
        self._idle = 0
        match happening:
            case "later":
                self.now += timedelta(seconds=self.answer(1, 10, 100))
            case "late":
                self._apply(self.answer(*range(self._applied, len(self.partition) + 1)))
            case "cancel":
                table.cancel(now)
            case "pause":
                table.pause()
            case "resume":
                table.resume(now)
            case "signal":
                waiting = {k: table.steps[k].wait or {} for k in table.open_waits(WaitKind.SIGNAL)}
                name = self.answer(
                    *[str(wait["name"]) for wait in waiting.values()], "go", "s0", "s1", "other"
                )
                # Sent by its name, or by the address of a step that waits for it.
                step = self.answer(None, *[k for k, wait in waiting.items() if wait["name"] == name])
                table.post(MessageKind.SIGNAL, step, name, {"payload": len(table.inbox)}, now)
            case "decide" if waiting_rows := table.open_waits(WaitKind.APPROVAL, WaitKind.GATE):
                key = self.answer(*waiting_rows)
                decision = self.answer("APPROVED", "APPROVED", "REJECTED")
                table.waits[key] = "DECIDED"
                wait = table.steps[key].wait or {}
                said = {"digest": wait["digest"]} if "digest" in wait else {}
                table.post(MessageKind.DECISION, key, None, {"decision": decision, **said}, now)
            case "child" if children := table.open_children():
                self._child_ends(self.answer(*children))
            case "settle" if doubts := table.doubts():
                key, status = self.answer(*doubts), self.answer("SUCCESS", "FAILED", "QUEUED")
                data: dict[str, Any] = {"status": status, "by": "me"}
                data |= {"output": {"n": 2, "row": key}} if status == "SUCCESS" else {}
                table.post(MessageKind.SETTLE, key, None, data, now)

    def _child_ends(self, run_id: str) -> None:
        row = self.table.children[run_id]
        row.ended = True
        ends = ["SUCCESS", "SUCCESS", "FAILED"]
        if not row.undoes:
            ends = ["CANCELED", "SUCCESS", "FAILED"] if row.cancel else [*ends, "CANCELED"]
        status = self.answer(*ends)
        data = {"runId": run_id, "status": status, "result": {"n": self.answer(1, 2), "row": row.step}}
        self.table.post(MessageKind.CHILD_ENDED, row.step, None, data, self.now)

    # -- claims --------------------------------------------------------------------------------------------

    def _claim(self) -> None:
        """Any runner, the first or the next: barrier if it is a take-over, then the checkpoint."""
        table = self.table
        assert table.status not in (*ENDED_RUN, RunStatus.PAUSED)
        takeover = table.claim()
        self.claims += 1
        self._seq, self._written = 0, []
        if takeover:
            self.write(EventKind.CLAIMED, None, {})
            self.confirm()
        self._apply(len(self.partition))
        self._check_checkpoint()
        # A park or an end that was still on its way has closed the claim: the checkpoint is for its holder alone.
        self.holder = Holder(self, table.checkpoint()) if table.claim_open else None

    def _crash(self) -> None:
        """The runner dies; of what it wrote last, some arrives."""
        arrived = self.answer(*range(len(self._written) + 1))
        self.partition += self._written[:arrived]
        self._idle = 0
        if self.answer(True, False):
            self._apply(len(self.partition))  # before its lease lapses
        if self.table.status in ENDED_RUN or not self.table.claim_open:
            self.holder = None
        else:
            self._claim()

    # -- what a holder sees of it --------------------------------------------------------------------------

    def answer(self, *options: T) -> T:
        """The next answer; the first option is the benign one."""
        return options[next(self._answers, 0) % len(options)] if len(options) > 1 else options[0]

    def write(self, kind: EventKind, step: str | None, data: dict[str, Any]) -> tuple[int, int]:
        self._seq += 1
        table = self.table
        event = Event(
            table.tenant_id, table.run_id, table.epoch, self._seq, kind, self.now, step, deepcopy(data)
        )
        self._written.append(event)
        return table.epoch, self._seq

    def confirm(self) -> None:
        self.partition += self._written
        self._written = []

    def called(self, key: str) -> None:
        """Nothing that was reported is called again; nothing that can not be repeated is called in doubt."""
        number = self.state.step(key).round
        self.calls.append((key, number))
        name = read_key(key)
        if name.step in self.gated and name.part is None:
            assert self._redeemed.get(key), f"{key} is called and nobody has approved it"
        about = [event for event in self.partition if event.step == key]
        for event in about:
            reported = event.kind in (EventKind.COMPLETED, EventKind.SETTLED)
            ended = reported and event.data["status"] not in (StepStatus.UNKNOWN, StepStatus.QUEUED)
            assert not ended, f"{key} was reported and is called again"
            assert event.data.get("round", 0) <= number, f"a round of {key} was reported and is called again"
        if len(about) > 1:
            began = about[-2].kind is EventKind.STARTED and about[-2].data["unsafe"]
            assert not began, f"{key} is called again while it is in doubt"

    def allows(self, key: str, digest: str, approved: bool, begun: bool, unattended: bool) -> bool:
        """What the control plane answers whoever wants to make a call: an approval is redeemed for good."""
        known = self._redeemed.setdefault(key, set())
        if unattended or digest in known:
            return True
        if approved:
            known.add(digest)
        return approved or (begun and not known)

    def decided(self, holder: Holder, deadline: datetime | None) -> Sequence[Command]:
        known = {message.seq for message in holder.state.inbox}
        used = {seq for event in self._written for seq in event.data.get("inbox", ())}
        given = {seq for seq in self.table.inbox if seq <= holder.state.inbox_seen} - self.table.used - used
        assert known >= given - self._used_in(self.partition), "a message is lost"
        return decided(holder.frontier, holder.state, self.now, set(holder.running), deadline)

    def folded(self, before: RunState, change: Change, after: RunState) -> None:
        assert fold(before, change) == after
        assert change.data == self._written[-1].data, "folding changed the event"
        if after.status is not before.status:
            assert after.status in MOVES_OF_RUN[before.status]
        moved = {change.step, read_key(change.step).work} if change.step else {*after.steps}
        for key in filter(None, moved):
            old, new = before.step(key).status, after.step(key).status
            # A step whose start travels with its end passes through RUNNING within one event.
            passed = StepStatus.RUNNING in MOVES_OF_STEP[old] and new in MOVES_OF_STEP[StepStatus.RUNNING]
            assert old is new or new in MOVES_OF_STEP[old] or passed, f"{key}: {old} became {new}"

    # -- the reporter, and what it must be true of it ------------------------------------------------------

    def _apply(self, up_to: int) -> None:
        """The reporter catches up, in batches of any size; what it has applied may come again."""
        while self._applied < up_to:
            end = self.answer(up_to, *range(self._applied + 1, up_to + 1))
            begin = self.answer(self._applied, *range(self._applied))
            self.table.apply(self.partition[begin:end], self.now)
            self._applied = end

    def _used_in(self, events: Sequence[Event]) -> set[int]:
        return {seq for event in events for seq in event.data.get("inbox", ())}

    def folded_history(self) -> RunState:
        """The run, by its history alone."""
        origin = Table(self.table.tenant_id, self.table.run_id, dict(self._origin), self.table.undoes)
        history = [e for e in self.partition if e.kind is not EventKind.CLAIMED]
        changes = [Change(e.kind, e.step, e.data, (e.epoch, e.seq)) for e in history]
        return rebuilt(changes, origin.checkpoint().steps)

    def _check_checkpoint(self) -> None:
        """Everything was applied: the table says what folding the partition says."""
        same_as(self.table, self.folded_history())

    def _check_idle(self) -> None:
        parked = [event for event in self.partition if event.epoch == self.table.epoch]
        alone = all(event.kind in (EventKind.CLAIMED, EventKind.PARKED) for event in parked)
        handed_back = parked[-1].data.get("reason") in ("HANDED_BACK", "PAUSED")
        self._idle = self._idle + 1 if alone and not handed_back else 0
        assert self._idle <= _MOST_IDLE + 1, "the run comes back and parks, again and again"


def undone_in_order(world: World) -> None:
    """From `compensating` on what was done is undone, the last completed first, and nothing before it."""
    turned = world.table.undoes is not None
    done = {key: row.done for key, row in world._origin.items() if row.done}
    last: tuple[int, int] | None = None
    for event in world.partition:
        turned |= event.kind is EventKind.COMPENSATING
        if event.step is None:
            continue
        name = read_key(event.step)
        if event.data.get("status") == StepStatus.SUCCESS and name.part is None:
            done[event.step] = (event.epoch, event.seq)
        if name.part is Part.UNDO:
            assert turned
            place = done[name.work]
            assert place is not None
            assert last is None or place <= last, f"{name.work} is undone too late"
            last = place
