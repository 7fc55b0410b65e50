"""Cached results of a tenant's calls: listed by action, and forgotten."""

from headrace.errors import NotFound
from headrace.postgres.pool import Pool, tenant_transaction

from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.results import repository
from headrace_control.results.model import CachedAction

MAX_ACTIONS = 1_000


class ResultService:
    """Over a pool of the role headrace_api."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def by_action(self, caller: Caller) -> list[CachedAction]:
        """The first `MAX_ACTIONS` by name."""
        caller.require(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            return await repository.by_action(db, caller.tenant_id, MAX_ACTIONS)

    async def forget(self, caller: Caller, action: str | None) -> int:
        """Have the next calls of an action, `app/action`, made again, or with None those of all; how many results went.
        Raises `NotFound`."""
        caller.require(Permission.CONTROL_RUNS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            count = await repository.forget(db, caller.tenant_id, action)
            if count is None:
                raise NotFound("action")
            act = Act("cached_results.forget", f"action/{action or '*'}", detail={"results": count})
            await record(db, caller, act)
        return count
