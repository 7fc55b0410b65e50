"""How the runs of a rollout's two versions fare, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from headrace.ids import lowest_id, minted_at
from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.workflow.state import RunStatus

from headrace_control.rollouts.model import Rollout
from headrace_control.rollouts.statistics import SIGNIFICANT, fisher, wilson

_sql = load("headrace_control.rollouts")

MAX_RUNS = 50_000
"""How many runs of the workflow are looked at, the newest ones; together for both versions."""

_NO_ID = UUID(int=2**128 - 1)


class Verdict(StrEnum):
    """What can be said of the candidate's failures. `UNDECIDED`: no difference is shown, which is not that there is
    none."""

    WORSE = "WORSE"
    BETTER = "BETTER"
    UNDECIDED = "UNDECIDED"


@dataclass(frozen=True, slots=True)
class ErrorCount:
    code: str
    runs: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a version's runs. `seconds_p50`, `seconds_p95`: from first claim to end, of those that
    succeeded."""

    version_id: UUID
    starts: int = 0
    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    seconds_p50: float | None = None
    seconds_p95: float | None = None
    codes: Sequence[ErrorCount] = ()
    dead_letters: int = 0

    @property
    def unfinished(self) -> int:
        return self.starts - self.succeeded - self.failed - self.canceled

    @property
    def decided(self) -> int:
        """Those that a rate of failures is of: who cancels a run says nothing of its version."""
        return self.succeeded + self.failed

    @property
    def failure_rate(self) -> float | None:
        return self.failed / self.decided if self.decided else None

    @property
    def bounds(self) -> tuple[float, float]:
        return wilson(self.failed, self.decided)


@dataclass(frozen=True, slots=True)
class Comparison:
    """`since`: runs that were begun from then on are counted. `complete`: those are all since the rollout began."""

    rollout: Rollout
    since: datetime
    complete: bool
    stable: Outcome
    candidate: Outcome

    @property
    def probability(self) -> float:
        """Of a difference of failures at least as large, were both versions equally good."""
        return fisher(self.candidate.failed, self.candidate.decided, self.stable.failed, self.stable.decided)

    @property
    def verdict(self) -> Verdict:
        stable, candidate = self.stable.failure_rate, self.candidate.failure_rate
        if stable is None or candidate is None or self.probability >= SIGNIFICANT:
            return Verdict.UNDECIDED
        return Verdict.WORSE if candidate > stable else Verdict.BETTER


async def compare(db: Db, tenant_id: UUID, rollout: Rollout) -> Comparison:
    """Of the newest `MAX_RUNS` runs that were begun while the rollout was open."""
    await db.execute(_sql.in_index_order)
    below = lowest_id(rollout.ended_at + timedelta(milliseconds=1)) if rollout.ended_at else _NO_ID
    window = (tenant_id, rollout.workflow_id, lowest_id(rollout.begun_at), below, [*RunStatus], MAX_RUNS)
    rows = await db.fetch(_sql.outcomes, *window)
    found = {row["version_id"]: _outcome(row) for row in rows if row["version_id"] is not None}
    (whole,) = (row for row in rows if row["version_id"] is None)
    complete = whole["starts"] < MAX_RUNS
    since = rollout.begun_at if complete else minted_at(whole["oldest"])
    stable, candidate = (found.get(one, Outcome(one)) for one in (rollout.stable_id, rollout.candidate_id))
    return Comparison(rollout, since, complete, stable, candidate)


def _outcome(row: Any) -> Outcome:
    return Outcome(
        row["version_id"],
        row["starts"],
        row["succeeded"],
        row["failed"],
        row["canceled"],
        row["p50"],
        row["p95"],
        [ErrorCount(one["code"], one["runs"]) for one in row["codes"] or ()],
        row["letters"] or 0,
    )
