"""Replacing a tenant's data key online: what it sealed is sealed anew, a few values at a time."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from headrace.postgres.pool import Db, Pool, tenant_transaction
from headrace.postgres.queries import load

from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.vault.envelope import Place
from headrace_control.vault.vault import Sealed, Vault

_sql = load("headrace_control.vault")

BATCH = 200


@dataclass(frozen=True, slots=True)
class Rotation:
    """`remaining` values are still sealed under an older key; 0 says that the rotation is done."""

    key_id: UUID
    resealed: int
    remaining: int


class KeyRotation:
    """Every batch is a transaction of its own. Where a rotation stands can be seen from the rows alone, so one
    that was cut off goes on where it was."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool, self._vault = pool, vault

    async def rotate(self, caller: Caller, *, resume: bool = False) -> Rotation:
        """Seal everything of the caller's tenant under a fresh data key; `resume` keeps the one before.

        Values that do not open stay as they are and count as remaining.
        """
        caller.require(Permission.MANAGE_CONNECTIONS)
        tenant_id = caller.tenant_id
        async with tenant_transaction(self._pool, tenant_id) as db:
            key = await (
                self._vault.active_key(db, tenant_id) if resume else self._vault.replace_key(db, tenant_id)
            )
        resealed = 0
        while done := await self._batch(tenant_id, key.id):
            resealed += done
        async with tenant_transaction(self._pool, tenant_id) as db:
            remaining = await db.fetchval(_sql.count_stale, tenant_id, key.id)
        return Rotation(key.id, resealed, remaining)

    async def _batch(self, tenant_id: UUID, key_id: UUID) -> int:
        async def connection_secret(db: Db, new: Sealed) -> None:
            await db.execute(
                _sql.reseal_connection_secret,
                tenant_id,
                new.place.owner_id,
                new.place.field,
                new.key_id,
                new.sealed,
            )

        async def secret(db: Db, new: Sealed) -> None:
            await db.execute(_sql.reseal_secret, tenant_id, new.place.owner_id, new.key_id, new.sealed)

        async def callback_key(db: Db, new: Sealed) -> None:
            await db.execute(_sql.reseal_callback_key, tenant_id, new.key_id, new.sealed)

        async with tenant_transaction(self._pool, tenant_id) as db:
            done = 0
            for owner, statement, store in (
                ("connection", _sql.stale_connection_secrets, connection_secret),
                ("secret", _sql.stale_secrets, secret),
                ("callback", _sql.stale_callback_keys, callback_key),
            ):
                rows = await db.fetch(statement, tenant_id, key_id, BATCH)
                done += await self._reseal(db, tenant_id, owner, rows, store)
            return done

    async def _reseal(
        self,
        db: Db,
        tenant_id: UUID,
        owner: str,
        rows: list[Any],
        store: Callable[[Db, Sealed], Awaitable[None]],
    ) -> int:
        stale = [
            Sealed(Place(tenant_id, owner, row["owner_id"], row["field"]), row["key_id"], row["sealed"])
            for row in rows
        ]
        opened = await self._vault.unseal(db, tenant_id, stale)
        for new in await self._vault.seal(db, tenant_id, opened):
            await store(db, new)
        return len(opened)
