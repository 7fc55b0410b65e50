"""Results that stand for calls: where one of a call is kept, and what is kept there."""

import hmac
from typing import Any, Protocol
from uuid import UUID

from headrace.errors import NotFound
from headrace.postgres.pool import Db, Pool, one_statement, tenant_transaction
from headrace.postgres.queries import load

from headrace_control.internal_api.models import CachedResultBody
from headrace_control.vault.envelope import KeysShredded, SecretUnreadable

_sql = load("headrace_control.internal_api")


class NamingKeys(Protocol):
    async def naming_key(self, db: Db, tenant_id: UUID) -> bytes:
        """What a tenant's slots are named with. Raises `KeysShredded`, `SecretUnreadable`."""


class CachedResults:
    """`worker` is a pool of the role headrace_worker, `api` of headrace_api: a tenant's own is read as the tenant."""

    def __init__(self, worker: Pool, api: Pool, keys: NamingKeys) -> None:
        self._worker, self._api, self._keys = worker, api, keys

    async def find(self, runner_id: UUID, body: CachedResultBody) -> dict[str, Any]:
        """For the holder of the run's open claim alone. Raises `NotFound` otherwise.

        A re-run, and what it begins, finds nothing: it is asked for to have calls made again.
        """
        async with one_statement(self._worker) as db:
            asking = await db.fetchrow(
                _sql.who_asks_for_a_result, body.run_id, body.epoch, runner_id, body.token_hash
            )
        if asking is None:
            raise NotFound("claim")
        tenant_id = asking["tenant_id"]
        async with tenant_transaction(self._api, tenant_id) as db:
            try:
                key = await self._keys.naming_key(db, tenant_id)
            except (KeysShredded, SecretUnreadable):
                return {"slot": None, "found": None}
            slot = hmac.digest(key, body.digest.encode(), "sha256")
            row = None if asking["again"] else await db.fetchrow(_sql.cached_result, tenant_id, slot)
        found = row and {"output": row["output"], "run_id": row["run_id"], "at": row["kept_at"]}
        return {"slot": slot.hex(), "found": found}
