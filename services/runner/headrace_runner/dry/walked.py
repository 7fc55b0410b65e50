"""What a walk has come to: its runs, its calls, what it could not be answered."""

from dataclasses import dataclass, field
from datetime import datetime

from headrace.json_types import Json, JsonObject
from headrace.workflow.sensitive import Leaf
from headrace.workflow.state import (
    ENDED_RUN,
    RunState,
)

from headrace_runner.dry.calls import CallBook
from headrace_runner.versions import LoadedVersion

MAX_CALLS = 1_000
MAX_ROWS = 5_000
MAX_RUNS = 200
# Outputs of all its runs together.
MAX_OUTPUT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class WalkedRun:
    """One run of a walk: at the end `state`, or where it stopped. `place` is its path, with a `/` behind it."""

    place: str
    version: LoadedVersion
    input: Json = field(repr=False)
    state: RunState
    started_at: datetime
    ended_at: datetime
    undoes: bool = False

    @property
    def ended(self) -> bool:
        return self.state.status in ENDED_RUN


@dataclass(slots=True)
class Walk:
    """A whole walk, sub-workflows included. `runs` are in the order in which they began; `leaves` are what is
    sensitive in it."""

    book: CallBook
    runs: dict[str, WalkedRun] = field(default_factory=dict)
    asks: dict[str, JsonObject] = field(default_factory=dict)
    notes: list[tuple[str, str]] = field(default_factory=list)
    unanswered: dict[str, str] = field(default_factory=dict)
    leaves: list[Leaf] = field(default_factory=list)
    rows: int = 0
    output_bytes: dict[str, int] = field(default_factory=dict)

    @property
    def exceeded(self) -> bool:
        return (
            self.book.exceeded
            or self.rows > MAX_ROWS
            or len(self.runs) > MAX_RUNS
            or sum(self.output_bytes.values()) > MAX_OUTPUT_BYTES
        )
