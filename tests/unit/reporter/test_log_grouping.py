"""Records of several messages, stored together: each message's consumer hears of its own, and none is forgotten."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import pytest
from headrace.errors import LogStoreUnavailable
from headrace.ids import new_id
from headrace.messages import LogLevel, LogRecord
from headrace_reporter.log_grouping import FEW, GroupedAppends

AT = datetime(2026, 11, 1, tzinfo=UTC)
CONSUMERS = 4


def message(count: int = 1) -> list[LogRecord]:
    run_id = new_id()
    return [LogRecord(new_id(), run_id, run_id, AT, LogLevel.INFO, "m") for _ in range(count)]


class Held:
    """A store that stores when it is told to, and refuses what it is told to."""

    def __init__(self) -> None:
        self.batches: list[Sequence[LogRecord]] = []
        self.came, self.go = asyncio.Event(), asyncio.Event()
        self.away = False
        self.refused: LogRecord | None = None

    async def append(self, records: Sequence[LogRecord]) -> None:
        self.batches.append(records)
        self.came.set()
        await self.go.wait()
        if self.away:
            raise LogStoreUnavailable("away")
        if self.refused in records:
            raise ValueError


@asynccontextmanager
async def grouped(held: Held) -> AsyncIterator[GroupedAppends]:
    appends = GroupedAppends(held, CONSUMERS)
    working = asyncio.create_task(appends.run())
    try:
        yield appends
    finally:
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working


async def begun(
    appends: GroupedAppends, held: Held, messages: Sequence[list[LogRecord]]
) -> list[asyncio.Task[None]]:
    """The first message's records are under way, the others' wait."""
    tasks = [asyncio.create_task(appends.append(messages[0]))]
    await held.came.wait()
    tasks += [asyncio.create_task(appends.append(records)) for records in messages[1:]]
    await asyncio.sleep(0)
    return tasks


async def test_what_comes_meanwhile_goes_together() -> None:
    held, messages = Held(), [message(), message(2), message(3)]
    async with grouped(held) as appends:
        tasks = await begun(appends, held, messages)
        held.go.set()
        await asyncio.gather(*tasks)
    assert held.batches == [messages[0], messages[1] + messages[2]]


async def test_nobody_is_told_before_it_is_stored() -> None:
    held = Held()
    async with grouped(held) as appends:
        (task,) = await begun(appends, held, [message()])  # the store has it in hand
        assert not task.done()
        held.go.set()
        await task


async def test_after_many_more_is_waited_for_until_all_consumers_wait() -> None:
    held, many = Held(), message(FEW + 1)
    held.go.set()
    async with grouped(held) as appends:
        await appends.append(many)
        held.came.clear()
        early = asyncio.create_task(appends.append(message()))
        await asyncio.sleep(0)
        assert not held.came.is_set()
        await asyncio.gather(early, *(appends.append(message()) for _ in range(CONSUMERS - 1)))
    assert [len(batch) for batch in held.batches] == [FEW + 1, CONSUMERS]


async def test_a_lone_message_after_many_is_stored_soon() -> None:
    held = Held()
    held.go.set()
    async with grouped(held) as appends, asyncio.timeout(5):
        await appends.append(message(FEW + 1))
        await appends.append(message())


async def test_all_hear_that_the_store_is_away_and_then_go_one_by_one() -> None:
    held, messages = Held(), [message(), message(), message()]
    held.away = True
    async with grouped(held) as appends:
        tasks = await begun(appends, held, messages)
        held.go.set()
        heard = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(error) for error in heard] == [LogStoreUnavailable] * 3
        held.away = False
        await asyncio.gather(*(appends.append(records) for records in messages))
    assert [len(batch) for batch in held.batches][-2:] == [1, 2]


async def test_what_can_not_be_stored_fails_alone() -> None:
    held, messages = Held(), [message(), message(), message(), message()]
    held.refused = messages[2][0]
    async with grouped(held) as appends:
        tasks = await begun(appends, held, messages)
        held.go.set()
        heard = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in heard] == [type(None), type(None), ValueError, type(None)]


@pytest.mark.parametrize("count", [1, 3])
async def test_who_waits_when_the_reporter_leaves_hears_of_it(count: int) -> None:
    held = Held()
    async with grouped(held) as appends:
        tasks = await begun(appends, held, [message() for _ in range(count)])
    heard = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in heard] == [LogStoreUnavailable] * count
