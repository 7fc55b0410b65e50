"""Replacing the key that wraps the data keys, for all tenants, online: their data keys are wrapped anew."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from headrace.errors import InvalidInput, Problem
from headrace.json_types import JsonObject
from headrace.postgres.pool import Pool, tenant_transaction, transaction
from headrace.postgres.queries import load

from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.vault.envelope import SecretUnreadable
from headrace_control.vault.keys import KeyProvider
from headrace_control.vault.vault import wrapped_of

_log = structlog.get_logger(__name__)
_sql = load("headrace_control.vault")

MOST = 1_000
_TENANTS = 100
_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class WrappingKey:
    """A wrapping key that data keys stand under. `current`: it is the one that wraps now."""

    provider: str
    wrapped_by: str
    data_keys: int
    tenants: int
    current: bool


@dataclass(frozen=True, slots=True)
class Rewrapping:
    """`remaining` data keys stand under other wrapping keys, `unreadable` of them tried and not opened."""

    rewrapped: int
    unreadable: int
    remaining: int


class KeyWrapping:
    """For the platform. A tenant is a transaction of its own; where the work stands is in the rows alone, so it
    may be cut off and taken up, and two may do it at once."""

    def __init__(self, pool: Pool, provider: KeyProvider) -> None:
        self._pool, self._provider = pool, provider

    async def keys(self, caller: Caller) -> Sequence[WrappingKey]:
        """The wrapping keys that are in use, and the current one."""
        caller.require(Permission.MANAGE_TENANTS)
        return await self._keys()

    async def rewrap(self, caller: Caller, most: int = 200) -> Rewrapping:
        """Wrap up to `most` data keys anew under the current wrapping key.

        Raises `Unavailable` when a key provider can not be reached; what was done stays done.
        """
        caller.require(Permission.MANAGE_TENANTS)
        if not 0 < most <= MOST:
            raise InvalidInput([Problem("first", "out of range", f"Ask for 1 to {MOST} keys.")])
        rewrapped = unreadable = 0
        after = _NOBODY
        while rewrapped < most:
            async with transaction(self._pool) as db:
                rows = await db.fetch(
                    _sql.tenants_wrapped_otherwise, *self._provider.wraps_with, after, _TENANTS
                )
            for row in rows:
                after = row["tenant_id"]
                done, failed = await self._rewrap(after)
                rewrapped, unreadable = rewrapped + done, unreadable + failed
                if rewrapped >= most:
                    break
            if len(rows) < _TENANTS:
                break
        remaining = sum(key.data_keys for key in await self._keys() if not key.current)
        provider, wrapped_by = self._provider.wraps_with
        detail: JsonObject = {"rewrapped": rewrapped, "unreadable": unreadable, "remaining": remaining}
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            act = Act("data_keys.rewrap", f"wrapping_key/{provider}/{wrapped_by}", detail=detail)
            await record(db, caller, act)
        return Rewrapping(rewrapped, unreadable, remaining)

    async def _keys(self) -> list[WrappingKey]:
        now = self._provider.wraps_with
        async with transaction(self._pool) as db:
            rows = await db.fetch(_sql.wrapping_keys)
        found = [WrappingKey(**row, current=(row["provider"], row["wrapped_by"]) == now) for row in rows]
        if not any(key.current for key in found):
            found.append(WrappingKey(*now, data_keys=0, tenants=0, current=True))
        return found

    async def _rewrap(self, tenant_id: UUID) -> tuple[int, int]:
        done = failed = 0
        async with tenant_transaction(self._pool, tenant_id) as db:
            for row in await db.fetch(_sql.keys_wrapped_otherwise, tenant_id, *self._provider.wraps_with):
                try:
                    data_key = await self._provider.unwrap(tenant_id, wrapped_of(row))
                except SecretUnreadable:
                    _log.error("a data key does not open", tenant_id=str(tenant_id), key_id=str(row["id"]))
                    failed += 1
                    continue
                new = await self._provider.wrap(tenant_id, data_key)
                await db.execute(
                    _sql.rewrap_key, tenant_id, row["id"], new.provider, new.wrapped_by, new.wrapped
                )
                done += 1
        return done, failed
