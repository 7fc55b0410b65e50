"""The sealer: gives what was recorded its place in the tenant's chain."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from headrace.audit_chain import GENESIS, link
from headrace.errors import HeadraceError
from headrace.outage import Outage
from headrace.postgres.pool import Pool, transaction
from headrace.postgres.queries import load
from headrace.telemetry.figures import Figures
from prometheus_client import CollectorRegistry, Gauge

from headrace_control.audit.model import AuditRecord, Sealed, read_record

_sql = load("headrace_control.audit")

PERIOD_SECONDS = 1.0
# Of one pass. Tenants are taken in turn and share it, so that one that records much does not hold up the others.
TENANTS, RECORDS = 20, 1000

_BEFORE_ALL = UUID(int=0)


class Sealer:
    """Over a pool of the role headrace_audit. Of all that run, one works at a time; a pass is one transaction."""

    def __init__(self, pool: Pool, registry: CollectorRegistry) -> None:
        self._pool = pool
        self._figures = Figures("the audit", registry)
        shown = self._figures.registry
        self._waiting = Gauge(
            "headrace_audit_unsealed", "Audit records that are in no chain yet.", registry=shown
        )
        self._oldest = Gauge(
            "headrace_audit_unsealed_oldest_seconds", "Age of the oldest of them.", registry=shown
        )

    async def run(self) -> None:
        """Work until cancelled; what fails now is done a second later."""
        # What is not sealed is measured all the more when sealing fails, or comes to no end.
        await asyncio.gather(self._keep_sealing(), self._figures.keep_reading(self._measure, PERIOD_SECONDS))

    async def _keep_sealing(self) -> None:
        outage = Outage("audit sealer waits", "audit sealer goes on")
        while True:
            try:
                await self.seal_all()
                outage.over()
            except (HeadraceError, asyncpg.PostgresError) as error:
                outage.tried(error=type(error).__name__)
            await asyncio.sleep(PERIOD_SECONDS)

    async def seal_all(self) -> int:
        """Seal what is there now; how many records. 0 when another one is at it."""
        sealed = 0
        after = _BEFORE_ALL
        while (done := await self._pass(after)) is not None:
            count, last = done
            sealed += count
            after = last or _BEFORE_ALL
        return sealed

    async def _pass(self, after: UUID) -> tuple[int, UUID | None] | None:
        """Seal some records of the next tenants behind `after`: how many, and the last of these tenants, None when
        there were none behind it; None when nothing is left, or another sealer works."""
        async with transaction(self._pool) as db:
            if not await db.fetchval(_sql.one_sealer_at_a_time):
                return None
            tenants = [row["tenant_id"] for row in await db.fetch(_sql.tenants_waiting, after, TENANTS)]
            if not tenants:
                return None if after == _BEFORE_ALL else (0, None)
            # Read under the lock, in a statement after the one that took it.
            heads = {row["tenant_id"]: row for row in await db.fetch(_sql.heads, tenants)}
            sealed = _chained(await db.fetch(_sql.take, tenants, RECORDS // len(tenants)), heads)
            await db.execute(_sql.seal, *columns(sealed))
        return len(sealed), tenants[-1]

    async def _measure(self) -> None:
        async with transaction(self._pool) as db:
            row = await db.fetchrow(_sql.unsealed)
        if row is not None:
            self._waiting.set(row["waiting"])
            self._oldest.set(row["oldest_seconds"])
            self._figures.are_read()


def _chained(rows: Sequence[Any], heads: dict[UUID, Any]) -> list[Sealed]:
    """The records behind their tenants' heads, in the order of their ids."""
    ends = {tenant: (head["seq"], head["hash"]) for tenant, head in heads.items()}
    chained = []
    for row in sorted(rows, key=lambda row: (row["tenant_id"], row["id"])):
        seq, previous = ends.get(row["tenant_id"], (0, GENESIS))
        record = read_record(row, seq + 1)
        own = link(previous, record.as_json())
        chained.append(Sealed(record, previous, own))
        ends[row["tenant_id"]] = (seq + 1, own)
    return chained


def columns(sealed: Sequence[Sealed]) -> list[list[Any]]:
    """What the statement `seal` takes."""
    records: list[AuditRecord] = [one.record for one in sealed]
    names = (
        "tenant_id",
        "seq",
        "id",
        "at",
        "actor_kind",
        "actor_id",
        "actor_name",
        "action",
        "target",
        "outcome",
    )
    return [
        *([getattr(record, name) for record in records] for name in (*names, "before", "after")),
        [orjson.dumps(record.detail).decode() for record in records],
        [record.correlation_id for record in records],
        [record.origin for record in records],
        [one.previous for one in sealed],
        [one.hash for one in sealed],
    ]
