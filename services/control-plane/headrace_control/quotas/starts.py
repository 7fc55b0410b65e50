"""Starts of tenants that have quotas of them: what is let in, and what is refused."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
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

    async def room(self, db: Db, tenant_id: UUID) -> "Room | None":
        """What there is room for; None where nothing limits the tenant's starts.

        The tenant's row stays locked until the transaction ends, so that its starts follow one another.
        """
        quotas = await self.of(db, tenant_id)
        if not quotas.limit_starts:
            return None
        row = await db.fetchrow(_sql.lock_quotas, tenant_id)
        if row is None:
            return None
        places, refusal = float("inf"), None
        if row["unfinished_runs"] is not None:
            there = await db.fetchval(_sql.count_unfinished, tenant_id, row["unfinished_runs"])
            places = row["unfinished_runs"] - there
            refusal = QuotaExceeded("unfinishedRuns", row["unfinished_runs"], "runs are unfinished")
        if row["stored_runs"] is not None and row["stored_runs"] - row["runs_counted"] < places:
            places = row["stored_runs"] - row["runs_counted"]
            refusal = QuotaExceeded("storedRuns", row["stored_runs"], "runs are stored")
        left = row["starts_left"]
        if left is not None and left < places:
            places = left
            refusal = QuotaExceeded(
                "startsPerMinute", row["starts_per_minute"], "starts were made in a minute"
            )
        return Room(tenant_id, places, refusal, quotas.input_bytes, left)


@dataclass(frozen=True, slots=True)
class AskedFor:
    """A start, by the size of its input in bytes, and by its idempotency key."""

    size: int
    key: str | None


@dataclass(frozen=True, slots=True)
class Room:
    """What a tenant's quotas leave: so many `places`, and `refusal` is what the next start is told.

    `starts_left` are those of the minute; None without such a quota.
    """

    tenant_id: UUID
    places: float
    refusal: QuotaExceeded | None
    input_bytes: int | None
    starts_left: float | None

    def refusals(self, starts: Sequence[AskedFor]) -> Sequence[QuotaExceeded | None]:
        """For each start in turn: None when it is let in. Those that are let in are the first ones; starts with the
        same key make one run at most, and have one place."""
        refusals: list[QuotaExceeded | None] = []
        taken, keys = 0, set[str | None]()
        for start in starts:
            refusal = _too_large(start.size, self.input_bytes)
            has_place = start.key is not None and start.key in keys
            if refusal is None and not has_place:
                if taken + 1 > self.places:
                    refusal = self.refusal
                else:
                    taken += 1
                    keys.add(start.key)
            refusals.append(refusal)
        return refusals

    async def take(self, db: Db, begun: int) -> None:
        """So many runs were begun, by the transaction that has asked for the room."""
        if begun:
            left = None if self.starts_left is None else self.starts_left - begun
            await db.execute(_sql.take_starts, self.tenant_id, left, begun)


def _too_large(size: int, most: int | None) -> QuotaExceeded | None:
    if most is None or size <= most:
        return None
    return QuotaExceeded("inputBytes", most, "bytes of input are allowed")
