"""Revisions of a run, and the run as it was at one of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from headrace.errors import InvalidInput, Problem
from headrace.json_types import JsonObject
from headrace.workflow.state import (
    EventKind,
    Failure,
    MessageKind,
    ParkReason,
    Place,
    RunStatus,
    StepState,
)

# The revision at which a run has no event yet: it was started. Of what stands in a row it says that it was taken over
# from another run. No event has this place: epochs and seqs count from 1.
BEGINNING: Place = (0, 0)

_LARGEST = 2**31 - 1


def write_revision(place: Place) -> str:
    return f"{place[0]}.{place[1]}"


def read_revision(text: str) -> Place:
    """The place that a revision's id names. Raises `InvalidInput`."""
    epoch, _, seq = text.partition(".")
    numbers = [int(part) for part in (epoch, seq) if part.isascii() and part.isdigit() and len(part) < 11]
    if len(numbers) != 2 or max(numbers) > _LARGEST:
        problem = Problem("at.revision", "not a revision", "write it as `epoch.seq`, such as 1.7")
        raise InvalidInput([problem])
    return numbers[0], numbers[1]


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event without what may be large of it: input, output and result, and what a wait shows."""

    place: Place
    kind: EventKind
    step: str | None
    at: datetime
    data: JsonObject


@dataclass(frozen=True, slots=True)
class Revision:
    """One moment of a run: after the event at `place`, or its start (`kind` None). `note` says what happened."""

    place: Place
    at: datetime
    note: str
    kind: EventKind | None = None
    step: str | None = None


@dataclass(frozen=True, slots=True)
class At:
    """Which moment is asked for: a revision, a time, or, without both, the newest."""

    place: Place | None = None
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class TakenRow:
    """A row that a re-run began with, as it was then."""

    state: StepState
    started_at: datetime | None
    finished_at: datetime | None
    taken_from: UUID


@dataclass(frozen=True, slots=True)
class PastStep:
    """One row of a run as it was. `input_of` and `output_of` are the events that brought them, `BEGINNING` where they
    were taken over; None where there were none yet. The output of `state` itself is left out."""

    run_id: UUID
    key: str
    state: StepState
    started_at: datetime | None = None
    finished_at: datetime | None = None
    input_of: Place | None = None
    output_of: Place | None = None
    taken_from: UUID | None = None


@dataclass(frozen=True, slots=True)
class PastMessage:
    """A message to a run that none of its events had used up."""

    seq: int
    kind: MessageKind
    step: str | None
    name: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run of a tenant after the event of `revision`. `result_of` is the event that brought its result, `used` are the
    messages that events had used up, `until` is when a message had to be there to be seen (None: whenever). `order` are
    the places of its version's steps."""

    tenant_id: UUID
    run_id: UUID
    revision: Revision
    status: RunStatus
    wait_reason: ParkReason | None
    error: Failure | None
    result_of: Place | None
    steps: Mapping[str, PastStep]
    used: Collection[int]
    until: datetime | None
    order: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class EventPayload:
    """The large part of an event, as JSON texts."""

    input: bytes | None
    output: bytes | None
    result: bytes | None
