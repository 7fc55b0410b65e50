"""The gauge of readiness follows what /ready says."""

import asyncio

import pytest
from headrace import health
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs


async def test_each_dependency_is_shown_as_it_answers_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "WATCH_SECONDS", 0)
    registry, away, asked = CollectorRegistry(), {"bus"}, asyncio.Event()

    def check(name: str) -> health.Check:
        async def answers() -> None:
            asked.set()
            if name in away:
                raise ConnectionError

        return answers

    async def shown() -> dict[str, float | None]:
        """Once all have been asked twice more: the second time after the first was shown."""
        for _ in range(2):
            asked.clear()
            await asked.wait()
        return {
            name: registry.get_sample_value("headrace_ready", {"dependency": name})
            for name in ("bus", "postgres")
        }

    watching = asyncio.create_task(
        health.watch_readiness({name: check(name) for name in ("bus", "postgres")}, registry)
    )
    assert await shown() == {"bus": 0, "postgres": 1}
    away.clear()
    assert await shown() == {"bus": 1, "postgres": 1}
    away.add("postgres")
    assert await shown() == {"bus": 1, "postgres": 0}
    watching.cancel()


async def test_what_does_not_let_go_of_its_question_is_shown_as_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session with a Postgres that stands still is given back when the server has heard that nobody waits."""
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(health, "WATCH_SECONDS", 0)
    registry, heard, asked = CollectorRegistry(), asyncio.Event(), 0

    async def stuck() -> None:
        nonlocal asked
        asked += 1
        try:
            await heard.wait()
        except asyncio.CancelledError:
            await heard.wait()
            raise

    async def answers() -> None:
        pass

    watching = asyncio.create_task(
        health.watch_readiness({"postgres": stuck, "log_store": answers}, registry)
    )
    async with asyncio.timeout(20):
        while asked < 2:
            await asyncio.sleep(0)
    assert registry.get_sample_value("headrace_ready", {"dependency": "postgres"}) == 0
    assert registry.get_sample_value("headrace_ready", {"dependency": "log_store"}) == 1
    heard.set()
    async with asyncio.timeout(20):
        while registry.get_sample_value("headrace_ready", {"dependency": "postgres"}) == 0:
            await asyncio.sleep(0)
    watching.cancel()


async def test_what_is_away_is_logged_once_and_once_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "WATCH_SECONDS", 0)
    away, asked = False, asyncio.Event()

    async def postgres() -> None:
        asked.set()
        if away:
            raise ConnectionError("with a password")

    async def beats() -> None:
        for _ in range(3):
            asked.clear()
            await asked.wait()

    with capture_logs() as lines:
        watching = asyncio.create_task(health.watch_readiness({"postgres": postgres}, CollectorRegistry()))
        for now in (False, True, False, True):
            away = now
            await beats()
        watching.cancel()
    gone = {"event": "dependency is away", "state": "failing (ConnectionError)", "log_level": "warning"}
    back = {"event": "dependency is back", "log_level": "info"}
    assert lines == [{**one, "dependency": "postgres"} for one in (gone, back, gone)]
