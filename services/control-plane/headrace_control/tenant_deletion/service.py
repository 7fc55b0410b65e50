"""Asking for a tenant's end, and taking it back."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from headrace.errors import Conflict, InvalidInput, NotFound, Problem
from headrace.postgres.pool import Db, Pool, enter_tenant, tenant_transaction, transaction
from headrace.postgres.queries import load

from headrace_control.audit.record import Act, Part, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.pages import Cursor, PageOf, page_of, page_size
from headrace_control.tenant_deletion.model import CANCELED_AHEAD, LEAST_GRACE, MOST_GRACE, TenantDeletion

_sql = load("headrace_control.tenant_deletion")
_DELETIONS = Cursor("tenantDeletions")


class TenantDeletionService:
    """Over a pool of the role headrace_api. `ending.Endings` carries out what is asked for here."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def of_own(self, caller: Caller) -> TenantDeletion | None:
        """The deletion of the caller's tenant, if one was asked for."""
        caller.require(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            return await _deletion(db, caller.tenant_id)

    async def page(self, caller: Caller, first: int, after: str | None) -> PageOf[TenantDeletion]:
        """Deletions of all tenants, those that are done too; newest tenants first. For the platform."""
        caller.require(Permission.MANAGE_TENANTS)
        limit, before = page_size(first), _DELETIONS.read_id(after)
        async with transaction(self._pool) as db:
            found = [_read(row) for row in await db.fetch(_sql.deletions, before, limit + 1)]
        return page_of(found, limit, lambda one: _DELETIONS.write(one.tenant_id))

    async def ask(
        self, caller: Caller, tenant: str, confirm: str, grace_days: int, *, cancel_runs: bool
    ) -> TenantDeletion:
        """Have the tenant of this name deleted in `grace_days`; `confirm` is its name once more. For the platform.

        Nothing starts in it from now on. What runs may end by itself until `CANCELED_AHEAD` of the end, and is canceled
        then; with `cancel_runs` it is canceled now. Raises `InvalidInput`, `NotFound`, and `Conflict` for a platform
        tenant and for one whose deletion was asked for already.
        """
        caller.require(Permission.MANAGE_TENANTS)
        if problems := _problems(tenant, confirm, grace_days):
            raise InvalidInput(problems)
        tenant_id = await self._named(tenant)
        async with tenant_transaction(self._pool, tenant_id) as db:
            if await db.fetchval(_sql.is_platform, tenant_id):
                raise Conflict("a platform tenant is not deleted: its admins are who could take it back")
            grace = timedelta(days=grace_days)
            asked = await db.fetchval(
                _sql.ask, tenant_id, caller.actor.id, caller.tenant_id, grace, cancel_runs, CANCELED_AHEAD
            )
            deletion = await _deletion(db, tenant_id)
            if asked is None or deletion is None:
                raise Conflict("the tenant's deletion was asked for already")
            detail = {"dueAt": deletion.due_at.isoformat(), "cancelAt": deletion.cancel_at.isoformat()}
            await _record_for_both(
                db, caller, tenant_id, Act("tenant.delete", f"tenant/{tenant}", detail=detail)
            )
        return deletion

    async def keep(self, caller: Caller, tenant: str) -> TenantDeletion:
        """Take the deletion of the tenant of this name back, while its time is not over; what it was to be. For the
        platform. What was canceled stays canceled. Raises `NotFound`, and `Conflict` when there is none or it is too
        late."""
        caller.require(Permission.MANAGE_TENANTS)
        tenant_id = await self._named(tenant)
        async with tenant_transaction(self._pool, tenant_id) as db:
            deletion = await _deletion(db, tenant_id)
            if deletion is None:
                raise Conflict("no deletion of the tenant was asked for")
            if not await db.fetchval(_sql.keep):
                raise Conflict("the time in which the tenant could be kept is over")
            await _record_for_both(db, caller, tenant_id, Act("tenant.keep", f"tenant/{tenant}"))
        return deletion

    async def _named(self, tenant: str) -> UUID:
        async with transaction(self._pool) as db:
            found: UUID | None = await db.fetchval(_sql.tenant_named, tenant)
        if found is None:
            raise NotFound("tenant")
        return found


def _problems(tenant: str, confirm: str, grace_days: int) -> list[Problem]:
    problems = []
    if confirm != tenant:
        mend = "Give the tenant's name once more: everything of it will be deleted."
        problems.append(Problem("confirm", "is not the tenant's name", mend))
    if not LEAST_GRACE <= grace_days <= MOST_GRACE:
        mend = f"Give {LEAST_GRACE} to {MOST_GRACE} days."
        problems.append(Problem("graceDays", "out of range", mend))
    return problems


async def _record_for_both(db: Db, caller: Caller, tenant_id: UUID, act: Act) -> None:
    """The tenant is told of it, and so is the platform."""
    await record(db, Part(tenant_id, caller.actor, caller.origin), act)
    await enter_tenant(db, caller.tenant_id)
    await record(db, caller, act)


async def _deletion(db: Db, tenant_id: UUID) -> TenantDeletion | None:
    row = await db.fetchrow(_sql.deletion, tenant_id)
    return _read(row) if row else None


def _read(row: Any) -> TenantDeletion:
    return TenantDeletion(**row)
