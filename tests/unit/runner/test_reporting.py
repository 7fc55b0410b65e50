"""Reporting over a bus that does not confirm at once."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from headrace.bus.port import LOGS, Outgoing
from headrace.errors import BusUnavailable, MessageTooLarge
from headrace.ids import new_id
from headrace.messages import EventBatch, LogBatch, LogLevel, LogRecord
from headrace.telemetry.context import TraceContext
from headrace.workflow.state import EventKind
from headrace_runner import reporting as module
from headrace_runner.reporting import Reporting

NOW = datetime(2026, 11, 1, tzinfo=UTC)


class Unsteady:
    """Takes what it is given, and confirms it only after so many refusals; `gate` holds all back while clear."""

    def __init__(self, refusals: int = 0) -> None:
        self._refusals = refusals
        self.given: list[list[Outgoing]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def publish(self, messages: Sequence[Outgoing], timeout: float = 10.0) -> None:
        self.given.append(list(messages))
        await self.gate.wait()
        if self._refusals:
            self._refusals -= 1
            raise BusUnavailable("the confirm was lost")


def seqs(messages: Sequence[Outgoing]) -> list[int]:
    return [event.seq for message in messages for event in EventBatch.decode(message.body).events]


async def test_what_was_not_confirmed_is_published_again_unchanged_and_first() -> None:
    """rule republish_the_same"""
    bus = Unsteady(refusals=2)
    reporting = Reporting(bus, new_id(), partitions=4)  # type: ignore[arg-type]
    report = reporting.open(new_id(), new_id(), epoch=1)
    flushing = asyncio.create_task(reporting.run())
    report.emit(EventKind.STARTED, NOW, "a")
    while not bus.given:
        await asyncio.sleep(0)
    report.emit(EventKind.COMPLETED, NOW, "a", {"status": "SUCCESS"})
    async with asyncio.timeout(20):
        await report.confirmed()
    flushing.cancel()
    assert bus.given[0] == bus.given[1] == bus.given[2]
    assert [seqs(messages) for messages in bus.given[2:]] == [[1], [2]]


async def test_confirmed_waits_for_the_bus() -> None:
    """rule ack_after_confirm: the engine returns, and the job is acknowledged, after this wait."""
    bus = Unsteady()
    bus.gate.clear()
    reporting = Reporting(bus, new_id(), partitions=4)  # type: ignore[arg-type]
    report = reporting.open(new_id(), new_id(), epoch=1)
    flushing = asyncio.create_task(reporting.run())
    report.emit(EventKind.FINISHED, NOW, None, {"status": "SUCCESS"})
    waiting = asyncio.create_task(report.confirmed())
    while not bus.given:
        await asyncio.sleep(0)
    assert not waiting.done()
    bus.gate.set()
    async with asyncio.timeout(20):
        await waiting
    flushing.cancel()


async def test_events_of_many_runs_travel_together_each_in_its_order() -> None:
    bus = Unsteady()
    reporting = Reporting(bus, new_id(), partitions=1)  # type: ignore[arg-type]
    reports = [reporting.open(new_id(), new_id(), epoch=1) for _ in range(30)]
    for _ in range(20):
        for report in reports:
            report.emit(EventKind.STARTED, NOW, "a")
    flushing = asyncio.create_task(reporting.run())
    async with asyncio.timeout(20):
        await asyncio.gather(*(report.confirmed() for report in reports))
    flushing.cancel()
    batches = [EventBatch.decode(message.body).events for (message,) in bus.given]
    assert all(len(batch) <= module.ENTRIES_PER_MESSAGE for batch in batches)
    of_run: dict[object, list[int]] = {}
    for batch in batches:
        for event in batch:
            of_run.setdefault(event.run_id, []).append(event.seq)
    assert list(of_run.values()) == [list(range(1, 21))] * 30


class Partial(Unsteady):
    """Keeps of each batch, at first, all but its first message, as the port allows, and the whole of it when it comes
    again."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived: list[Outgoing] = []

    async def publish(self, messages: Sequence[Outgoing], timeout: float = 10.0) -> None:
        self.given.append(list(messages))
        if self.given.count(self.given[-1]) == 1:
            self.arrived += messages[1:]
            raise BusUnavailable("the first was not confirmed")
        self.arrived += messages


async def test_no_event_arrives_ahead_of_one_of_its_run_that_was_not_confirmed() -> None:
    bus = Partial()
    reporting = Reporting(bus, new_id(), partitions=2)  # type: ignore[arg-type]
    reports = [reporting.open(new_id(), new_id(), epoch=1) for _ in range(8)]
    for _ in range(module.ENTRIES_PER_MESSAGE // 2):
        for report in reports:
            report.emit(EventKind.STARTED, NOW, "a")
    flushing = asyncio.create_task(reporting.run())
    async with asyncio.timeout(20):
        await asyncio.gather(*(report.confirmed() for report in reports))
    flushing.cancel()
    fences: dict[object, int] = defaultdict(int)
    for message in bus.arrived:
        for event in EventBatch.decode(message.body).events:
            assert event.seq <= fences[event.run_id] + 1
            fences[event.run_id] = max(fences[event.run_id], event.seq)
    assert list(fences.values()) == [module.ENTRIES_PER_MESSAGE // 2] * 8


async def test_log_records_give_way_when_the_bus_is_away_and_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LOGS_WAITING", 3)
    bus = Unsteady()
    reporting = Reporting(bus, new_id(), partitions=1)  # type: ignore[arg-type]
    tenant, run = new_id(), new_id()
    for n in range(5):
        reporting.log(LogRecord(new_id(), tenant, run, NOW, LogLevel.INFO, f"line {n}"))
    flushing = asyncio.create_task(reporting.run())
    async with asyncio.timeout(20):
        await reporting.drained(10)
    flushing.cancel()
    ((message,),) = bus.given
    assert message.queue == LOGS
    assert [record.message for record in LogBatch.decode(message.body).records] == [
        "line 2",
        "line 3",
        "line 4",
    ]
    assert reporting.logs_dropped == 2


async def test_what_can_not_be_sent_fails_its_writer_and_not_the_flush() -> None:
    bus = Unsteady()
    reporting = Reporting(bus, new_id(), partitions=1)  # type: ignore[arg-type]
    report = reporting.open(new_id(), new_id(), epoch=1)
    flushing = asyncio.create_task(reporting.run())
    with pytest.raises(TypeError):
        report.emit(EventKind.COMPLETED, NOW, "a", {"output": -(2**64)})
    with pytest.raises(MessageTooLarge):
        report.emit(EventKind.COMPLETED, NOW, "a", {"output": "x" * module.MAX_EVENT_BYTES})
    report.emit(EventKind.COMPLETED, NOW, "a", {"output": 1})
    async with asyncio.timeout(20):
        await report.confirmed()
    flushing.cancel()
    assert [seqs(messages) for messages in bus.given] == [[1]]


async def test_log_records_are_bounded_in_bytes() -> None:
    bus = Unsteady()
    reporting = Reporting(bus, new_id(), partitions=1)  # type: ignore[arg-type]
    for _ in range(400):
        reporting.log(LogRecord(new_id(), new_id(), new_id(), NOW, LogLevel.INFO, "漢" * 8_192))
    flushing = asyncio.create_task(reporting.run())
    async with asyncio.timeout(20):
        await reporting.drained(20)
    flushing.cancel()
    bodies = [message.body for messages in bus.given for message in messages]
    assert sum(len(LogBatch.decode(body).records) for body in bodies) == 400
    assert max(len(body) for body in bodies) < module.BYTES_PER_MESSAGE + 50_000


async def test_a_message_tells_the_traces_of_its_own_runs() -> None:
    bus = Unsteady()
    reporting = Reporting(bus, new_id(), partitions=1)  # type: ignore[arg-type]
    traces = {new_id(): TraceContext(n, n) for n in range(1, 302)}
    untraced = new_id()
    with contextlib.ExitStack() as stack:
        for run_id, trace in traces.items():
            stack.enter_context(reporting.traced(run_id, trace))
            reporting.open(new_id(), run_id, epoch=1).emit(EventKind.STARTED, NOW, "a")
        stack.enter_context(reporting.traced(untraced, None))
        last = reporting.open(new_id(), untraced, epoch=1)
        last.emit(EventKind.STARTED, NOW, "a")
        flushing = asyncio.create_task(reporting.run())
        async with asyncio.timeout(20):
            await last.confirmed()
        later = reporting.open(new_id(), next(iter(traces)), epoch=1)
    later.emit(EventKind.STARTED, NOW, "b")
    async with asyncio.timeout(20):
        await later.confirmed()
    flushing.cancel()
    batches = [EventBatch.decode(message.body) for messages in bus.given for message in messages]
    assert len(batches) > 2
    *during, after = batches
    for batch in during:
        runs = {event.run_id for event in batch.events}
        assert batch.traces == {run_id: traces[run_id] for run_id in runs - {untraced}}
    assert after.traces == {}
