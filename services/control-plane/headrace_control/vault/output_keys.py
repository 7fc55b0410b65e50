"""The root of a tenant's keys for sensitive outputs and inputs: sealed in the vault, made when it is needed first."""

import secrets
from collections.abc import Mapping, Sequence
from uuid import UUID

from headrace.postgres.pool import Db, Pool, tenant_transaction
from headrace.postgres.queries import load
from headrace.sealed_outputs import KEY_BYTES, naming_key, run_key

from headrace_control.vault.envelope import Place, SecretUnreadable
from headrace_control.vault.vault import Stored, Vault

_sql = load("headrace_control.vault")


class OutputKeys:
    """Over a pool of the role headrace_api. Each run has a key of its own, derived from its tenant's root: a rotation
    of the data key seals the root anew, and what runs have stored stays as it is."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool, self._vault = pool, vault

    async def of(self, tenant_id: UUID, run_ids: Sequence[UUID]) -> Mapping[UUID, bytes]:
        """The keys of these runs. Raises `KeysShredded`, and `SecretUnreadable` when the root does not open."""
        async with tenant_transaction(self._pool, tenant_id) as db:
            return await self.within(db, tenant_id, run_ids)

    async def within(self, db: Db, tenant_id: UUID, run_ids: Sequence[UUID]) -> Mapping[UUID, bytes]:
        """As `of`; `db` is inside a tenant's transaction."""
        root = await self._root(db, tenant_id)
        return {run_id: run_key(root, tenant_id, run_id) for run_id in run_ids}

    async def naming_key(self, db: Db, tenant_id: UUID) -> bytes:
        """What names of the tenant's cached results are made with; `db` as of `within`. Raises as `of` does."""
        return naming_key(await self._root(db, tenant_id), tenant_id)

    async def _root(self, db: Db, tenant_id: UUID) -> bytes:
        """The root, made now if there is none."""
        root = await self._find(db, tenant_id)
        if root is None:
            fresh = {_place(tenant_id): secrets.token_hex(KEY_BYTES)}
            (sealed,) = await self._vault.seal(db, tenant_id, fresh)
            await db.execute(_sql.add_output_key, tenant_id, sealed.key_id, sealed.sealed)
            root = await self._find(db, tenant_id)
        if root is None:
            raise SecretUnreadable
        return root

    async def _find(self, db: Db, tenant_id: UUID) -> bytes | None:
        row = await db.fetchrow(_sql.output_key, tenant_id)
        if row is None:
            return None
        place = _place(tenant_id)
        opened = await self._vault.unseal(tenant_id, [Stored.of(place, row)])
        if place not in opened:
            raise SecretUnreadable
        return bytes.fromhex(opened[place])


def _place(tenant_id: UUID) -> Place:
    return Place(tenant_id, "output", tenant_id, "key")
