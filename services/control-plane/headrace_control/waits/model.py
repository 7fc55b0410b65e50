"""Waits and what ends them, as services answer them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from headrace.json_types import Json, JsonObject
from headrace.workflow.grammar import SIGNAL_TYPE
from headrace.workflow.state import WaitKind


class WaitStatus(StrEnum):
    OPEN = "OPEN"
    DECIDED = "DECIDED"  # by a person; the run has not taken it yet
    CLOSED = "CLOSED"


class OpenKind(StrEnum):
    """The kinds of waits that somebody has to see."""

    APPROVAL = "APPROVAL"
    SIGNAL = "SIGNAL"


class Verdict(StrEnum):
    """How a person decides, and as what that is kept."""

    APPROVE = "APPROVE"
    REJECT = "REJECT"

    @property
    def decision(self) -> str:
        return "APPROVED" if self is Verdict.APPROVE else "REJECTED"


class Settlement(StrEnum):
    """What a person found out about a call that was sent and not answered."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    RETRY = "RETRY"  # it never arrived: it is done again


@dataclass(frozen=True, slots=True)
class Decided:
    """`decision` is APPROVED or REJECTED, `by` the name of the actor that decided."""

    decision: str
    by: str
    at: datetime
    reason: str
    form: Json


@dataclass(frozen=True, slots=True)
class Wait:
    """A step that waits, or waited, for a person or a signal.

    `data` is what the step says of it: title, details, roles, members, notStarter, form; or name, schema. `started_by`
    is the person who started the run, `published_by` the one who published its version. `may_decide`: the caller may,
    now.
    """

    run_id: UUID
    step: str
    kind: OpenKind
    status: WaitStatus
    data: JsonObject
    opened_at: datetime
    due_at: datetime | None
    closed_at: datetime | None
    decided: Decided | None
    started_by: UUID | None
    published_by: UUID | None = None
    may_decide: bool = False

    @property
    def gate(self) -> JsonObject | None:
        """What the approval of a call is for; None when the step itself asks for one."""
        return self.data if self.data.get("kind") == WaitKind.GATE else None


@dataclass(frozen=True, slots=True)
class Decision:
    """A wish to decide. `step` is the row key of the approval, `digest` that of the call it is for, if one was read."""

    run_id: UUID
    step: str
    verdict: Verdict
    reason: str = ""
    form: Json = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal to send. `key`: the same one again is answered as before, and taken once."""

    run_id: UUID
    name: str
    payload: Json
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Settling:
    """A wish to settle a step in doubt; `output` is what the step is to have made when it SUCCEEDED."""

    run_id: UUID
    step: str
    outcome: Settlement
    output: Json = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message's place among its run's, when it was taken, and whether it had been taken before."""

    run_id: UUID
    seq: int
    at: datetime
    again: bool


@dataclass(frozen=True, slots=True)
class SignalStep:
    """A step of a version that waits for a signal."""

    key: str
    name: str
    schema: JsonObject | None
    deadline_ms: int | None


def signals_of(steps: Sequence[JsonObject]) -> Sequence[SignalStep]:
    """The `signal` steps among the steps of a published document."""
    found = []
    for step in steps:
        if step.get("type") == SIGNAL_TYPE:
            signal = step.get("signal")
            said: JsonObject = signal if isinstance(signal, dict) else {}
            schema, deadline = said.get("schema"), said.get("deadlineMs")
            found.append(
                SignalStep(
                    str(step["key"]),
                    str(said.get("name") or step["key"]),
                    schema if isinstance(schema, dict) else None,
                    deadline if isinstance(deadline, int) else None,
                )
            )
    return found
