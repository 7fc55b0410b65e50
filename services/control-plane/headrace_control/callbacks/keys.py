"""The key that signs a tenant's callback addresses: sealed in the vault, made when it is needed first."""

import secrets
from uuid import UUID

from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.callbacks.tokens import KEY_BYTES
from headrace_control.vault.envelope import Place, SecretUnreadable
from headrace_control.vault.vault import Stored, Vault

_sql = load("headrace_control.callbacks")


class CallbackKeys:
    """`db` is in a transaction of the tenant. What does not open raises `SecretUnreadable`, or `KeysShredded`."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def find(self, db: Db, tenant_id: UUID) -> bytes | None:
        """The tenant's key; None when it has none, so that no address of it was ever given out."""
        row = await db.fetchrow(_sql.key, tenant_id)
        if row is None:
            return None
        place = place_of(tenant_id)
        opened = await self._vault.unseal(tenant_id, [Stored.of(place, row)])
        if place not in opened:
            raise SecretUnreadable
        return bytes.fromhex(opened[place])

    async def of(self, db: Db, tenant_id: UUID) -> bytes:
        """The tenant's key, made now when there is none."""
        if (key := await self.find(db, tenant_id)) is not None:
            return key
        fresh = {place_of(tenant_id): secrets.token_hex(KEY_BYTES)}
        (sealed,) = await self._vault.seal(db, tenant_id, fresh)
        await db.execute(_sql.add_key, tenant_id, sealed.key_id, sealed.sealed)
        if (key := await self.find(db, tenant_id)) is None:
            raise SecretUnreadable
        return key


def place_of(tenant_id: UUID) -> Place:
    return Place(tenant_id, "callback", tenant_id, "key")
