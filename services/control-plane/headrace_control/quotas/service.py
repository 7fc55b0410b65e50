"""Quotas: a tenant reads its own, the platform sets everybody's."""

from dataclasses import asdict

from headrace.errors import InvalidInput, NotFound, Problem
from headrace.postgres.pool import Pool, tenant_transaction, transaction

from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.quotas import repository
from headrace_control.quotas.model import Quotas, QuotasUsed

MAX_QUOTA = 2**31 - 1
_AT_LEAST = {"unfinished_runs": 0, "stored_runs": 0, "starts_per_minute": 0}


class QuotaService:
    """Over a pool of the role headrace_api."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def used(self, caller: Caller) -> QuotasUsed:
        """The caller's tenant's quotas, and what it uses of them now."""
        caller.require(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            return QuotasUsed(
                await repository.quotas(db, caller.tenant_id), await repository.usage(db, caller.tenant_id)
            )

    async def set(self, caller: Caller, tenant: str, changes: dict[str, int | None]) -> Quotas:
        """Change quotas of the tenant of this name; what is not among `changes` stays. Starts, loops and claims to come
        keep to them within seconds. Raises `InvalidInput`, `NotFound`."""
        caller.require(Permission.MANAGE_TENANTS)
        if problems := [p for name, value in changes.items() if (p := _problem(name, value))]:
            raise InvalidInput(problems)
        async with transaction(self._pool) as db:
            tenant_id = await repository.tenant_named(db, tenant)
        if tenant_id is None:
            raise NotFound("tenant")
        async with tenant_transaction(self._pool, tenant_id) as db:
            before = await repository.quotas(db, tenant_id)
            after = Quotas(**{**asdict(before), **changes})
            await repository.set_quotas(db, tenant_id, after)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            target = f"tenant/{tenant}"
            await record(db, caller, Act("quotas.set", target, before=asdict(before), after=asdict(after)))
        return after


def _problem(name: str, value: int | None) -> Problem | None:
    path = "quotas." + "".join(w.title() if n else w for n, w in enumerate(name.split("_")))
    if value is None:
        if name != "runs_in_flight":
            return None
        return Problem(path, "there is always such a quota", "Write a number, 1 or more.")
    least = _AT_LEAST.get(name, 1)
    if least <= value <= MAX_QUOTA:
        return None
    return Problem(
        path, f"a number from {least} to {MAX_QUOTA} is needed", "Write one, or null for no quota."
    )
