"""What `decide` can tell the engine to do."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from headrace.json_types import Json
from headrace.workflow.state import Failure, ParkReason, StepStatus, Undoing


@dataclass(frozen=True, slots=True)
class Start:
    """Begin, or begin again, the next attempt of a row: a step, an item of a loop, a compensation or a probe."""

    step: str


@dataclass(frozen=True, slots=True)
class GoOn:
    """More conditions are to be asked than one decision may ask: let others have their turn, and decide
    again."""


@dataclass(frozen=True, slots=True)
class Skip:
    """No edge into the step was taken."""

    step: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """An unsafe call of this row was announced by an earlier claim and never answered for."""

    step: str


@dataclass(frozen=True, slots=True)
class Resolve:
    """A row's wait is over, or the step can not begin: it ends as `status`. `inbox` are the messages that this
    uses up."""

    step: str
    status: StepStatus
    output: Json = None
    error: Failure | None = None
    inbox: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Remind:
    """Note that nobody has decided yet; the next reminder is due at `again`."""

    step: str
    again: datetime


@dataclass(frozen=True, slots=True)
class Settle:
    """A person has said what became of a row in doubt; with `status` QUEUED it is done again."""

    step: str
    status: StepStatus
    output: Json
    error: Failure | None
    by: Json
    inbox: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SettleByProbe:
    """The probe has answered: ask its `done` what became of the step."""

    step: str


@dataclass(frozen=True, slots=True)
class Collect:
    """No item of the loop is under way and none is to begin: put their results together."""

    step: str


@dataclass(frozen=True, slots=True)
class Compensate:
    """Turn to undoing what was done; `undoing` says how the run ends then."""

    undoing: Undoing


@dataclass(frozen=True, slots=True)
class Park:
    """Leave the run; `resume_at` None means that only a message, a person or a cancel brings it back.

    It never lies behind the run's time limit, which counts waits too.
    """

    reason: ParkReason
    resume_at: datetime | None


@dataclass(frozen=True, slots=True)
class Finish:
    """The run ends: SUCCESS without `error`, FAILED with it."""

    error: Failure | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """The run ends because a person asked; `error` tells of compensations that failed."""

    error: Failure | None = None


Command: TypeAlias = (
    Start
    | GoOn
    | Skip
    | Doubt
    | Resolve
    | Remind
    | Settle
    | SettleByProbe
    | Collect
    | Compensate
    | Park
    | Finish
    | Cancel
)
