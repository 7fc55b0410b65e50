"""Re-runs: a new run that goes on from where an ended one stopped."""

from uuid import UUID

from headrace.errors import Conflict, HeadraceError, InvalidInput, Problem
from headrace.json_types import Json
from headrace.postgres.pool import Db, Pool, tenant_transaction

from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.quotas.starts import StartQuotas
from headrace_control.reruns import repository
from headrace_control.reruns.inputs import is_sealed, merged, opened
from headrace_control.reruns.model import Origin, Plan, Preview, RerunWish
from headrace_control.reruns.planning import Planner, read_named, shown
from headrace_control.runs import repository as runs
from headrace_control.runs.model import Run, RunStart
from headrace_control.runs.parameters import Parameters
from headrace_control.runs.starts import start_runs
from headrace_control.vault.output_keys import OutputKeys


class RerunService:
    """Over a pool of the role headrace_api."""

    def __init__(self, pool: Pool, keys: OutputKeys) -> None:
        self._pool, self._keys = pool, keys
        self._parameters, self._quotas = Parameters(), StartQuotas()

    async def preview(self, caller: Caller, run_id: UUID, wish: RerunWish) -> Preview:
        """What `rerun` would take over and do again. Raises what that would raise but for the start itself."""
        caller.require(Permission.CONTROL_RUNS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            plan = await _plan(db, caller.tenant_id, run_id, wish)
        return shown(plan, UUID(plan.version.id))

    async def rerun(self, caller: Caller, run_id: UUID, wish: RerunWish) -> Run:
        """Start it. Raises `NotFound`, `Conflict`, `InvalidInput`, and what a start raises."""
        caller.require(Permission.CONTROL_RUNS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            run = await self.begin(db, caller.tenant_id, caller.actor.id, run_id, wish)
            await record(db, caller, Act("run.rerun", f"run/{run_id}", detail={"run": str(run.id)}))
        return run

    async def begin(self, db: Db, tenant_id: UUID, created_by: UUID, run_id: UUID, wish: RerunWish) -> Run:
        """As `rerun`; the dead letters of what it goes on from are closed.

        `db` is inside a tenant's transaction, and is given up when this raises.
        """
        known = await Planner(db, tenant_id).origin(run_id)
        await repository.lock_lineage(db, tenant_id, known.root)
        plan = await _plan(db, tenant_id, run_id, wish)
        # A start that was made before is answered with its run, which may be what would stand in the way.
        repeated = wish.key is not None and await repository.knows_key(db, tenant_id, wish.key)
        if not repeated:
            await _check(db, tenant_id, plan, wish)
        given = await self._input(db, tenant_id, plan.origin, wish.patch)
        number = wish.version if wish.version is not None else plan.origin.number
        start = RunStart(plan.origin.workflow, given, number, wish.key, rerun=wish.as_json(run_id))
        started = await start_runs(
            db, tenant_id, created_by, [start], self._parameters, self._quotas, self._keys
        )
        (answer,) = started.answers
        if isinstance(answer, HeadraceError):
            raise answer
        if started.begun and repeated:
            raise Conflict("the idempotency key has just expired: start again")
        if not started.begun:
            return answer
        await repository.attach(db, tenant_id, answer.id, plan, whole=wish.whole)
        await repository.close_letters(db, tenant_id, plan.runs, answer.id)
        return (await runs.runs_by_id(db, tenant_id, [answer.id]))[answer.id]

    async def _input(self, db: Db, tenant_id: UUID, origin: Origin, patch: Json) -> Json:
        given: Json = origin.input
        if is_sealed(given):
            keys = await self._keys.within(db, tenant_id, [origin.id])
            given = opened(tenant_id, origin.id, keys[origin.id], given)
        return given if patch is None else merged(given, patch)


async def _plan(db: Db, tenant_id: UUID, run_id: UUID, wish: RerunWish) -> Plan:
    if wish.whole and wish.steps:
        mend = "Ask for the whole run, or name steps."
        raise InvalidInput([Problem("steps", "a whole run has no steps to begin with", mend)])
    if wish.patch is not None and not isinstance(wish.patch, dict):
        mend = "Write the names and values that are to change; null takes a name away."
        raise InvalidInput([Problem("patch", "an object is needed", mend)])
    planner = Planner(db, tenant_id)
    origin = await planner.origin(run_id)
    if origin.parent_run_id is not None:
        raise Conflict(f"the run is step {origin.parent_step} of run {origin.parent_run_id}: re-run that one")
    return await planner.plan(
        origin, read_named(wish.steps), version=wish.version, whole=wish.whole, edited=wish.patch is not None
    )


async def _check(db: Db, tenant_id: UUID, plan: Plan, wish: RerunWish) -> None:
    """Raises `Conflict` for what stands in the way; the lineage is locked."""
    if plan.in_doubt and not wish.repeat_in_doubt:
        calls = ", ".join(plan.in_doubt[:10])
        raise Conflict(
            f"nobody knows whether these calls were made: {calls}; say that they are to be made again"
        )
    if wish.whole:
        return
    if found := await repository.in_the_way(db, tenant_id, plan.origin.root, plan.origin.id):
        other, unfinished = found
        then = "it has not ended" if unfinished else "re-run that one"
        how = "goes on from, or undoes," if unfinished else "goes on from"
        raise Conflict(f"run {other} {how} what this run did: {then}")
