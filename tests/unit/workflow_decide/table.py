"""The rows that are kept of one run: the reporter's own projection, and the guards of the SQL around it in Python.

The SQL itself is tested against Postgres in tests/integration.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from headrace.json_types import JsonObject
from headrace.messages import Event
from headrace.workflow.state import (
    ENDED_RUN,
    ENDED_STEP,
    Failure,
    Message,
    MessageKind,
    RunState,
    RunStatus,
    StepState,
    StepStatus,
    Undoing,
    WaitKind,
)
from headrace_reporter.changes import Ended, RunRow, StepRow
from headrace_reporter.projection import apply_event
from rpds import HashTrieMap


@dataclass(slots=True)
class ChildRow:
    """A run that this one has begun for one of its rows."""

    step: str
    undoes: bool
    cancel: bool = False
    ended: bool = False


@dataclass(slots=True)
class Table:
    """A run's row, and the rows that hang on it. `due` None: it has no dispatch row. `origin` holds the rows of the
    run that this one undoes, if it undoes one."""

    tenant_id: UUID
    run_id: UUID
    origin: dict[str, StepRow] = field(default_factory=dict)
    undoes: UUID | None = None
    status: RunStatus = RunStatus.QUEUED
    epoch: int = 0
    fence: tuple[int, int] = (0, 0)
    claim_open: bool = False
    cancel_requested: bool = False
    pause_requested: bool = False
    due: datetime | None = None
    inbox: dict[int, Message] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)
    compensating: JsonObject | None = None
    steps: dict[str, StepRow] = field(default_factory=dict)
    children: dict[str, ChildRow] = field(default_factory=dict)
    waits: dict[str, str] = field(default_factory=dict)
    ended: Ended | None = None

    # -- the control plane ---------------------------------------------------------------------------------

    def claim(self) -> bool:
        """Raise the epoch; whether it is a take-over."""
        takeover = self.claim_open
        self.epoch, self.claim_open = self.epoch + 1, True
        self.status = RunStatus.RUNNING if self.compensating is None else RunStatus.COMPENSATING
        return takeover

    def post(
        self, kind: MessageKind, step: str | None, name: str | None, data: JsonObject, now: datetime
    ) -> None:
        if self.status in ENDED_RUN:
            return
        seq = len(self.inbox) + 1
        self.inbox[seq] = Message(seq, kind, step, name, data, now)
        if self.status in (RunStatus.WAITING, RunStatus.COMPENSATING) and not self.claim_open:
            self._wake(now)

    def cancel(self, now: datetime) -> None:
        if self.status is RunStatus.COMPENSATING or self.status in ENDED_RUN:
            return
        self.cancel_requested, self.pause_requested = True, False
        if self.status is RunStatus.PAUSED:
            self.status = RunStatus.WAITING
        if self.status is RunStatus.WAITING:
            self._wake(now)

    def pause(self) -> None:
        if self.cancel_requested or self.status is RunStatus.COMPENSATING or self.status in ENDED_RUN:
            return
        self.pause_requested = True
        if self.status is RunStatus.WAITING and not self.claim_open:
            self.status, self.due = RunStatus.PAUSED, None

    def resume(self, now: datetime) -> None:
        self.pause_requested = False
        if self.status is RunStatus.PAUSED:
            self.status = RunStatus.WAITING
            self._wake(now)

    def _wake(self, now: datetime) -> None:
        self.due = now if self.due is None else min(self.due, now)

    def checkpoint(self) -> RunState:
        """What the next claim hands out."""
        undoing = Undoing.from_json(self.compensating)
        unused = tuple(message for seq, message in sorted(self.inbox.items()) if seq not in self.used)
        done = {key: row for key, row in self.origin.items() if "." not in key}
        return RunState(
            RunStatus.COMPENSATING if undoing else RunStatus.RUNNING,
            HashTrieMap({key: _state(row) for key, row in (done | self.steps).items()}),
            cancel=self.cancel_requested,
            pause=self.pause_requested,
            undoing=Undoing(RunStatus.SUCCESS) if self.undoes else undoing,
            inbox=unused,
            inbox_seen=len(self.inbox),
        )

    # -- the reporter --------------------------------------------------------------------------------------

    def apply(self, events: Sequence[Event], now: datetime) -> None:
        """One batch, as `Applier._apply` and its statements treat it."""
        run = RunRow(
            self.run_id,
            self.tenant_id,
            self.status,
            self.run_id,
            self.epoch,
            self.claim_open,
            self.fence,
            self.cancel_requested,
            pause_requested=self.pause_requested,
            inbox_seq=len(self.inbox),
            undoes_run_id=self.undoes,
        )
        for event in events:
            apply_event(run, event, now)
        for key, row in run.steps.items():
            self._write(key, row)
        self.status, self.claim_open, self.fence = run.status, run.claim_open, run.fence
        if run.parked:
            self.due = run.parked.due_at
        if run.ended:
            self.due, self.ended = None, run.ended
            self._cancel_open_steps()
        self._write_lasting(run)

    def _cancel_open_steps(self) -> None:
        for key, step in self.steps.items():
            if step.status not in ENDED_STEP and step.status is not StepStatus.UNKNOWN:
                self.steps[key] = replace(step, status=StepStatus.CANCELED, in_flight=False, retry_at=None)

    def _write_lasting(self, run: RunRow) -> None:
        self.used.update(run.used_messages)
        for wait in run.waits:
            if wait.data["kind"] == WaitKind.GATE:
                self.waits[wait.step] = "OPEN"  # asked for again, it may be decided again
            else:
                self.waits.setdefault(wait.step, "OPEN")
        for key, at in run.reminders:
            row = self.steps[key]
            if row.wait is not None:
                self.steps[key] = replace(row, wait={**row.wait, "remindAt": at})
        for key in run.resolved:
            if key in self.waits:
                self.waits[key] = "CLOSED"
        if run.compensating is not None and not run.ended:
            self.compensating = run.compensating
        undone = self.origin if self.undoes else self.steps
        for key in run.undone:
            if undone[key].status is StepStatus.SUCCESS:
                undone[key] = replace(undone[key], status=StepStatus.COMPENSATED)
        for child in run.children:
            self.children.setdefault(str(child.run_id), ChildRow(child.step, child.undoes is not None))
        if run.ended:
            self.waits = dict.fromkeys(self.waits, "CLOSED")
        if run.undid:
            self._mark_loops(undone)
        if run.ended or run.compensating is not None:
            for row in self.children.values():
                row.cancel |= not row.undoes and not row.ended

    def _mark_loops(self, rows: dict[str, StepRow]) -> None:
        loops = [
            key for key, row in rows.items() if row.items is not None and row.status is StepStatus.SUCCESS
        ]
        for loop in loops:
            items = {row.status for key, row in rows.items() if key.startswith(f"{loop}[") and "." not in key}
            if StepStatus.COMPENSATED in items and StepStatus.SUCCESS not in items:
                rows[loop] = replace(rows[loop], status=StepStatus.COMPENSATED)

    def _write(self, key: str, row: StepRow) -> None:
        old = self.steps.get(key)
        if old is None:
            self.steps[key] = row
        elif old.status not in ENDED_STEP:
            self.steps[key] = replace(
                row,
                attempts=max(old.attempts, row.attempts),
                input=old.input if row.input is None else row.input,
                started_at=old.started_at or row.started_at,
                round=max(old.round, row.round),
                round_from=max(old.round_from, row.round_from),
                items=old.items if row.items is None else row.items,
            )

    # -- what people and child runs can do something about -------------------------------------------------

    def open_children(self) -> Sequence[str]:
        return [run_id for run_id, row in self.children.items() if not row.ended]

    def open_waits(self, *kinds: WaitKind) -> Sequence[str]:
        wanted = [key for key, status in self.waits.items() if status == "OPEN"]
        return [key for key in wanted if (self.steps[key].wait or {}).get("kind") in kinds]

    def doubts(self) -> Sequence[str]:
        """The rows in doubt that nobody has settled yet."""
        told = {
            m.step for seq, m in self.inbox.items() if m.kind is MessageKind.SETTLE and seq not in self.used
        }
        return [k for k, row in self.steps.items() if row.status is StepStatus.UNKNOWN and k not in told]


def _state(row: StepRow) -> StepState:
    return StepState(
        row.status,
        row.attempts,
        row.output,
        Failure.from_json(row.error),
        row.retry_at,
        row.in_flight,
        row.wait,
        row.round,
        row.round_from,
        row.items,
        row.done,
    )


def same_as(table: Table, folded: RunState) -> None:
    """The step rows are the folded steps."""
    rows: Mapping[str, StepRow] = {k: r for k, r in table.origin.items() if "." not in k} | table.steps
    assert set(rows) == set(folded.steps)
    for key, row in rows.items():
        from_row, from_events = _state(row), folded.steps[key]
        if row.status is StepStatus.CANCELED:  # by the end of the run
            from_row, from_events = from_row._replace(wait=None), from_events._replace(wait=None)
        assert from_row == from_events, key
