"""Starting runs: many wishes in one transaction, each answered on its own.

A start is two statements, or three with an idempotency key, however many runs it starts: what would run, and
the insertion of keys, runs and dispatches. Those of workflows that limit their runs, and of tenants with quotas of
starts, cost a few more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from headrace.postgres.pool import Db

from headrace_control.quotas.starts import StartQuotas
from headrace_control.runs.batch import Batch
from headrace_control.runs.model import RunStart, Trigger
from headrace_control.runs.new_runs import Noted, StartedBy
from headrace_control.runs.parameters import Parameters
from headrace_control.runs.wishes import Answer
from headrace_control.vault.output_keys import OutputKeys

MAX_STARTS = 1000


@dataclass(frozen=True, slots=True)
class Started:
    """The run or the error of each start, in their order; and the ids of the runs that are new, in order too."""

    answers: Sequence[Answer]
    begun: Sequence[UUID]


async def start_runs(
    db: Db,
    tenant_id: UUID,
    created_by: UUID,
    starts: Sequence[RunStart],
    parameters: Parameters,
    quotas: StartQuotas,
    keys: OutputKeys,
    noted: Noted | None = None,
    *,
    wakes: bool = True,
    trigger: Trigger | None = None,
) -> Started:
    """Start what can be started; `db` is inside a tenant's transaction.

    `InvalidInput` lists every problem of one start with paths under `input`; `NotFound` and `Conflict` name
    what is missing or in the way, `QuotaExceeded` what the tenant has used up, `TenantEnding` that it is to be
    deleted; `KeysShredded` and `SecretUnreadable` say that a sensitive input can not be sealed. Runs are minted in
    order, with this transaction's time in their ids. Without `noted` the caller records the starts; unless the
    transaction `wakes` the relays, the caller does (see `nudges`). `trigger` is what starts them without being asked.
    """
    batch = Batch(db, tenant_id, starts, StartedBy(created_by, noted, wakes, trigger))
    await batch.answer_known_keys()
    await batch.find_versions(parameters)
    await batch.seal(keys)
    await batch.admit(quotas)
    begun = await batch.begin()
    return Started(
        [batch.answers[n] for n in range(len(starts))],
        [one.run.id for one in batch.new if one.run.id in begun],
    )
