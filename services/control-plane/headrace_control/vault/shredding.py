"""Crypto-shredding: a tenant's data keys are deleted, and with them whatever was sealed under them is lost."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
import structlog
from headrace.errors import Conflict, InvalidInput, NotFound, Problem
from headrace.json_types import JsonObject
from headrace.postgres.pool import Pool, enter_tenant, tenant_transaction, transaction
from headrace.postgres.queries import load

from headrace_control.audit.record import Act, Part, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.vault.keys import KeyProvider

_log = structlog.get_logger(__name__)
_sql = load("headrace_control.vault")
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Shredding:
    """What was deleted by this call; zeros say that nothing was left. `at`: when it was done first."""

    data_keys: int
    values: int
    at: datetime


class KeyShredding:
    """For the platform. One transaction: after it no data key of the tenant is left, and none is made again."""

    def __init__(self, pool: Pool, provider: KeyProvider) -> None:
        self._pool, self._provider = pool, provider

    async def shred(self, caller: Caller, tenant: str, confirm: str) -> Shredding:
        """Delete the data keys of the tenant of this name, for good; `confirm` is its name once more. Idempotent.

        Waits for those who are sealing now. What runs hold in memory they hold until their claims end; the next
        claim hands out nothing. Raises `InvalidInput`, `NotFound`, `Conflict`.
        """
        caller.require(Permission.MANAGE_TENANTS)
        if confirm != tenant:
            mend = "Give the tenant's name once more: this can not be undone."
            raise InvalidInput([Problem("confirm", "is not the tenant's name", mend)])
        async with transaction(self._pool) as db:
            tenant_id = await db.fetchval(_sql.tenant_named, tenant)
        if tenant_id is None:
            raise NotFound("tenant")
        for left in reversed(range(_ATTEMPTS)):
            try:
                done = await self._delete(caller, tenant, tenant_id)
                break
            except asyncpg.DeadlockDetectedError:
                # Who writes a secret holds its row and wants the key, we hold the key and want the row.
                if not left:
                    raise Conflict("the tenant's secrets are being written; call again") from None
        self._provider.forget(tenant_id)
        _log.warning("keys shredded", tenant_id=str(tenant_id), data_keys=done.data_keys, values=done.values)
        return done

    async def _delete(self, caller: Caller, tenant: str, tenant_id: UUID) -> Shredding:
        async with tenant_transaction(self._pool, tenant_id) as db:
            await db.fetch(_sql.lock_data_keys, tenant_id)
            at = await db.fetchval(_sql.mark_shredded, tenant_id)
            await db.fetch(_sql.lock_data_keys, tenant_id)
            values = 0
            for statement in (
                _sql.shred_connection_secrets,
                _sql.shred_secrets,
                _sql.shred_callback_keys,
                _sql.shred_output_keys,
                _sql.shred_signing_secrets,
            ):
                values += await db.fetchval(statement, tenant_id)
            data_keys = await db.fetchval(_sql.shred_data_keys, tenant_id)
            detail: JsonObject = {"dataKeys": data_keys, "values": values}
            act = Act("tenant_keys.shred", f"tenant/{tenant}", detail=detail)
            # The tenant is told of it, and so is the platform.
            await record(db, Part(tenant_id, caller.actor, caller.origin), act)
            await enter_tenant(db, caller.tenant_id)
            await record(db, caller, act)
        return Shredding(data_keys, values, at)

    async def was_shredded(self, tenant_id: UUID) -> bool:
        """For claims."""
        async with tenant_transaction(self._pool, tenant_id) as db:
            return bool(await db.fetchval(_sql.was_shredded, tenant_id))
