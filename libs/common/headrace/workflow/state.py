"""What a run and its steps can be, and which moves exist.

`MOVES_OF_RUN` and `MOVES_OF_STEP` are the one table of section "States" of the documentation; the SQL guards
and the picture in the docs are generated from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from rpds import HashTrieMap

from headrace.json_types import Json, JsonObject


class RunStatus(StrEnum):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    PAUSED = "PAUSED"
    COMPENSATING = "COMPENSATING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class StepStatus(StrEnum):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CACHED = "CACHED"
    UNKNOWN = "UNKNOWN"
    CANCELED = "CANCELED"
    COMPENSATED = "COMPENSATED"


_R, _S = RunStatus, StepStatus

MOVES_OF_RUN: Mapping[RunStatus, frozenset[RunStatus]] = {
    _R.QUEUED: frozenset({_R.RUNNING, _R.PAUSED, _R.FAILED, _R.CANCELED}),
    _R.RUNNING: frozenset({_R.WAITING, _R.PAUSED, _R.COMPENSATING, _R.SUCCESS, _R.FAILED, _R.CANCELED}),
    _R.WAITING: frozenset({_R.RUNNING, _R.PAUSED, _R.COMPENSATING, _R.FAILED, _R.CANCELED}),
    _R.PAUSED: frozenset({_R.WAITING, _R.RUNNING, _R.FAILED, _R.CANCELED}),
    _R.COMPENSATING: frozenset({_R.FAILED, _R.CANCELED}),
    _R.SUCCESS: frozenset(),
    _R.FAILED: frozenset(),
    _R.CANCELED: frozenset(),
}

MOVES_OF_STEP: Mapping[StepStatus, frozenset[StepStatus]] = {
    _S.QUEUED: frozenset({_S.RUNNING, _S.SKIPPED, _S.CANCELED}),
    _S.RUNNING: frozenset({_S.WAITING, _S.SUCCESS, _S.FAILED, _S.CACHED, _S.UNKNOWN, _S.CANCELED}),
    _S.WAITING: frozenset({_S.RUNNING, _S.FAILED, _S.CANCELED}),
    _S.UNKNOWN: frozenset({_S.SUCCESS, _S.FAILED, _S.QUEUED, _S.CANCELED}),
    _S.SUCCESS: frozenset({_S.COMPENSATED}),
    _S.FAILED: frozenset(),
    _S.SKIPPED: frozenset(),
    _S.CACHED: frozenset(),
    _S.CANCELED: frozenset(),
    _S.COMPENSATED: frozenset(),
}

ENDED_RUN = frozenset({_R.SUCCESS, _R.FAILED, _R.CANCELED})
# With a result of its own, or with one that stood for it.
SUCCEEDED = frozenset({_S.SUCCESS, _S.CACHED})
ENDED_STEP = frozenset({_S.SUCCESS, _S.FAILED, _S.SKIPPED, _S.CACHED, _S.CANCELED, _S.COMPENSATED})


class EventKind(StrEnum):
    """What an event says; the shape of its `data` is in contracts/messages/event.json."""

    CLAIMED = "claimed"  # raises the fence and changes nothing else
    STARTED = "started"  # a step's attempt begins, or a loop, with the number of its items
    ATTEMPTED = "attempted"  # an attempt ended and another will follow
    WAITING = "waiting"  # a step waits for a time, a person, a message or a child run
    REMINDED = "reminded"  # a person has not decided yet
    COMPLETED = "completed"  # a step ended, or ended in doubt (UNKNOWN)
    SETTLED = "settled"  # a doubt was settled, by a probe or a person
    COMPENSATING = "compensating"  # the run turns to undoing what it did
    PARKED = "parked"  # the run waits; nobody holds it
    FINISHED = "finished"  # the run ended by itself, SUCCESS or FAILED
    CANCELED = "canceled"  # the run ended because a person asked


class ParkReason(StrEnum):
    """Why a run waits."""

    RETRY = "RETRY"  # a step's next attempt is due at a time
    TIMER = "TIMER"  # a step waits for a time
    APPROVAL = "APPROVAL"  # a person decides
    SIGNAL = "SIGNAL"  # a message is to come
    CHILD = "CHILD"  # a child run is under way
    BLOCKED = "BLOCKED"  # a connection's limit, or its open breaker
    HANDED_BACK = "HANDED_BACK"  # the runner is leaving, or held the run for long: due at once
    PAUSED = "PAUSED"  # a person asked for it
    CONCURRENCY = "CONCURRENCY"  # as many runs as its workflow allows are unfinished
    IN_DOUBT = "IN_DOUBT"  # an unsafe call was sent and not answered: a person decides
    DEAD_LETTER = "DEAD_LETTER"  # claimed again and again without progress: a person decides


class WaitKind(StrEnum):
    """What a WAITING step waits for."""

    RETRY = "RETRY"
    REPEAT = "REPEAT"
    BLOCKED = "BLOCKED"
    TIMER = "TIMER"
    APPROVAL = "APPROVAL"
    GATE = "GATE"  # the policy asks for a person's approval of a call
    SIGNAL = "SIGNAL"
    CHILD = "CHILD"


class MessageKind(StrEnum):
    SIGNAL = "SIGNAL"
    DECISION = "DECISION"
    CHILD_ENDED = "CHILD_ENDED"
    SETTLE = "SETTLE"


@dataclass(frozen=True, slots=True)
class Message:
    """What a person, a child run or an external system says to a run. `seq` counts a run's messages from 1;
    `step` is the row key that it is for, a signal's `name` the wait that it is for; of a signal with no `step`, in any
    row. `at` is when it was taken, by the database's clock; None of one from a control plane that does not say so."""

    seq: int
    kind: MessageKind
    step: str | None
    name: str | None
    data: JsonObject
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a step or run failed, as data. `code` is stable, `message` is free of secrets and of data."""

    code: str
    message: str

    def as_json(self) -> JsonObject:
        return {"code": self.code, "message": self.message}

    @staticmethod
    def from_json(value: Json) -> "Failure | None":
        if not isinstance(value, dict):
            return None
        return Failure(str(value.get("code", "UNKNOWN")), str(value.get("message", "")))


Place: TypeAlias = tuple[int, int]  # an event's (epoch, seq)


class StepState(NamedTuple):
    """One row of one run (a step, an item of a loop, a compensation, a probe), as its events tell.

    `attempts` counts attempts that ended. `in_flight` is true between the `started` of a call that can not
    be repeated safely and its end: at a take-over such a step is in doubt. `wait` is what a WAITING step waits for,
    and `retry_at` until when at most. `round` counts the rounds of a repeat that are over, `round_from` the attempts
    made in them. `items` is how many items a loop has, once it has begun. `done` is the event that completed the
    step, by a success or a failure, or put it in doubt; of a failure that a release before wrote down, None.
    """

    status: StepStatus = StepStatus.QUEUED
    attempts: int = 0
    output: Json = None
    error: Failure | None = None
    retry_at: datetime | None = None
    in_flight: bool = False
    wait: JsonObject | None = None
    round: int = 0
    round_from: int = 0
    items: int | None = None
    done: Place | None = None

    @property
    def failed_at(self) -> Place:
        """What orders failures, the first one first. What a release before wrote down came before all that has a
        place."""
        return self.done or (0, 0)


@dataclass(frozen=True, slots=True)
class Undoing:
    """How a run that is COMPENSATING will end."""

    outcome: RunStatus
    error: Failure | None = None

    def as_json(self) -> JsonObject:
        return {"outcome": self.outcome, "error": self.error.as_json() if self.error else None}

    @staticmethod
    def from_json(value: Json) -> "Undoing | None":
        if not isinstance(value, dict):
            return None
        return Undoing(RunStatus(str(value["outcome"])), Failure.from_json(value.get("error")))


Steps: TypeAlias = "HashTrieMap[str, StepState]"


class RunState(NamedTuple):
    """One run, as its events tell: all that `decide` looks at beside the graph and the time.

    `steps` is keyed by row key, and persistent: a changed copy shares all but the change. `cancel`, `pause` and
    `inbox` (messages that no event has used up yet) are what its holder was told, not what events say;
    `inbox_seen` is the highest `seq` that it was told of. What was said until `heard` is among them; None: everything.
    """

    status: RunStatus = RunStatus.QUEUED
    steps: Steps = HashTrieMap()
    result: Json = None
    error: Failure | None = None
    cancel: bool = False
    pause: bool = False
    undoing: Undoing | None = None
    inbox: tuple[Message, ...] = ()
    inbox_seen: int = 0
    heard: datetime | None = None

    def step(self, key: str) -> StepState:
        return self.steps.get(key, _NOT_BEGUN)


_NOT_BEGUN = StepState()
