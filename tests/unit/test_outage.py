"""Trouble that is waited out is told when it begins, now and then while it lasts, and when it is over."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from headrace.errors import DatabaseUnavailable
from headrace.outage import EVERY_SECONDS, Outage
from headrace_control.dispatch import sweeper
from structlog.testing import capture_logs


def test_an_outage_is_told_once_a_minute_and_so_is_its_end() -> None:
    now = 0.0
    outage = Outage("relay waits", "relay goes on", clock=lambda: now, pool="eu")
    with capture_logs() as told:
        outage.over()
        for _ in range(100):
            outage.tried(error="DatabaseUnavailable")
        now = EVERY_SECONDS
        outage.tried(error="DatabaseUnavailable")
        now += 1
        outage.over()
        outage.over()
    waits = {"event": "relay waits", "pool": "eu", "error": "DatabaseUnavailable", "log_level": "warning"}
    over = {"event": "relay goes on", "pool": "eu", "waited_seconds": 61.0, "log_level": "info"}
    assert told == [waits, waits, over]


def test_trouble_that_comes_and_goes_is_told_once_a_minute_too() -> None:
    now = 0.0
    outage = Outage("relay waits", "relay goes on", clock=lambda: now)
    with capture_logs() as told:
        for _ in range(100):
            outage.tried()
            outage.over()
        now = EVERY_SECONDS
        outage.tried()
    assert [line["event"] for line in told] == ["relay waits", "relay goes on", "relay waits"]


async def test_a_work_loop_does_not_tell_each_of_its_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "PERIOD_SECONDS", 0)
    tries, swept = 0, asyncio.Event()

    async def sweep(_: Any) -> int:
        nonlocal tries
        tries += 1
        if tries <= 5:
            raise DatabaseUnavailable("Postgres can not be reached")
        if tries == 7:
            swept.set()
        return 0

    monkeypatch.setattr(sweeper.Sweeper, "sweep", sweep)
    pool: Any = None
    with capture_logs() as told:
        working = asyncio.create_task(sweeper.Sweeper(pool, timedelta(seconds=1)).run())
        async with asyncio.timeout(30):
            await swept.wait()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    assert [line["event"] for line in told] == ["sweeper waits", "sweeper goes on"]
