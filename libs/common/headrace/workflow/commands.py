"""What `decide` can tell the engine to do."""

from datetime import datetime
from typing import TypeAlias

from headrace.json_types import Json
from headrace.records import record
from headrace.workflow.state import Failure, ParkReason, StepStatus, Undoing


@record
class Start:
    """Begin, or begin again, the next attempt of a row: a step, an item of a loop, a compensation or a probe."""

    step: str


@record
class GoOn:
    """More conditions are to be asked than one decision may ask: let others have their turn, and decide
    again."""


@record
class Skip:
    """No edge into the step was taken."""

    step: str


@record
class Doubt:
    """An unsafe call of this row was announced by an earlier claim and never answered for."""

    step: str


@record
class Resolve:
    """A row's wait is over, or the step can not begin: it ends as `status`. `inbox` are the messages that this
    uses up."""

    step: str
    status: StepStatus
    output: Json = None
    error: Failure | None = None
    inbox: tuple[int, ...] = ()


@record
class Remind:
    """Note that nobody has decided yet; the next reminder is due at `again`."""

    step: str
    again: datetime


@record
class Settle:
    """A person has said what became of a row in doubt; with `status` QUEUED it is done again."""

    step: str
    status: StepStatus
    output: Json
    error: Failure | None
    by: Json
    inbox: tuple[int, ...]


@record
class SettleByProbe:
    """The probe has answered: ask its `done` what became of the step."""

    step: str


@record
class Collect:
    """No item of the loop is under way and none is to begin: put their results together."""

    step: str


@record
class Compensate:
    """Turn to undoing what was done; `undoing` says how the run ends then."""

    undoing: Undoing


@record
class Park:
    """Leave the run; `resume_at` None means that only a message, a person or a cancel brings it back.

    It never lies behind the run's time limit, which counts waits too.
    """

    reason: ParkReason
    resume_at: datetime | None


@record
class Finish:
    """The run ends: SUCCESS without `error`, FAILED with it."""

    error: Failure | None = None


@record
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
