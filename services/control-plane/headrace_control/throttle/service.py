"""What runners ask about connections: may they be called now, and what became of calls."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from headrace.errors import NotFound
from headrace.postgres.pool import Db, Pool, transaction
from headrace.postgres.queries import load
from headrace.telemetry.figures import Figures
from prometheus_client import CollectorRegistry, Gauge

from headrace_control.apps.limits import Limits, load_limits
from headrace_control.throttle.model import Outcome, Permit, Throttle, after, permitted

_sql = load("headrace_control.throttle")

# How many breakers a renewal tells of; a runner learns of the others when it calls.
MAX_TOLD = 1000
PERIOD_SECONDS = 5.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunHolder:
    """A runner that shows the token of its claim of a run."""

    runner_id: UUID
    run_id: UUID
    epoch: int
    token_hash: bytes = field(repr=False)


class Throttles:
    """Over a pool of the role headrace_worker. A connection is named together with a run whose version uses it, by the
    runner `by` that holds the run's claim."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def permit(self, by: RunHolder, connection_id: UUID, wanted: int) -> tuple[Permit, Limits | None]:
        """Up to `wanted` calls now. Raises `NotFound` when the run does not use such a connection."""

        def change(
            row: Throttle, limits: Limits | None, now: datetime
        ) -> tuple[Throttle, tuple[Permit, Any]]:
            row, permit = permitted(row, limits, wanted, now)
            return row, (permit, limits)

        return await self._change(by, connection_id, change)

    async def report(self, by: RunHolder, connection_id: UUID, outcome: Outcome) -> float | None:
        """Note what a runner saw; for how many seconds the breaker is open now, None when it is closed."""

        def change(row: Throttle, _: Limits | None, now: datetime) -> tuple[Throttle, float | None]:
            row = after(row, outcome, now)
            left = None if row.open_until is None else max((row.open_until - now).total_seconds(), 0.0)
            return row, left

        return await self._change(by, connection_id, change, late=True)

    async def _change(
        self,
        by: RunHolder,
        connection_id: UUID,
        change: Callable[[Throttle, Limits | None, datetime], tuple[Throttle, T]],
        *,
        late: bool = False,
    ) -> T:
        async with transaction(self._pool) as db:
            found = await db.fetchrow(
                _sql.connection_of_run, by.run_id, connection_id, by.epoch, by.token_hash, by.runner_id, late
            )
            if found is None:
                raise NotFound("connection")
            tenant_id = found["tenant_id"]
            (found_row,) = await db.fetch(_sql.lock_throttle, tenant_id, connection_id)
            row = Throttle(**found_row)
            now = await db.fetchval(_sql.now)
            new, answer = change(row, load_limits(found["limits"]), now)
            if new != row:
                await db.execute(
                    _sql.keep_throttle,
                    tenant_id,
                    connection_id,
                    new.failures,
                    new.failed_at,
                    new.openings,
                    new.open_until,
                    new.probe_until,
                    new.tokens,
                    new.refilled_at,
                )
        return answer


async def not_closed(db: Db) -> list[dict[str, Any]]:
    """Breakers that are open or half open, as a renewal's answer tells of them."""
    return [dict(row) for row in await db.fetch(_sql.not_closed, MAX_TOLD)]


class OpenBreakers:
    """A gauge of the breakers that are open, read anew every few seconds, and not shown while it can not be read."""

    def __init__(self, pool: Pool, registry: CollectorRegistry) -> None:
        self._pool = pool
        self._figures = Figures("open breakers", registry)
        self._open = Gauge(
            "headrace_breakers_open",
            "Connections that the fleet leaves alone.",
            registry=self._figures.registry,
        )

    async def run(self) -> None:
        """Work until cancelled; what can not be read now is tried again."""
        await self._figures.keep_reading(self.read, PERIOD_SECONDS)

    async def read(self) -> None:
        async with transaction(self._pool) as db:
            self._open.set(await db.fetchval(_sql.count_open))
        self._figures.are_read()
