"""Runs and what belongs to them, as they are read."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from headrace.json_types import Json, JsonObject
from headrace.pools import DEFAULT_POOL
from headrace.workflow.state import ENDED_RUN, EventKind, ParkReason, RunStatus, StepStatus, WaitKind


class TriggerKind(StrEnum):
    """What starts runs without anybody asking for it."""

    SCHEDULE = "SCHEDULE"
    WEBHOOK = "WEBHOOK"


@dataclass(frozen=True, slots=True)
class Trigger:
    """What started a run: the schedule `name`, by its firing of `firing_at`, of a backfill if one is named; or the
    webhook `name`, by the message `message_id`."""

    kind: TriggerKind
    name: str
    firing_at: datetime | None = None
    backfill_id: UUID | None = None
    message_id: str | None = None

    @classmethod
    def of(cls, stored: JsonObject) -> "Trigger":
        firing, backfill, message = (stored.get(name) for name in ("firingAt", "backfill", "message"))
        return cls(
            TriggerKind(str(stored["kind"])),
            str(stored["name"]),
            datetime.fromisoformat(str(firing)) if firing else None,
            UUID(str(backfill)) if backfill else None,
            str(message) if message else None,
        )

    def as_json(self) -> JsonObject:
        return {
            "kind": self.kind,
            "name": self.name,
            "firingAt": self.firing_at.isoformat() if self.firing_at else None,
            "backfill": str(self.backfill_id) if self.backfill_id else None,
            "message": self.message_id,
        }


@dataclass(frozen=True, slots=True)
class Run:
    """A run without its input and result, which may be large and are read when they are asked for.

    `parent_run_id` is the run whose `workflow` step, the row `parent_step`, this one is; `origin_run_id` the ended
    run that this one goes on from, `undoes_run_id` the one whose steps it undoes. `pool` is whose runners advance
    it. `trigger` is None where somebody asked for it. `created_by` is whose run it is: who asked for it, or made what
    did; a child has its parent's. `fence` and `epoch` are the protocol's; here they only tell
    one state of the run from the next.
    """

    id: UUID
    workflow_id: UUID
    version_id: UUID
    status: RunStatus
    wait_reason: ParkReason | None
    error: JsonObject | None
    cancel_requested: bool
    pause_requested: bool
    parent_run_id: UUID | None
    parent_step: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    fence: tuple[int, int]
    epoch: int
    trigger: Trigger | None = None
    origin_run_id: UUID | None = None
    undoes_run_id: UUID | None = None
    pool: str = DEFAULT_POOL
    created_by: UUID | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED_RUN


@dataclass(frozen=True, slots=True)
class Payload:
    """The large part of a run, as JSON texts."""

    input: bytes | None
    result: bytes | None


@dataclass(frozen=True, slots=True)
class StepWait:
    """What a WAITING step waits for, and until when at most."""

    kind: WaitKind
    until: datetime | None


@dataclass(frozen=True, slots=True)
class StepRun:
    """One row of one run (a step, an item of a loop, what undoes or asks about one), without its input and output.

    `attempts` counts those that ended, `round` the rounds of a repeat that are over; `items` is how many a loop has,
    once it has begun. `taken_from` is the run that did it, where a re-run has taken it over.
    """

    run_id: UUID
    key: str
    status: StepStatus
    attempts: int = 0
    error: JsonObject | None = None
    retry_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    wait: StepWait | None = None
    round: int = 0
    items: int | None = None
    taken_from: UUID | None = None


@dataclass(frozen=True, slots=True)
class StepsOf:
    """Whose steps are asked for."""

    run_id: UUID
    version_id: UUID
    ended: bool


@dataclass(frozen=True, slots=True)
class StepPayload:
    """The large part of a step run, as JSON texts."""

    input: bytes | None
    output: bytes | None


class AttemptOutcome(StrEnum):
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request of one step; `address` is what was dialled."""

    number: int
    outcome: AttemptOutcome
    http_status: int | None
    error: JsonObject | None
    address: str | None
    started_at: datetime
    duration_ms: int


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One applied fact about a run; (epoch, seq) is its place, `data` a JSON text."""

    epoch: int
    seq: int
    kind: EventKind
    step: str | None
    at: datetime
    data: bytes


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs; None and () do not narrow. `version` is the number of one of the `workflows`', and
    needs them. `created_after` <= created < `created_before`, to the millisecond. `schedule` and `webhook` are what
    started them, by its name; one of the two, and no workflows beside it."""

    workflows: Collection[str] | None = None
    statuses: Sequence[RunStatus] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    version: int | None = None
    schedule: str | None = None
    webhook: str | None = None

    @property
    def triggered_by(self) -> str | None:
        """As it is stored with runs."""
        if self.schedule is not None:
            return f"{TriggerKind.SCHEDULE}:{self.schedule}"
        return None if self.webhook is None else f"{TriggerKind.WEBHOOK}:{self.webhook}"


@dataclass(frozen=True, slots=True)
class RunStart:
    """A wish to start a run. `version` None is the newest published one.

    `key` makes it idempotent: the same key with the same wish answers the same run, for as long as the key
    is kept. `own_key`: the key is one that Headrace itself makes, and that callers can not write. `rerun` is what
    else has to be the same, of a start that is a re-run: which run is run again, and in which way.
    """

    workflow: str
    input: Json
    version: int | None = None
    key: str | None = None
    own_key: bool = False
    rerun: Json = None
