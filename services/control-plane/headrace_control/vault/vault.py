"""Seals values under the tenant's active data key, and opens what was sealed under any of its keys."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from headrace.ids import new_id
from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.vault.envelope import KEY_BYTES, Place, SecretUnreadable, seal, unseal
from headrace_control.vault.keys import KeyProvider, WrappedKey

_sql = load("headrace_control.vault")


@dataclass(frozen=True, slots=True)
class Sealed:
    """A value as it is stored."""

    place: Place
    key_id: UUID
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DataKey:
    id: UUID
    key: bytes = field(repr=False)


class Vault:
    """Data keys stay in memory for one call only. `db` is in a transaction of the values' tenant."""

    def __init__(self, provider: KeyProvider) -> None:
        self._provider = provider

    async def seal(self, db: Db, tenant_id: UUID, values: Mapping[Place, str]) -> list[Sealed]:
        """The values, sealed. The tenant's first data key is made when there is none."""
        data_key = await self.active_key(db, tenant_id)
        return [
            Sealed(place, data_key.id, seal(data_key.key, data_key.id, place, value))
            for place, value in values.items()
        ]

    async def unseal(self, db: Db, tenant_id: UUID, sealed: Sequence[Sealed]) -> dict[Place, str]:
        """The values that open. One that does not is left out: who needs it says that it is missing."""
        rows = await db.fetch(_sql.keys, tenant_id, list({value.key_id for value in sealed}))
        keys: dict[UUID, bytes] = {}
        for row in rows:
            try:
                keys[row["id"]] = await self._provider.unwrap(tenant_id, _wrapped(row))
            except SecretUnreadable:
                continue
        opened: dict[Place, str] = {}
        for value in sealed:
            if (key := keys.get(value.key_id)) is None:
                continue
            try:
                opened[value.place] = unseal(key, value.key_id, value.place, value.sealed)
            except SecretUnreadable:
                continue
        return opened

    async def active_key(self, db: Db, tenant_id: UUID) -> DataKey:
        """The key that seals now. Raises `SecretUnreadable` when the provider does not know its wrapping."""
        row: Any = await db.fetchrow(_sql.active_key, tenant_id)
        if row is None:
            await self._insert_key(db, tenant_id)
            row = await db.fetchrow(_sql.active_key, tenant_id)
        return DataKey(row["id"], await self._provider.unwrap(tenant_id, _wrapped(row)))

    async def replace_key(self, db: Db, tenant_id: UUID) -> DataKey:
        """A fresh active key; the one before stays, to open what it sealed."""
        await db.execute(_sql.retire_key, tenant_id)
        await self._insert_key(db, tenant_id)
        return await self.active_key(db, tenant_id)

    async def _insert_key(self, db: Db, tenant_id: UUID) -> None:
        wrapped = await self._provider.wrap(tenant_id, secrets.token_bytes(KEY_BYTES))
        await db.execute(
            _sql.insert_key, tenant_id, new_id(), wrapped.provider, wrapped.wrapped_by, wrapped.wrapped
        )


def _wrapped(row: Any) -> WrappedKey:
    return WrappedKey(row["provider"], row["wrapped_by"], row["wrapped"])
