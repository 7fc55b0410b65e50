"""The loop that works replays off: every control plane has one, and takes a dead letter at a time."""

import asyncio
from collections.abc import Sequence
from functools import partial
from uuid import UUID

import asyncpg
import structlog
from headrace.errors import Unavailable
from headrace.outage import Outage
from headrace.postgres.pool import Pool, one_statement

from headrace_control.lanes import Lanes, Piece
from headrace_control.replays import repository
from headrace_control.replays.service import ReplayService
from headrace_control.unexpected import report_unexpected

_log = structlog.get_logger(__name__)

IDLE_SECONDS = 0.5
# Replays that are looked at in one turn.
AT_ONCE = 20
# How many are at work, and how long a turn waits for them.
SIDE_BY_SIDE = 2
TURN_SECONDS = 1.0


class ReplayLoop:
    """The loop of one control plane. `pool` is of the role headrace_worker, to find what is due of all tenants."""

    def __init__(self, pool: Pool, service: ReplayService) -> None:
        self._pool, self._service, self._lanes = pool, service, Lanes(SIDE_BY_SIDE)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            await self._work()
        finally:
            await self._lanes.stop()

    async def _work(self) -> None:
        outage = Outage("replays wait", "replays go on")
        while True:
            wait = IDLE_SECONDS
            try:
                pieces = []
                for tenant_id, replay_id, seconds in await self._soon_due():
                    if seconds > 0:
                        wait = min(wait, seconds)
                    else:
                        pieces.append(Piece(tenant_id, replay_id, partial(self._step, tenant_id, replay_id)))
                if await self._lanes.work_off(pieces, TURN_SECONDS):
                    wait = 0
                outage.over()
            except (Unavailable, asyncpg.PostgresError) as error:
                outage.tried(error=type(error).__name__)
                wait = IDLE_SECONDS
            await asyncio.sleep(wait)

    async def _step(self, tenant_id: UUID, replay_id: UUID) -> bool:
        """Whether something was replayed; what goes wrong with one is in no other's way."""
        try:
            return await self._service.step(tenant_id, replay_id)
        except (Unavailable, asyncpg.PostgresError) as error:
            _log.warning("a replay waits", error=type(error).__name__, replay=str(replay_id))
        except Exception as unforeseen:
            report_unexpected(unforeseen)
        return False

    async def _soon_due(self) -> Sequence[tuple[UUID, UUID, float]]:
        async with one_statement(self._pool) as db:
            return await repository.due(db, AT_ONCE, IDLE_SECONDS, self._lanes.at_work, self._lanes.full)
