"""Upkeep: partitions for the months to come, what is past its time, and what rows of the release before lack."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial

import asyncpg
import structlog
from headrace.errors import Unavailable
from headrace.logstore.port import LogStore
from headrace.postgres.pool import Pool, transaction

from headrace_control.expiry.expire import Kept, drop_months, expire
from headrace_control.runs.triggers import list_by_trigger

_log = structlog.get_logger(__name__)

PERIOD_SECONDS = 3600.0
MONTHS_AHEAD = 3

Job = Callable[[], Awaitable[object]]


async def keep_up(pool: Pool, store: LogStore, kept: Kept) -> None:
    """Work until cancelled, once an hour; what fails now is done an hour later, and keeps nothing else from being
    done."""
    while True:
        jobs: Mapping[str, Job] = {
            "months ahead": partial(_months_ahead, pool),
            "what is past its time": partial(expire, pool, kept),
            "months of runs": partial(_months_gone, pool, kept),
            "log records": partial(_log_records, store),
            "runs by what triggered them": partial(list_by_trigger, pool),
        }
        for name, job in jobs.items():
            try:
                await job()
            except (Unavailable, asyncpg.PostgresError) as error:
                _log.warning("upkeep waits", job=name, error=type(error).__name__)
        await asyncio.sleep(PERIOD_SECONDS)


async def _months_ahead(pool: Pool) -> None:
    async with transaction(pool) as db:
        await db.execute("SELECT headrace_ensure_partitions($1)", MONTHS_AHEAD)


async def _months_gone(pool: Pool, kept: Kept) -> None:
    if kept.runs is not None and (months := await drop_months(pool, kept.runs)):
        _log.info("runs went with their months", months=months)


async def _log_records(store: LogStore) -> None:
    while await store.purge(datetime.now(UTC)):
        pass
