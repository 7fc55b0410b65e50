"""Upkeep: partitions for the months to come, and what is past its time."""

import asyncio
from datetime import UTC, datetime

import asyncpg
import structlog
from headrace.errors import Unavailable
from headrace.logstore.port import LogStore
from headrace.postgres.pool import Pool, transaction

from headrace_control.expiry.expire import Kept, drop_months, expire

_log = structlog.get_logger(__name__)

PERIOD_SECONDS = 3600.0
MONTHS_AHEAD = 3


async def keep_up(pool: Pool, store: LogStore, kept: Kept) -> None:
    """Work until cancelled, once an hour; what fails now is done an hour later."""
    while True:
        try:
            async with transaction(pool) as db:
                await db.execute("SELECT headrace_ensure_partitions($1)", MONTHS_AHEAD)
            await expire(pool, kept)
            if kept.runs is not None and (months := await drop_months(pool, kept.runs)):
                _log.info("runs went with their months", months=months)
            while await store.purge(datetime.now(UTC)):
                pass
        except (Unavailable, asyncpg.PostgresError) as error:
            _log.warning("upkeep waits", error=type(error).__name__)
        await asyncio.sleep(PERIOD_SECONDS)
