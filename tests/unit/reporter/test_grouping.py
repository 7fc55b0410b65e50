"""Batches of several partitions, applied together: each caller hears of its own, and none is forgotten."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import pytest
from headrace.errors import DatabaseUnavailable
from headrace.ids import new_id
from headrace.messages import Event
from headrace.workflow.state import EventKind
from headrace_reporter.grouping import MOST_EVENTS, GroupedApplier

AT = datetime(2026, 11, 1, tzinfo=UTC)


def events(count: int) -> list[Event]:
    run_id = new_id()
    return [Event(run_id, run_id, 1, seq + 1, EventKind.STARTED, AT, "a", {}) for seq in range(count)]


class Held:
    """An applier that applies when it is told to."""

    def __init__(self) -> None:
        self.batches: list[Sequence[Event]] = []
        self.came = asyncio.Event()
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def apply(self, events: Sequence[Event]) -> None:
        self.batches.append(events)
        self.came.set()
        await self.go.wait()
        if self.error is not None:
            raise self.error


@asynccontextmanager
async def grouped(held: Held) -> AsyncIterator[GroupedApplier]:
    applier = GroupedApplier(held)
    working = asyncio.create_task(applier.run())
    try:
        yield applier
    finally:
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working


async def begun(
    applier: GroupedApplier, held: Held, batches: Sequence[list[Event]]
) -> list[asyncio.Task[None]]:
    """The first batch is under way, the others wait."""
    tasks = [asyncio.create_task(applier.apply(batches[0]))]
    await held.came.wait()
    tasks += [asyncio.create_task(applier.apply(batch)) for batch in batches[1:]]
    await asyncio.sleep(0)
    return tasks


async def test_what_comes_while_one_is_under_way_goes_together_in_its_order() -> None:
    held = Held()
    async with grouped(held) as applier:
        batches = [events(2), events(3), events(1)]
        tasks = await begun(applier, held, batches)
        held.go.set()
        await asyncio.gather(*tasks)
    assert held.batches == [batches[0], [*batches[1], *batches[2]]]


async def test_a_group_is_bounded_and_what_is_large_by_itself_goes_alone() -> None:
    held = Held()
    async with grouped(held) as applier:
        batches = [events(1), events(MOST_EVENTS + 1), events(MOST_EVENTS - 1), events(1), events(1)]
        tasks = await begun(applier, held, batches)
        held.go.set()
        await asyncio.gather(*tasks)
    assert [len(batch) for batch in held.batches] == [1, MOST_EVENTS + 1, MOST_EVENTS, 1]


async def test_a_group_that_is_not_written_fails_for_each_of_its_callers() -> None:
    held = Held()
    async with grouped(held) as applier:
        tasks = await begun(applier, held, [events(1), events(1), events(1)])
        held.error = DatabaseUnavailable("away")
        held.go.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [DatabaseUnavailable] * 3
        held.error = None
        await applier.apply(events(1))


async def test_a_caller_that_has_left_does_not_take_the_others_with_it() -> None:
    held = Held()
    async with grouped(held) as applier:
        tasks = await begun(applier, held, [events(1), events(1), events(1)])
        tasks[0].cancel()
        tasks[1].cancel()
        held.go.set()
        await tasks[2]


async def test_nobody_waits_for_a_reporter_that_leaves() -> None:
    held = Held()
    async with grouped(held) as applier:
        tasks = await begun(applier, held, [events(1), events(1)])
    for task in tasks:
        with pytest.raises(DatabaseUnavailable):
            await task
