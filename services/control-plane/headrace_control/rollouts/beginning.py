"""Begins a rollout, in the transaction that publishes its candidate or in one of its own."""

from uuid import UUID

from headrace.errors import Conflict
from headrace.json_numbers import plain_number
from headrace.json_types import JsonObject
from headrace.postgres.pool import Db

from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.rollouts import repository
from headrace_control.rollouts.model import Rollout, RolloutChangeKind, Terms
from headrace_control.rollouts.terms import check_terms
from headrace_control.runs.parameters import Parameters


async def refuse_while_open(db: Db, tenant_id: UUID, workflow_id: UUID) -> None:
    """Raises `Conflict` while the workflow has an open rollout. Under the workflow's lock."""
    if await repository.open_of(db, tenant_id, workflow_id) is not None:
        raise Conflict("a rollout of the workflow is open: promote or roll back its candidate first")


async def stable_of(db: Db, tenant_id: UUID, workflow_id: UUID, candidate_id: UUID | None = None) -> UUID:
    """The version that starts run beside the candidate. Raises `Conflict` when there is none."""
    for one in await repository.published(db, tenant_id, workflow_id, None):
        if one.id != candidate_id:
            return one.id
    raise Conflict(
        "the workflow has no other published version for the remaining starts: publish without a rollout"
    )


async def begin(
    db: Db,
    caller: Caller,
    workflow_id: UUID,
    workflow: str,
    candidate_id: UUID,
    terms: Terms,
    note: str = "",
    place: str = "",
) -> Rollout:
    """Let the candidate, a published version, take its share from now on. Under the workflow's lock.

    Raises `InvalidInput`, with paths behind `place`, and `Conflict` when a rollout is open or no other version is there
    for the other starts.
    """
    tenant_id = caller.tenant_id
    await refuse_while_open(db, tenant_id, workflow_id)
    stable_id = await stable_of(db, tenant_id, workflow_id, candidate_id)
    rules = await Parameters().of(db, tenant_id, [stable_id, candidate_id])
    check_terms(terms, [rule.marks for rule in rules.values()], place)
    await repository.hold_back(db, tenant_id, candidate_id)
    rollout_id = await repository.begin(db, tenant_id, workflow_id, stable_id, candidate_id, terms)
    await repository.keep_change(db, tenant_id, rollout_id, RolloutChangeKind.BEGUN, note, caller.actor)
    detail: JsonObject = {
        "stable": str(stable_id),
        "candidate": str(candidate_id),
        "percent": plain_number(terms.percent),
    }
    act = Act("rollout.begin", f"rollout/{workflow}", after=terms.as_json(), detail=detail)
    await record(db, caller, act)
    (begun,) = await repository.newest(db, tenant_id, workflow, 1)
    return begun
