"""A run's events, folded one by one into what can be shown of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from headrace.errors import Conflict
from headrace.workflow.fold import Change, IllegalMove, fold
from headrace.workflow.keys import Part, read_key
from headrace.workflow.state import (
    ENDED_STEP,
    EventKind,
    ParkReason,
    Place,
    RunState,
    StepState,
    StepStatus,
)
from rpds import HashTrieMap

from headrace_control.revisions.model import BEGINNING, PastStep, StoredEvent, TakenRow, write_revision

_ROWS = frozenset(
    {
        EventKind.STARTED,
        EventKind.ATTEMPTED,
        EventKind.WAITING,
        EventKind.REMINDED,
        EventKind.COMPLETED,
        EventKind.SETTLED,
    }
)
# Completed, and not over.
_OPEN = frozenset({StepStatus.UNKNOWN, StepStatus.QUEUED})
_BEGIN = frozenset({EventKind.STARTED, EventKind.WAITING})


@dataclass(slots=True)
class _Beside:
    """What is shown of a row beside its state."""

    started_at: datetime | None = None
    finished_at: datetime | None = None
    input_of: Place | None = None
    output_of: Place | None = None
    taken_from: UUID | None = None


class Folding:
    """The state so far. `taken` are the rows that a re-run began with; `undoes`: the run is there to undo what another
    one did, whose rows are not its own."""

    def __init__(self, taken: Mapping[str, TakenRow], undoes: bool) -> None:
        rows = HashTrieMap({key: row.state for key, row in taken.items()})
        self.state = RunState(steps=rows)
        self.wait_reason: ParkReason | None = None
        self.result_of: Place | None = None
        self.used: set[int] = set()
        self._undoes = undoes
        self._beside = {
            key: _Beside(row.started_at, row.finished_at, BEGINNING, _made(row), row.taken_from)
            for key, row in taken.items()
        }

    def add(self, event: StoredEvent) -> None:
        """Go on by one event. Raises `Conflict` for one that no run could have."""
        if self._undoes and event.step and (key := read_key(event.step)).part is Part.UNDO:
            self._know_as_done(key.work)
        before = self.state
        try:
            self.state = fold(before, Change(event.kind, event.step, event.data, event.place))
        except (IllegalMove, KeyError, ValueError) as error:
            raise Conflict(
                f"the run's history can not be followed beyond its event {write_revision(event.place)}"
            ) from error
        parked = event.kind is EventKind.PARKED
        self.wait_reason = ParkReason(str(event.data["reason"])) if parked else None
        used = event.data.get("inbox")
        self.used.update(seq for seq in used if isinstance(seq, int)) if isinstance(used, list) else None
        if event.kind is EventKind.FINISHED:
            self.result_of = event.place
        if event.kind in _ROWS and event.step is not None:
            self._note(event, event.step)
        elif event.kind in (EventKind.FINISHED, EventKind.CANCELED):
            self._note_end(before, event.at)

    def steps(self, run_id: UUID) -> Mapping[str, PastStep]:
        """The rows that had begun."""
        return {
            key: PastStep(
                run_id,
                key,
                self.state.step(key),
                row.started_at,
                row.finished_at,
                row.input_of,
                row.output_of,
                row.taken_from,
            )
            for key, row in self._beside.items()
        }

    def _know_as_done(self, work: str) -> None:
        if work not in self.state.steps:
            done = StepState(StepStatus.SUCCESS)
            self.state = self.state._replace(steps=self.state.steps.insert(work, done))

    def _note(self, event: StoredEvent, key: str) -> None:
        row, status = self._beside.setdefault(key, _Beside()), self.state.step(key).status
        ends = event.kind in (EventKind.COMPLETED, EventKind.SETTLED)
        if event.kind in _BEGIN or (ends and status is not StepStatus.SKIPPED):
            row.started_at = row.started_at or event.at
        if event.kind in _BEGIN and event.data.get("input"):
            row.input_of = event.place
        if ends:
            row.finished_at = None if status in _OPEN else event.at
            row.output_of = event.place

    def _note_end(self, before: RunState, at: datetime) -> None:
        """Rows that had not ended were canceled with their run. A loop of which nothing is left had."""
        for key, row in self._beside.items():
            status = self.state.step(key).status
            if status is StepStatus.CANCELED and before.step(key).status is not status:
                row.finished_at = at


def _made(row: TakenRow) -> Place | None:
    """Where the output of a row stands that was taken over. A loop that was opened again has none: what its row holds
    by now is newer."""
    return BEGINNING if row.state.status in ENDED_STEP else None
