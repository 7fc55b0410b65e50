"""The gauge of readiness follows what /ready says."""

import asyncio

import pytest
from headrace import health
from prometheus_client import CollectorRegistry


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
