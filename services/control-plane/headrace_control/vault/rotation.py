"""Replacing a tenant's data key online: what it sealed is sealed anew, a few values at a time."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.postgres.pool import Db, Pool, tenant_transaction
from headrace.postgres.queries import load

from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.vault.envelope import Place
from headrace_control.vault.vault import Stored, Vault

_sql = load("headrace_control.vault")

BATCH = 200
# In one call, so that it ends while somebody waits for it.
MOST = 5_000

_NOWHERE = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Rotation:
    """`remaining` values are still sealed under an older key; 0 says that the rotation is done.

    `deleted` counts the older keys that nothing was sealed under any more.
    """

    key_id: UUID
    resealed: int
    remaining: int
    deleted: int


@dataclass(frozen=True, slots=True)
class TenantKeys:
    """Where a tenant's keys stand. `active_since` None: no secret was ever sealed, or the keys were shredded."""

    values: int
    remaining: int
    data_keys: int
    active_since: datetime | None
    shredded_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Table:
    """Where sealed values stand: how the next stale ones are read, and one is stored again."""

    owner: str
    stale: str
    reseal: str


_TABLES = (
    _Table("connection", _sql.stale_connection_secrets, _sql.reseal_connection_secret),
    _Table("secret", _sql.stale_secrets, _sql.reseal_secret),
    _Table("callback", _sql.stale_callback_keys, _sql.reseal_callback_key),
    _Table("output", _sql.stale_output_keys, _sql.reseal_output_key),
    _Table("signing", _sql.stale_signing_secrets, _sql.reseal_signing_secret),
)


class KeyRotation:
    """Every batch is a transaction of its own. Where a rotation stands can be seen from the rows alone, so one
    that was cut off goes on where it was, and two at once share the work."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool, self._vault = pool, vault

    async def rotate(self, caller: Caller, *, resume: bool = False) -> Rotation:
        """Seal everything of the caller's tenant under a fresh data key; `resume` keeps the one before.

        Values that do not open stay as they are and count as remaining; so does what is beyond `MOST`. Raises
        `KeysShredded`, and `Unavailable` when the key provider can not be reached: what was done stays done.
        """
        caller.require(Permission.MANAGE_CONNECTIONS)
        tenant_id = caller.tenant_id
        async with tenant_transaction(self._pool, tenant_id) as db:
            key = await (
                self._vault.active_key(db, tenant_id) if resume else self._vault.replace_key(db, tenant_id)
            )
            await record(db, caller, Act("data_key.rotate", f"data_key/{key.id}", detail={"resume": resume}))
        resealed = 0
        for table in _TABLES:
            after = (_NOWHERE, "")
            while resealed < MOST:
                done, last = await self._batch(tenant_id, key.id, table, after)
                resealed += done
                if last is None:
                    break
                after = last
        async with tenant_transaction(self._pool, tenant_id) as db:
            deleted = await db.fetchval(_sql.delete_unused_keys, tenant_id)
            remaining = (await _progress(db, tenant_id)).remaining
        return Rotation(key.id, resealed, remaining, deleted)

    async def progress(self, caller: Caller) -> TenantKeys:
        """Where the caller's tenant stands."""
        caller.require(Permission.MANAGE_CONNECTIONS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            return await _progress(db, caller.tenant_id)

    async def _batch(
        self, tenant_id: UUID, key_id: UUID, table: _Table, after: tuple[UUID, str]
    ) -> tuple[int, tuple[UUID, str] | None]:
        """How many were sealed anew, and behind which one to go on; None: that was all."""
        async with tenant_transaction(self._pool, tenant_id) as db:
            rows = await db.fetch(table.stale, tenant_id, key_id, *after, BATCH)
            stale = [
                Stored.of(Place(tenant_id, table.owner, row["owner_id"], row["field"]), row) for row in rows
            ]
            opened = await self._vault.unseal(tenant_id, stale)
            for new in await self._vault.seal(db, tenant_id, opened) if opened else ():
                place = new.place
                await db.execute(table.reseal, tenant_id, place.owner_id, place.field, new.key_id, new.sealed)
        return len(opened), (rows[-1]["owner_id"], rows[-1]["field"]) if len(rows) == BATCH else None


async def _progress(db: Db, tenant_id: UUID) -> TenantKeys:
    row: Any = await db.fetchrow(_sql.progress, tenant_id)
    return TenantKeys(**row)
