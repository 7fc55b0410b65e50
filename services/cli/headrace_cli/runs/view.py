"""Runs as the API shows them, read into values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import typer
from headrace.workflow.state import ENDED_RUN, Failure, RunStatus, StepStatus

RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]

# What is read of a run wherever one is shown.
RUN_FIELDS = """
fragment RunFields on Run {
  id status waitReason cancelRequested createdAt startedAt finishedAt
  error { code message }
  workflow { name }
  trigger { kind name firingAt backfillId }
  startedBy { kind name }
  steps { key status attemptCount startedAt finishedAt retryAt error { code message } }
}
"""


@dataclass(frozen=True, slots=True)
class StepView:
    key: str
    status: StepStatus
    attempts: int
    error: Failure | None
    started_at: datetime | None
    finished_at: datetime | None

    @staticmethod
    def of(value: Any) -> "StepView":
        return StepView(
            value["key"],
            StepStatus(value["status"]),
            value["attemptCount"],
            Failure.from_json(value["error"]),
            _time(value["startedAt"]),
            _time(value["finishedAt"]),
        )


@dataclass(frozen=True, slots=True)
class RunView:
    """One run as `RUN_FIELDS` reads it."""

    id: str
    workflow: str
    status: RunStatus
    wait_reason: str | None
    error: Failure | None
    steps: Sequence[StepView]
    created_at: datetime
    finished_at: datetime | None
    started_by: str | None = None
    """What or who: `schedule nightly`, `webhook paid`, a key's name, a member's address."""

    @property
    def ended(self) -> bool:
        return self.status in ENDED_RUN

    @property
    def attempts(self) -> int:
        return sum(step.attempts for step in self.steps)

    @property
    def done(self) -> int:
        """How many steps have ended in SUCCESS."""
        return sum(step.status is StepStatus.SUCCESS for step in self.steps)

    @property
    def seconds(self) -> float | None:
        """From the start's acceptance to the end; None while it runs."""
        return (self.finished_at - self.created_at).total_seconds() if self.finished_at else None

    @staticmethod
    def of(value: Any) -> "RunView":
        return RunView(
            value["id"],
            value["workflow"]["name"],
            RunStatus(value["status"]),
            value["waitReason"],
            Failure.from_json(value["error"]),
            tuple(StepView.of(step) for step in value["steps"]),
            datetime.fromisoformat(value["createdAt"]),
            _time(value["finishedAt"]),
            _starter(value),
        )


def _starter(value: Any) -> str | None:
    if trigger := value["trigger"]:
        return f"{trigger['kind'].lower()} {trigger['name']}"
    return value["startedBy"] and str(value["startedBy"]["name"])


def _time(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None


def seconds(begin: datetime | None, end: datetime | None) -> str:
    """A duration for people; a dash while it has no end."""
    return f"{(end - begin).total_seconds():.2f} s" if begin and end else "-"
