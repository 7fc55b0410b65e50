"""Upkeep: what fails now is done an hour later, and keeps nothing else from being done."""

import asyncio
from datetime import timedelta
from unittest.mock import AsyncMock, MagicMock

import asyncpg
import pytest
from headrace.errors import DatabaseUnavailable
from headrace_control import upkeep
from headrace_control.expiry.expire import Kept

KEPT = Kept(timedelta(days=1), timedelta(days=1), timedelta(days=1))


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        ("transaction", DatabaseUnavailable("away")),
        ("expire", asyncpg.QueryCanceledError("too long")),
        ("drop_months", asyncpg.LockNotAvailableError("somebody reads it")),
        ("list_by_trigger", DatabaseUnavailable("away")),
    ],
)
async def test_each_job_is_come_to(
    monkeypatch: pytest.MonkeyPatch, broken: str, error: BaseException
) -> None:
    jobs = {
        "transaction": MagicMock(),
        "expire": AsyncMock(),
        "drop_months": AsyncMock(return_value=[]),
        "list_by_trigger": AsyncMock(return_value=0),
    }
    jobs["transaction"].return_value.__aenter__ = AsyncMock()
    jobs["transaction"].return_value.__aexit__ = AsyncMock(return_value=False)
    jobs[broken].side_effect = error
    for name, job in jobs.items():
        monkeypatch.setattr(upkeep, name, job)
    store = AsyncMock()
    store.purge.side_effect = [3, 0]
    working = asyncio.create_task(upkeep.keep_up(MagicMock(), store, KEPT))
    async with asyncio.timeout(5):
        while store.purge.await_count < 2:
            await asyncio.sleep(0)
    assert not working.done()
    working.cancel()
    assert all(job.call_count == 1 for job in jobs.values())
