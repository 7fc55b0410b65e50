"""Seals values under the tenant's active data key, and opens what was sealed under any of its keys."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import UUID

from headrace.ids import new_id
from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.vault.envelope import KEY_BYTES, KeysShredded, Place, SecretUnreadable, seal, unseal
from headrace_control.vault.keys import KeyProvider, WrappedKey

_sql = load("headrace_control.vault")


@dataclass(frozen=True, slots=True)
class Sealed:
    """A value as it is stored."""

    place: Place
    key_id: UUID
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Stored(Sealed):
    """A value as it was read: with its data key, in one statement, so that no rotation comes between the two."""

    key: WrappedKey = field(repr=False)

    @classmethod
    def of(cls, place: Place, row: Any) -> Self:
        """From a row with `key_id`, `sealed`, and the key's `provider`, `wrapped_by` and `wrapped`."""
        return cls(place, row["key_id"], row["sealed"], wrapped_of(row))


@dataclass(frozen=True, slots=True)
class DataKey:
    id: UUID
    key: bytes = field(repr=False)


class Vault:
    """Data keys stay in memory for one call, but for what the provider remembers.

    `db` is in a transaction of the values' tenant. `Unavailable`: the key provider can not be reached.
    """

    def __init__(self, provider: KeyProvider) -> None:
        self.provider = provider

    async def seal(self, db: Db, tenant_id: UUID, values: Mapping[Place, str]) -> list[Sealed]:
        """The values, sealed. The tenant's first data key is made when there is none. Raises `KeysShredded`."""
        data_key = await self.active_key(db, tenant_id)
        return [
            Sealed(place, data_key.id, seal(data_key.key, data_key.id, place, value))
            for place, value in values.items()
        ]

    async def unseal(self, tenant_id: UUID, stored: Sequence[Stored]) -> dict[Place, str]:
        """The values that open. One that does not is left out: who needs it says that it is missing."""
        keys: dict[UUID, bytes | None] = {}
        opened: dict[Place, str] = {}
        for value in stored:
            try:
                if value.key_id not in keys:
                    keys[value.key_id] = None
                    keys[value.key_id] = await self.provider.unwrap(tenant_id, value.key)
                if (key := keys[value.key_id]) is not None:
                    opened[value.place] = unseal(key, value.key_id, value.place, value.sealed)
            except SecretUnreadable:
                continue
        return opened

    async def active_key(self, db: Db, tenant_id: UUID) -> DataKey:
        """The key that seals now; it stays the active one until the transaction ends.

        Raises `SecretUnreadable` when the provider does not know its wrapping, and `KeysShredded`.
        """
        row: Any = await db.fetchrow(_sql.active_key, tenant_id)
        if row is None:
            await self._insert_key(db, tenant_id)
            row = await db.fetchrow(_sql.active_key, tenant_id)
        if row is None:
            raise KeysShredded
        return DataKey(row["id"], await self.provider.unwrap(tenant_id, wrapped_of(row)))

    async def replace_key(self, db: Db, tenant_id: UUID) -> DataKey:
        """A fresh active key; the one before stays, to open what it sealed. Waits for those who seal with it."""
        await db.execute(_sql.retire_key, tenant_id)
        await self._insert_key(db, tenant_id)
        return await self.active_key(db, tenant_id)

    async def _insert_key(self, db: Db, tenant_id: UUID) -> None:
        wrapped = await self.provider.wrap(tenant_id, secrets.token_bytes(KEY_BYTES))
        await db.execute(
            _sql.insert_key, tenant_id, new_id(), wrapped.provider, wrapped.wrapped_by, wrapped.wrapped
        )


def wrapped_of(row: Any) -> WrappedKey:
    return WrappedKey(row["provider"], row["wrapped_by"], row["wrapped"])
