"""Takes away what is older than the audit's records are kept, and says so in the chain itself.

The record `audit.prune` has the place and the hash of the last one that is gone: the first one that is left follows it,
and the chain proves so from there on. The database lets nothing go that no such record stands for.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import structlog
from headrace.audit_chain import PRUNE, link
from headrace.errors import HeadraceError
from headrace.ids import new_id
from headrace.postgres.pool import Pool, transaction
from headrace.postgres.queries import load

from headrace_control.audit.model import AuditRecord, Sealed
from headrace_control.audit.record import CONTROL_PLANE, AuditOutcome
from headrace_control.audit.sealer import columns

_log = structlog.get_logger(__name__)
_sql = load("headrace_control.audit")

PERIOD_SECONDS = 3_600.0
# Records that go in one transaction, in which nothing is sealed.
MOST = 10_000

_BEFORE_ALL = UUID(int=0)


class Pruning:
    """Over a pool of the role headrace_audit. Safe to be done by many processes at once."""

    def __init__(self, pool: Pool, kept: timedelta) -> None:
        self._pool, self._kept = pool, kept

    async def run(self) -> None:
        """Work until cancelled, once an hour; what fails now is done an hour later."""
        while True:
            try:
                await self.prune_all()
            except (HeadraceError, asyncpg.PostgresError) as error:
                _log.warning("audit pruning waits", error=type(error).__name__)
            await asyncio.sleep(PERIOD_SECONDS)

    async def prune_all(self) -> int:
        """Prune each tenant's chain; how many records went."""
        gone, tenant_id = 0, _BEFORE_ALL
        while True:
            async with transaction(self._pool) as db:
                following = await db.fetchval(_sql.next_tenant, tenant_id)
            if following is None:
                return gone
            tenant_id = following
            while pruned := await self._prune(tenant_id):
                gone += pruned

    async def _prune(self, tenant_id: UUID) -> int:
        async with transaction(self._pool) as db:
            await db.execute(_sql.no_sealer_meanwhile)
            # Read under the lock, in statements after the one that took it.
            row = await db.fetchrow(_sql.prunable, tenant_id, self._kept, MOST)
            if row is None:
                return 0
            (head,) = await db.fetch(_sql.heads, [tenant_id])
            count = int(row["seq"] - row["first"] + 1)
            detail = {"seq": row["seq"], "hash": row["hash"].hex(), "records": count}
            record = _record(tenant_id, head["seq"] + 1, row["now"], detail)
            sealed = Sealed(record, head["hash"], link(head["hash"], record.as_json()))
            await db.execute(_sql.seal, *columns([sealed]))
            await db.execute(_sql.prune, tenant_id, row["seq"])
        _log.info("audit records pruned", tenant_id=str(tenant_id), records=count, up_to=row["seq"])
        return count


def _record(tenant_id: UUID, seq: int, at: datetime, detail: dict[str, Any]) -> AuditRecord:
    return AuditRecord(
        tenant_id,
        seq,
        new_id(),
        at,
        CONTROL_PLANE.kind,
        CONTROL_PLANE.id,
        CONTROL_PLANE.name,
        PRUNE,
        "audit",
        AuditOutcome.DONE,
        None,
        None,
        detail,
        "",
        None,
    )
