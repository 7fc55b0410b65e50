"""Leases: one renewal per runner process, naming the runs that it holds."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from headrace.errors import NotFound
from headrace.pools import stored
from headrace.postgres.pool import Pool, transaction
from headrace.postgres.queries import load

from headrace_control.internal_api.credentials import RunCredentials
from headrace_control.internal_api.inbox import UNDER_WAY, unused
from headrace_control.internal_api.models import HeartbeatBody, TokenBody
from headrace_control.internal_api.sessions import KnownRunner
from headrace_control.throttle.service import not_closed

_sql = load("headrace_control.internal_api")


class Leases:
    def __init__(
        self, pool: Pool, credentials: RunCredentials, lease: timedelta, released: Callable[[], None]
    ) -> None:
        self._pool, self._credentials = pool, credentials
        self._lease, self._released = lease, released

    async def heartbeat(self, runner: KnownRunner, body: HeartbeatBody) -> dict[str, Any]:
        """Renew; tells which of the named runs were asked to cancel or to pause, which are another's by now, and
        what was said to those that are still the runner's: all that came before `heard`, but to those that are cut
        off. And which connections the fleet leaves alone, and whether dry runs wait."""
        runner_id, pool = runner.id, stored(runner.pool)
        seen = [body.inbox_seen.get(run_id, 0) for run_id in body.held]
        async with transaction(self._pool) as db:
            await db.execute(
                _sql.renew_lease, runner_id, self._lease, body.held, body.calls_settled, body.capacity, pool
            )
            news = await db.fetch(_sql.held_news, body.held, runner_id, seen) if body.held else []
            own = [row for row in news if row["claimed_by"] == runner_id]
            behind = {row["id"]: row["seen"] for row in own if row["has_messages"]}
            messages = await unused(db, behind, bounded=True)
            breakers = await not_closed(db)
            dry_runs = await db.fetchval(_sql.dry_runs_wait, pool)
            now = await db.fetchval(_sql.now)
        return {
            "now": now,
            "lease_seconds": self._lease.total_seconds(),
            "canceled": [row["id"] for row in own if row["cancel_requested"]],
            "paused": [row["id"] for row in own if row["pause_requested"]],
            "inbox": {str(run_id): found for run_id, found in messages.items()},
            "heard": now - UNDER_WAY,
            "cut_off": [row["id"] for row in own if row["inbox_seq"] > _told(row, messages)],
            "breakers": breakers,
            "dry_runs": dry_runs,
            "lost": [row["id"] for row in news if row["claimed_by"] != runner_id],
        }

    async def release(self, runner_id: UUID) -> None:
        """The runner leaves: its claims lapse now, its sessions end, and the sweeper comes at once."""
        async with transaction(self._pool) as db:
            await db.execute(_sql.give_up_lease, runner_id)
            await db.execute(_sql.close_sessions, runner_id)
        self._released()

    async def token(self, runner_id: UUID, body: TokenBody) -> dict[str, Any]:
        """A newer access token of a connection that the run's version names, for the holder of the run's open
        claim alone. Raises `NotFound` otherwise."""
        async with transaction(self._pool) as db:
            row = await db.fetchrow(
                _sql.open_claim,
                body.run_id,
                body.epoch,
                runner_id,
                str(body.connection_id),
                body.token_hash,
            )
        if row is None:
            raise NotFound("claim")
        current = await self._credentials.current(row["tenant_id"], [body.connection_id])
        if body.connection_id not in current:
            raise NotFound("connection")
        return dict(await self._credentials.refresh(row["tenant_id"], body.connection_id, body.seen_version))


def _told(row: Any, messages: Mapping[UUID, Sequence[Mapping[str, Any]]]) -> int:
    """Up to which message of its run the runner knows all with this answer."""
    found = messages.get(row["id"])
    return int(found[-1]["seq"] if found else row["seen"])
