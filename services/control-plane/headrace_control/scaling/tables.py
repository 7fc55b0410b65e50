"""What the tables say of the work that waits and of who does it: the broker's part is added by `signals`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.scaling.model import TenantBacklog

_sql = load("headrace_control.scaling")

MAX_TENANTS = 20


@dataclass(frozen=True, slots=True)
class PoolTables:
    """Figures of `Scaling` under the same names. `takable` are those of the `due` dispatches for which their tenants'
    limits leave room, and `oldest_takable` is for how many seconds the oldest of them waits."""

    due: int = 0
    takable: int = 0
    oldest_takable: float = 0.0
    in_flight: int = 0
    runners: int = 0
    capacity: int = 0
    held: int = 0


@dataclass(frozen=True, slots=True)
class Tables:
    """By pool, every one that there is and every one that something is in; `tenants` are those with most due."""

    pools: Mapping[str, PoolTables]
    tenants: Sequence[TenantBacklog]

    @property
    def whole(self) -> PoolTables:
        """Over all pools."""
        pools = self.pools.values()
        return PoolTables(
            due=sum(pool.due for pool in pools),
            takable=sum(pool.takable for pool in pools),
            oldest_takable=max((pool.oldest_takable for pool in pools), default=0.0),
            in_flight=sum(pool.in_flight for pool in pools),
            runners=sum(pool.runners for pool in pools),
            capacity=sum(pool.capacity for pool in pools),
            held=sum(pool.held for pool in pools),
        )


async def read_tables(db: Db) -> Tables:
    """`db` is of the role headrace_worker."""
    rows = await db.fetch(_sql.due, MAX_TENANTS)
    runners = {row["pool"]: row for row in await db.fetch(_sql.runners)}
    waiting = {row["pool"]: row for row in rows if row["pool"] is not None}
    pools = {}
    for pool in sorted({*runners, *waiting}):
        work, fleet = waiting.get(pool), runners.get(pool)
        pools[pool] = PoolTables(
            due=work["due"] if work else 0,
            takable=work["takable"] if work else 0,
            oldest_takable=work["oldest"] if work else 0.0,
            in_flight=work["in_flight"] if work else 0,
            runners=fleet["runners"] if fleet else 0,
            capacity=fleet["capacity"] if fleet else 0,
            held=fleet["held"] if fleet else 0,
        )
    return Tables(
        pools,
        [
            TenantBacklog(row["tenant_id"], row["due"], row["in_flight"], row["oldest"])
            for row in rows
            if row["tenant_id"] is not None
        ],
    )


async def oldest_unclaimed(db: Db) -> Mapping[str, float]:
    """By pool, for how many seconds the oldest run waits of those that were sent and that no runner has claimed."""
    return {row["pool"]: row["oldest"] for row in await db.fetch(_sql.oldest_unclaimed)}
