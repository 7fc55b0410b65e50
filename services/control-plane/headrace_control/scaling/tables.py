"""What the tables say of the work that waits and of who does it: the broker's part is added by `signals`."""

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.scaling.model import TenantBacklog

_sql = load("headrace_control.scaling")

MAX_TENANTS = 20


@dataclass(frozen=True, slots=True)
class Tables:
    """Figures of `Scaling` under the same names. `takable` are those of the `due` dispatches for which their tenants'
    limits leave room, and `oldest_takable` is for how many seconds the oldest of them waits."""

    due: int
    takable: int
    oldest_takable: float
    in_flight: int
    runners: int
    capacity: int
    held: int
    tenants: Sequence[TenantBacklog]


async def read_tables(db: Db) -> Tables:
    """`db` is of the role headrace_worker."""
    rows = await db.fetch(_sql.tenants, MAX_TENANTS)
    (fleet,) = await db.fetch(_sql.runners)
    first = rows[0] if rows else None
    return Tables(
        due=first["all_due"] if first else 0,
        takable=first["all_takable"] if first else 0,
        oldest_takable=(first["oldest_takable"] if first else None) or 0.0,
        in_flight=first["all_in_flight"] if first else 0,
        runners=fleet["runners"],
        capacity=fleet["capacity"],
        held=fleet["held"],
        tenants=[
            TenantBacklog(row["tenant_id"], row["due"], row["in_flight"], row["oldest_seconds"])
            for row in rows
        ],
    )


async def oldest_unclaimed(db: Db) -> float:
    """For how many seconds the oldest run waits of those that were sent and that no runner has claimed."""
    seconds: float = await db.fetchval(_sql.oldest_unclaimed)
    return seconds
