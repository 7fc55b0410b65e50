"""Figures that can not be read are not shown as if they were of now, and a line of the log tells of it, once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from headrace.errors import DatabaseUnavailable
from headrace.telemetry import figures
from headrace.telemetry.figures import FIGURES_SECONDS, Figures
from prometheus_client import CollectorRegistry, Gauge
from structlog.testing import capture_logs


class Place:
    """What is read from, and what is shown of it."""

    def __init__(self) -> None:
        self.shown_in, self.now = CollectorRegistry(), 0.0
        self.figures = Figures("things", self.shown_in, lambda: self.now)
        self._gauge = Gauge("things", "Of now.", registry=self.figures.registry)
        self._asked, self.answers = asyncio.Event(), asyncio.Event()
        self.answers.set()
        self.error: Exception | None = None

    async def read(self) -> None:
        self._asked.set()
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        self._gauge.set(5)
        self.figures.are_read()

    async def asked(self, times: int = 1) -> None:
        async with asyncio.timeout(20):
            for _ in range(times):
                self._asked.clear()
                await self._asked.wait()

    def shown(self) -> float | None:
        return self.shown_in.get_sample_value("things")

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[list[Any]]:
        """The lines of the log while it is read again and again."""
        with capture_logs() as lines:
            watching = asyncio.create_task(self.figures.keep_reading(self.read, 0))
            yield lines
            watching.cancel()
            await asyncio.wait({watching})


AWAY = {"event": "figures can not be read", "figures": "things", "log_level": "warning"}
BACK = {"event": "figures are read again", "figures": "things", "log_level": "info"}


async def test_an_outage_is_logged_once_and_its_figures_go() -> None:
    place = Place()
    async with place.watched() as lines:
        await place.asked(2)
        assert (place.shown(), lines) == (5, [])
        place.error = DatabaseUnavailable("with a password")
        await place.asked(3)
        assert place.shown() == 5
        place.now = FIGURES_SECONDS
        assert place.shown() is None
        place.now = 40.0
        place.error = None
        await place.asked(3)
        assert place.shown() == 5
        place.error = asyncpg.UndefinedTableError("with data")
        await place.asked(3)
    assert lines == [
        {**AWAY, "error": "DatabaseUnavailable"},
        {**BACK, "age_seconds": 40},
        {**AWAY, "error": "UndefinedTableError"},
    ]


async def test_what_has_no_answer_is_logged_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is waited for: what is cancelled in Postgres takes as long as its server does."""
    monkeypatch.setattr(figures, "FIGURES_SECONDS", 0.01)
    place = Place()
    place.answers.clear()
    async with place.watched() as lines:
        async with asyncio.timeout(20):
            while not lines:
                await asyncio.sleep(0)
        assert lines == [{**AWAY, "error": "no answer"}]
        place.answers.set()
        await place.asked(2)
    assert [line["event"] for line in lines] == ["figures can not be read", "figures are read again"]


async def test_what_nobody_foresaw_ends_the_work() -> None:
    place = Place()
    place.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await place.figures.keep_reading(place.read, 0)
