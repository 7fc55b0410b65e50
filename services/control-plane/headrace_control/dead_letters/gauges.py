"""What waits for a person, over all tenants, as Prometheus's metrics."""

from collections.abc import Sequence
from typing import Any

from headrace.postgres.pool import PLAN_ONCE, Pool, transaction
from headrace.postgres.queries import load
from headrace.telemetry.figures import Figures
from prometheus_client import CollectorRegistry, Gauge

_sql = load("headrace_control.dead_letters")

PERIOD_SECONDS = 10.0

# Of each series; to count on would cost more than it tells.
MOST_COUNTED = 10_000

# Each index is read in its own order, and no further than asked for, whatever the planner knows of the tables' sizes.
IN_INDEX_ORDER = f"{PLAN_ONCE}; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off"


class WaitingForPeople:
    """Over a pool of the role headrace_worker. Read anew every few seconds, and not shown while it can not be read."""

    def __init__(self, pool: Pool, registry: CollectorRegistry) -> None:
        self._pool = pool
        self._figures = Figures("what waits for a person", registry)
        shown = self._figures.registry
        self._runs = (
            Gauge("headrace_runs_waiting", "Runs that wait for a person.", ["reason"], registry=shown),
            Gauge(
                "headrace_runs_waiting_oldest_seconds",
                "For how long the oldest of them waits, from its last claim.",
                ["reason"],
                registry=shown,
            ),
        )
        self._letters = (
            Gauge("headrace_dead_letters_open", "Dead letters that are open.", ["source"], registry=shown),
            Gauge("headrace_dead_letters_oldest_seconds", "Age of the oldest.", ["source"], registry=shown),
        )

    async def run(self) -> None:
        """Work until cancelled; what can not be read now is tried again."""
        await self._figures.keep_reading(self.read, PERIOD_SECONDS)

    async def read(self) -> None:
        async with transaction(self._pool, IN_INDEX_ORDER) as db:
            runs = await db.fetch(_sql.runs_for_a_person, MOST_COUNTED)
            letters = await db.fetch(_sql.all_open, MOST_COUNTED)
        _show(self._runs, runs)
        _show(self._letters, letters)
        self._figures.are_read()


def _show(gauges: tuple[Gauge, Gauge], rows: Sequence[Any]) -> None:
    count, oldest = gauges
    for row in rows:
        count.labels(row["of"]).set(row["rows"])
        oldest.labels(row["of"]).set(row["oldest_seconds"])
