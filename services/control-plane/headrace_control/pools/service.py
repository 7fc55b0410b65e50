"""Runner pools: operators keep them and say whose runs may be in them, designers choose among what is granted."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
from headrace.errors import Conflict, InvalidInput, LimitExceeded, NotFound, Problem
from headrace.json_types import JsonObject
from headrace.pools import DEFAULT_POOL, POOL_NAME
from headrace.postgres.pool import Pool, enter_tenant, one_statement, tenant_transaction, transaction
from headrace.workflow.names import NameRule

from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.names import check_name
from headrace_control.pools import repository
from headrace_control.pools.model import RunnerPool, TenantPools, WorkflowPool
from headrace_control.quotas.repository import tenant_named

# Each is a queue, a window of the relay and some series of metrics.
MAX_POOLS = 50
# Runs that are moved in one transaction.
BATCH = 500
_POOL_NAME = NameRule(
    "pool name", POOL_NAME, "Use lower case letters, digits and `-`, 40 at most, starting with a letter."
)


class PoolService:
    """`pool` is of the role headrace_api; `worker`, of headrace_worker, is asked about all tenants, for operators."""

    def __init__(self, pool: Pool, worker: Pool) -> None:
        self._pool, self._worker = pool, worker

    async def all(self, caller: Caller) -> Sequence[RunnerPool]:
        """Every pool, by name."""
        caller.require(Permission.READ_FLEET)
        async with one_statement(self._worker) as db:
            return await repository.pools(db)

    async def create(self, caller: Caller, name: str) -> RunnerPool:
        """A new pool. Raises `InvalidInput`, `Conflict` when it is there, `LimitExceeded`."""
        caller.require(Permission.MANAGE_TENANTS)
        check_name(name, rule=_POOL_NAME)
        async with transaction(self._worker) as db:
            if await repository.count(db) >= MAX_POOLS:
                raise LimitExceeded(f"there are {MAX_POOLS} pools already")
            made = await repository.add(db, name)
            if made is None:
                raise Conflict("a pool of this name is already there")
            await record(db, caller, Act("runner_pool.create", f"runner_pool/{name}", after=name))
        return made

    async def remove(self, caller: Caller, name: str) -> str:
        """Take away a pool that nobody uses. Raises `NotFound`, and `Conflict` that says who uses it."""
        caller.require(Permission.MANAGE_TENANTS)
        if name == DEFAULT_POOL:
            raise Conflict("the default pool is always there")
        async with transaction(self._worker) as db:
            if not await repository.known(db, [name]):
                raise NotFound("runner pool")
            tenants, some, runs = await repository.users(db, name)
            if tenants:
                more = " and others" if tenants > len(some) else ""
                raise Conflict(f"the pool is granted to {', '.join(some)}{more}: take it from them first")
            if runs:
                raise Conflict(f"{runs} runs in the pool have not ended: drain it first")
            try:
                await repository.remove(db, name)
            except asyncpg.ForeignKeyViolationError as error:
                raise Conflict("the pool has just been granted to a tenant") from error
            await record(db, caller, Act("runner_pool.remove", f"runner_pool/{name}", before=name))
        return name

    async def own(self, caller: Caller) -> TenantPools:
        """Where the caller's tenant's runs go."""
        caller.require(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            return await repository.of_tenant(db, caller.tenant_id)

    async def set_tenant(self, caller: Caller, tenant: str, pool: str, also: Sequence[str]) -> TenantPools:
        """Bind the tenant of this name to a pool, and say to which others its workflows may be bound; runs started from
        now on go by it. Raises `InvalidInput` for pools that there are not, `NotFound`, and `Conflict` while a workflow
        is bound to a pool that is not granted any more."""
        caller.require(Permission.MANAGE_TENANTS)
        granted = sorted({*also, *([pool] if pool != DEFAULT_POOL else [])})
        async with transaction(self._worker) as db:
            names = await repository.known(db, {pool, *also})
        if problems := [_unknown(path) for path, n in _places(pool, also) if n not in names]:
            raise InvalidInput(problems)
        async with transaction(self._pool) as db:
            tenant_id = await tenant_named(db, tenant)
        if tenant_id is None:
            raise NotFound("tenant")
        new = TenantPools(pool, granted)
        try:
            async with tenant_transaction(self._pool, tenant_id) as db:
                await repository.lock_tenant(db, tenant_id)
                before = await repository.of_tenant(db, tenant_id)
                if bound := await repository.bound_elsewhere(db, tenant_id, granted):
                    raise Conflict(f"the workflow {bound[0]} is bound to the pool {bound[1]}")
                await repository.set_tenant(db, tenant_id, new)
                await enter_tenant(db, caller.tenant_id)
                act = Act("tenant_pools.set", f"tenant/{tenant}", before=_kept(before), after=_kept(new))
                await record(db, caller, act)
        except asyncpg.ForeignKeyViolationError as error:
            raise Conflict("a workflow was bound to one of the pools, or a pool removed, just now") from error
        return new

    async def set_workflow(self, caller: Caller, workflow: str, pool: str | None) -> WorkflowPool:
        """Bind a workflow to a pool that its tenant is granted, or (None) to its tenant's own; runs started from now on
        go by it. Raises `NotFound`, and `InvalidInput` for a pool that is not granted."""
        caller.require(Permission.DESIGN)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            there, before = await repository.lock_workflow(db, caller.tenant_id, workflow)
            if not there:
                raise NotFound("workflow")
            granted = (await repository.of_tenant(db, caller.tenant_id)).granted
            if pool is not None and pool not in granted:
                raise InvalidInput([_not_granted(granted)])
            try:
                await repository.bind_workflow(db, caller.tenant_id, workflow, pool)
            except asyncpg.ForeignKeyViolationError:
                raise InvalidInput([_not_granted(granted)]) from None
            act = Act("workflow_pool.set", f"workflow/{workflow}", before=before, after=pool)
            await record(db, caller, act)
        return WorkflowPool(workflow, pool)

    async def drain(self, caller: Caller, pool: str, into: str, tenant: str | None) -> int:
        """Put every unfinished run of a pool into another one, of one tenant if one is named; how many. What a runner
        holds now it goes on with until it parks. Runs that are started meanwhile are not among them: bind their tenants
        and workflows elsewhere first. Idempotent. Raises `NotFound`, `InvalidInput`."""
        caller.require(Permission.MANAGE_TENANTS)
        async with transaction(self._worker) as db:
            names = await repository.known(db, [pool, into])
        if pool == DEFAULT_POOL or into == pool:
            mend = "Name another one than the default pool, and another to put its runs into."
            raise InvalidInput([Problem("name", "this pool is not drained", mend)])
        if pool not in names:
            raise NotFound("runner pool")
        if into not in names:
            raise InvalidInput([_unknown("into")])
        tenant_id: UUID | None = None
        if tenant is not None:
            async with transaction(self._pool) as db:
                tenant_id = await tenant_named(db, tenant)
            if tenant_id is None:
                raise NotFound("tenant")
        moved, after = 0, UUID(int=0)
        while True:
            async with transaction(self._worker) as db:
                some = await repository.move_some(db, pool, into, after, tenant_id, BATCH)
            moved += len(some)
            if len(some) < BATCH:
                break
            after = some[-1]
        async with transaction(self._worker) as db:
            await repository.move_dry_runs(db, pool, into, tenant_id)
            detail: JsonObject = {"into": into, "runs": moved, "tenant": tenant}
            await record(db, caller, Act("runner_pool.drain", f"runner_pool/{pool}", detail=detail))
        return moved


def _places(pool: str, also: Sequence[str]) -> Sequence[tuple[str, str]]:
    return [("pool", pool), *((f"also[{n}]", name) for n, name in enumerate(also))]


def _unknown(path: str) -> Problem:
    return Problem(path, "there is no such pool", "`runnerPools` lists them; make it first.")


def _not_granted(granted: Sequence[str]) -> Problem:
    mend = f"Granted are: {', '.join(granted)}." if granted else "None is; leave it out for the tenant's own."
    return Problem("pool", "this pool is not granted to the tenant", mend, "POOL_NOT_GRANTED")


def _kept(pools: TenantPools) -> JsonObject:
    return {"pool": pools.pool, "granted": list(pools.granted)}
