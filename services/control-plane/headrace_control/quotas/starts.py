"""Starts of tenants that have quotas of them: what is let in, and what is refused."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from uuid import UUID

from headrace.errors import QuotaExceeded
from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.quotas import repository
from headrace_control.quotas.model import Quotas

_sql = load("headrace_control.quotas")

# How long a process takes a tenant's quotas for what they were: most tenants have none, and their starts should not
# have to ask each time.
KEPT_SECONDS = 5.0
MAX_KEPT = 10_000


class StartQuotas:
    """One per process."""

    def __init__(self) -> None:
        self._kept: OrderedDict[UUID, tuple[Quotas, float]] = OrderedDict()

    async def of(self, db: Db, tenant_id: UUID) -> Quotas:
        known = self._kept.get(tenant_id)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        found = await repository.quotas(db, tenant_id)
        self._kept[tenant_id] = (found, time.monotonic() + KEPT_SECONDS)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return found

    async def admit(self, db: Db, tenant_id: UUID, sizes: Sequence[int]) -> Sequence[QuotaExceeded | None]:
        """For each start in turn, by the size of its input in bytes: None when it is let in, and counted.

        Those that are let in are the first ones; the tenant's row stays locked until the transaction ends.
        """
        quotas = await self.of(db, tenant_id)
        if not sizes or not quotas.limit_starts:
            return [None] * len(sizes)
        refusals: list[QuotaExceeded | None] = [_too_large(size, quotas.input_bytes) for size in sizes]
        row = await db.fetchrow(_sql.lock_quotas, tenant_id)
        if row is None:
            return refusals
        room, refusal = float("inf"), None
        if row["unfinished_runs"] is not None:
            there = await db.fetchval(_sql.count_unfinished, tenant_id, row["unfinished_runs"])
            room = row["unfinished_runs"] - there
            refusal = QuotaExceeded("unfinishedRuns", row["unfinished_runs"], "runs are unfinished")
        if row["stored_runs"] is not None and row["stored_runs"] - row["runs_counted"] < room:
            room = row["stored_runs"] - row["runs_counted"]
            refusal = QuotaExceeded("storedRuns", row["stored_runs"], "runs are stored")
        left = row["starts_left"]
        if left is not None and left < room:
            room = left
            refusal = QuotaExceeded(
                "startsPerMinute", row["starts_per_minute"], "starts were made in a minute"
            )
        taken = 0
        for n, refused in enumerate(refusals):
            if refused is not None:
                continue
            if taken + 1 <= room:
                taken += 1
            else:
                refusals[n] = refusal
        if taken:
            await db.execute(_sql.take_starts, tenant_id, None if left is None else left - taken, taken)
        return refusals


def _too_large(size: int, most: int | None) -> QuotaExceeded | None:
    if most is None or size <= most:
        return None
    return QuotaExceeded("inputBytes", most, "bytes of input are allowed")
