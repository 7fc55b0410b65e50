"""Events that no runner of ours could have written: of a run that is not there, in another tenant's name, of an epoch
that no claim ever had.

They change nothing. They are kept as a dead letter of nobody's, and told to the audit: of the run's own tenant, where
there is such a run. What is at or below the fence is none of them: whatever is delivered twice is, by design. Of a
tenant that is deleted nothing is kept that comes late.
"""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import structlog
from headrace.ids import new_id
from headrace.messages import Event
from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.refusals.audit import Refusal

from headrace_reporter.changes import RunRow
from headrace_reporter.dead_letters import cut, kept

_log = structlog.get_logger(__name__)
_sql = load("headrace_reporter")

NO_RUN, FOREIGN, NEVER_GRANTED = "NO_SUCH_RUN", "FOREIGN_TENANT", "NEVER_GRANTED"


async def keep_strangers(
    db: Db, by_run: Mapping[UUID, Sequence[Event]], rows: Sequence[RunRow]
) -> list[Refusal]:
    """Write one dead letter for a batch that has any; answers what there is to tell once the transaction is committed.

    `rows` are the runs that are there, and know their strangers.
    """
    events = [event for row in rows for event in row.strangers]
    refusals = [
        _refusal(row.id, _cause(event, row), row.tenant_id) for row in rows for event in row.strangers
    ]
    if len(rows) < len(by_run):
        for event in await _of_no_run(db, by_run, {row.id for row in rows}):
            events.append(event)
            refusals.append(_refusal(event.run_id, NO_RUN, None))
    if events:
        causes = ", ".join(sorted({refusal.code for refusal in refusals}))
        _log.warning("events that nobody was granted", events=len(events), causes=causes)
        reason = f"events that nobody was granted ({causes})"
        await db.execute(_sql.add_dead_letter, new_id(), None, None, "reporter", reason, cut(kept(events)))
    return refusals


async def _of_no_run(
    db: Db, by_run: Mapping[UUID, Sequence[Event]], there: Collection[UUID]
) -> Sequence[Event]:
    """Events of runs that are not there, but for those of tenants that are being deleted."""
    found = [event for run_id in by_run.keys() - there for event in by_run[run_id]]
    tenants = list({event.tenant_id for event in found})
    gone = {row["tenant_id"] for row in await db.fetch(_sql.tenants_gone, tenants)}
    kept = [event for event in found if event.tenant_id not in gone]
    if len(kept) < len(found):
        _log.info("events of deleted tenants dropped", events=len(found) - len(kept), tenants=len(gone))
    return kept


def _cause(event: Event, run: RunRow) -> str:
    return FOREIGN if event.tenant_id != run.tenant_id else NEVER_GRANTED


def _refusal(run_id: UUID, code: str, tenant_id: UUID | None) -> Refusal:
    return Refusal("event.apply", f"run/{run_id}", code, tenant_id=tenant_id, actor_name="reporter")
