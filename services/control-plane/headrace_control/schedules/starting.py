"""Starts the run of one firing, and says what came of it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from headrace.errors import ConcurrencyLimit, HeadraceError
from headrace.ids import new_id
from headrace.json_types import Json, JsonObject
from headrace.postgres.pool import Db
from headrace.workflow.expressions import ExpressionError, Templates

from headrace_control.audit.record import CONTROL_PLANE, Act, Part, record
from headrace_control.quotas.starts import StartQuotas
from headrace_control.runs.model import Run, RunStart, Trigger, TriggerKind
from headrace_control.runs.parameters import Parameters
from headrace_control.runs.starts import start_runs
from headrace_control.schedules.inputs import Occasion, rendered
from headrace_control.schedules.model import Firing, FiringOutcome, Schedule
from headrace_control.vault.output_keys import OutputKeys

# In one transaction, of a schedule or a backfill: a few dozen milliseconds. Others take their turn in between.
MOST_STARTS = 20


class Starter:
    """One per process; `start` works inside a tenant's transaction of the role headrace_api."""

    def __init__(self, keys: OutputKeys) -> None:
        self._keys = keys
        self._parameters, self._quotas, self._templates = Parameters(), StartQuotas(), Templates()

    async def start(
        self, db: Db, tenant_id: UUID, schedule: Schedule, occasion: Occasion
    ) -> Run | HeadraceError:
        """The run of the firing, or why there is none. Asked again for the same firing, it is the same run."""
        try:
            wish = RunStart(
                schedule.terms.workflow,
                rendered(self._templates, schedule.terms.input, occasion),
                schedule.terms.version,
                key_of(schedule.id, occasion),
                own_key=True,
            )
        except ExpressionError as error:
            return error
        trigger = Trigger(TriggerKind.SCHEDULE, occasion.schedule, occasion.at, occasion.backfill_id)
        parts = (self._parameters, self._quotas, self._keys)
        started = await start_runs(db, tenant_id, schedule.acts_for, [wish], *parts, trigger=trigger)
        (answer,) = started.answers
        return answer


def key_of(schedule_id: UUID, occasion: Occasion) -> str:
    """The idempotency key of the firing's start."""
    whose = f"backfill/{occasion.backfill_id}" if occasion.backfill_id else f"schedule/{schedule_id}"
    return f"{whose}/{occasion.at.isoformat()}"


def firing_of(occasion: Occasion, answer: Run | HeadraceError) -> Firing:
    """What came of it, to be kept."""
    if isinstance(answer, HeadraceError):
        skipped = isinstance(answer, ConcurrencyLimit)
        outcome = FiringOutcome.SKIPPED if skipped else FiringOutcome.FAILED
        return kept(occasion.at, outcome, error=error_of(answer))
    return Firing(new_id(), occasion.at, None, FiringOutcome.STARTED, answer.id, None, occasion.backfill_id)


def kept(
    at: datetime,
    outcome: FiringOutcome,
    *,
    last_at: datetime | None = None,
    error: JsonObject | None = None,
) -> Firing:
    """A firing by the clock that started nothing."""
    return Firing(new_id(), at, last_at, outcome, None, error, None)


def error_of(error: HeadraceError) -> JsonObject:
    return {"code": error.code, "message": error.message}


async def record_starts(
    db: Db, tenant_id: UUID, schedule: Schedule, runs: Sequence[UUID], backfill_id: UUID | None = None
) -> None:
    """One record of the audit for all starts of the transaction."""
    if not runs:
        return
    workflows: list[Json] = [schedule.terms.workflow]
    detail: JsonObject = {"workflows": workflows, "started": len(runs), "schedule": schedule.name}
    if backfill_id is not None:
        detail["backfill"] = str(backfill_id)
    if len(runs) > 1:
        detail |= {"first": str(runs[0]), "last": str(runs[-1])}
    await record(db, Part(tenant_id, CONTROL_PLANE), Act("run.start", f"run/{runs[0]}", detail=detail))
