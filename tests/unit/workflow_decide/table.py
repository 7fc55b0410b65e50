"""The rows that the reporter keeps of one run, with its own projection and the guards of its SQL in Python.

The SQL itself is tested against Postgres in tests/integration/test_reporter_apply.py.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from headrace.messages import Event
from headrace.workflow.decide import initial
from headrace.workflow.state import ENDED_STEP, Failure, RunState, RunStatus, StepState, StepStatus
from headrace_reporter.projection import RunRow, StepRow, apply_event
from rpds import HashTrieMap


class Table:
    """A run's row and its step rows."""

    def __init__(self, tenant_id: UUID, run_id: UUID) -> None:
        self.tenant_id, self.run_id = tenant_id, run_id
        self.status = RunStatus.QUEUED
        self.epoch, self.fence = 0, (0, 0)
        self.claim_open = self.cancel_requested = False
        self.steps: dict[str, StepRow] = {}

    def claim(self) -> bool:
        """Raise the epoch; whether it is a take-over."""
        takeover = self.claim_open
        self.epoch, self.claim_open, self.status = self.epoch + 1, True, RunStatus.RUNNING
        return takeover

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
        )
        for event in events:
            apply_event(run, event, now)
        for key, row in run.steps.items():
            self._write(key, row)
        self.status, self.claim_open, self.fence = run.status, run.claim_open, run.fence
        if run.ended:
            for key, step in self.steps.items():
                if step.status not in ENDED_STEP and step.status is not StepStatus.UNKNOWN:
                    self.steps[key] = replace(
                        step, status=StepStatus.CANCELED, in_flight=False, retry_at=None
                    )

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
            )

    def checkpoint(self) -> RunState:
        """What the next claim hands out."""
        steps = {
            key: StepState(
                row.status,
                row.attempts,
                row.output,
                Failure.from_json(row.error),
                row.retry_at,
                row.in_flight,
                done=row.done,
            )
            for key, row in self.steps.items()
        }
        return replace(initial(cancel=self.cancel_requested), steps=HashTrieMap(steps))
