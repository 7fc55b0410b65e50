"""Reporting: events of many runs in one message, one flush in flight, every one confirmed by the bus."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import zip_longest
from typing import NamedTuple, Protocol, TypeVar
from uuid import UUID

import structlog
from headrace.bus.port import LINGERS, LOGS, MAX_MESSAGE_BYTES, Bus, Outgoing, events_queue
from headrace.errors import BusUnavailable, MessageTooLarge
from headrace.gathering import pause_after
from headrace.json_types import JsonObject
from headrace.messages import Event, LogRecord, encode_events, encode_logs, partition_of
from headrace.telemetry.context import TraceContext
from headrace.workflow.state import EventKind, Place

_log = structlog.get_logger(__name__)
_Entry = TypeVar("_Entry")

# What one message holds at most: bounds what one transaction of the reporter has in hand. A single entry that is
# larger goes alone, up to the bound on an event.
ENTRIES_PER_MESSAGE = 200
BYTES_PER_MESSAGE = 512 * 1024
MAX_EVENT_BYTES = MAX_MESSAGE_BYTES // 2
# Of events that are not confirmed: beyond that, steps that call nothing wait for a confirm as well, so that runs that
# only reckon do not fill the memory while the bus is away.
BEHIND_BYTES = 8 * 1024 * 1024
# Log records that may wait while the bus is away; beyond that the oldest give way, and are counted.
LOGS_WAITING = 20_000
# At most; each step of these runs waits for it.
GATHER_SECONDS = 0.05
# How long events for which no run waits are kept back: a result and the beginning of the next step go in one message.
EVENTS_LINGER_SECONDS = 0.02
# A step's progress. Nothing is begun by its being applied, so that the reporter may take it with what comes behind it.
_PROGRESS = frozenset({EventKind.STARTED, EventKind.ATTEMPTED, EventKind.COMPLETED})
# How long records wait for others to go along with: no run waits for them.
LOGS_LINGER_SECONDS = 0.05


class EventSink(Protocol):
    """Where a run's events go."""

    def add(self, event: Event) -> asyncio.Event:
        """Take an event; what is returned is set when it is confirmed."""

    def hurry(self) -> None:
        """Somebody waits for what was taken so far."""

    @property
    def behind(self) -> bool:
        """Is more on its way than may be added to by whoever could wait?"""


class RunReport:
    """The events of one claim: the one writer of its run. `seq` counts from 1."""

    def __init__(self, reporting: EventSink, tenant_id: UUID, run_id: UUID, epoch: int) -> None:
        self._reporting = reporting
        self._tenant_id, self._run_id, self._epoch = tenant_id, run_id, epoch
        self._seq = 0
        self._last: asyncio.Event | None = None

    def emit(
        self, kind: EventKind, at: datetime, step: str | None = None, data: JsonObject | None = None
    ) -> Place:
        """Write an event and return its place; it is on its way, and not yet confirmed. `data` is already redacted.

        Raises `TypeError` for data that is not JSON and `MessageTooLarge`; then nothing was written.
        """
        event = Event(self._tenant_id, self._run_id, self._epoch, self._seq + 1, kind, at, step, data or {})
        self._last = self._reporting.add(event)
        self._seq += 1
        return self._epoch, self._seq

    @property
    def behind(self) -> bool:
        """Should a step that has no need of confirms wait for them, because the bus does not keep up?"""
        return self._reporting.behind

    async def confirmed(self) -> None:
        """Return when the bus has confirmed everything written so far."""
        if self._last is not None and not self._last.is_set():
            self._reporting.hurry()
            await self._last.wait()


class _Written(NamedTuple):
    """An event as it will be sent."""

    run_id: UUID
    body: bytes
    lingers: bool


class Reporting:
    """Flushes events, and beside them log records. `run` works until cancelled."""

    def __init__(self, bus: Bus, runner_id: UUID, partitions: int) -> None:
        self._bus, self._runner_id, self._partitions = bus, runner_id, partitions
        self._events: list[_Written] = []
        self._unconfirmed = 0
        self._flush: asyncio.Event | None = None
        self._has_events, self._awaited = asyncio.Event(), asyncio.Event()
        self._traces: dict[UUID, TraceContext] = {}
        self._logs: list[bytes] = []
        self._has_logs = asyncio.Event()
        self._publishing = 0
        self.logs_dropped = 0

    def open(self, tenant_id: UUID, run_id: UUID, epoch: int) -> RunReport:
        return RunReport(self, tenant_id, run_id, epoch)

    @contextlib.contextmanager
    def traced(self, run_id: UUID, trace: TraceContext | None) -> Iterator[None]:
        """What is written of the run inside says that it belongs to this trace."""
        if trace is None:
            yield
            return
        self._traces[run_id] = trace
        try:
            yield
        finally:
            self._traces.pop(run_id, None)

    def add(self, event: Event) -> asyncio.Event:
        """Take an event for the next flush; what is returned is set when the bus has confirmed that flush.

        It is encoded here, so that what can not be sent fails its own run and not the flush of all.
        """
        body = event.encode()
        if len(body) > MAX_EVENT_BYTES:
            raise MessageTooLarge("an event is too large to be sent")
        if self._flush is None:
            self._flush = asyncio.Event()
        self._events.append(_Written(event.run_id, body, event.kind in _PROGRESS))
        self._unconfirmed += len(body)
        self._has_events.set()
        return self._flush

    @property
    def behind(self) -> bool:
        return self._unconfirmed > BEHIND_BYTES

    def hurry(self) -> None:
        """Somebody waits for what was taken so far."""
        if self._events:
            self._awaited.set()

    def log(self, record: LogRecord) -> None:
        """Take a log record. Records are confirmed too, but no run waits for them; one that can not be sent is
        dropped and counted."""
        try:
            body = record.encode()
        except TypeError:
            self.logs_dropped += 1
            return
        if len(self._logs) >= LOGS_WAITING:
            del self._logs[0]
            self.logs_dropped += 1
        self._logs.append(body)
        self._has_logs.set()

    async def run(self) -> None:
        await asyncio.gather(self._flush_events(), self._flush_logs())

    async def drained(self, seconds: float) -> None:
        """Wait until nothing is left to flush, at most `seconds`."""
        deadline = asyncio.get_running_loop().time() + seconds
        while self._events or self._logs or self._publishing:
            if asyncio.get_running_loop().time() >= deadline:
                return
            await asyncio.sleep(0.02)

    async def _flush_events(self) -> None:
        while True:
            await self._has_events.wait()
            if len(self._events) < ENTRIES_PER_MESSAGE:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(EVENTS_LINGER_SECONDS):
                        await self._awaited.wait()
            events, self._events = self._events, []
            flush, self._flush = self._flush, None
            self._has_events.clear()
            self._awaited.clear()
            for messages in self._event_messages(events):
                await self._publish(messages)
            self._unconfirmed -= sum(len(event.body) for event in events)
            if flush is not None:
                flush.set()
            await asyncio.sleep(pause_after(len({event.run_id for event in events}), GATHER_SECONDS))

    async def _flush_logs(self) -> None:
        while True:
            await self._has_logs.wait()
            if len(self._logs) < ENTRIES_PER_MESSAGE:
                await asyncio.sleep(LOGS_LINGER_SECONDS)
            records = next(_parts(self._logs, len))
            del self._logs[: len(records)]
            if not self._logs:
                self._has_logs.clear()
            await self._publish([Outgoing(LOGS, encode_logs(records))])

    def _event_messages(self, events: list[_Written]) -> Iterator[list[Outgoing]]:
        """One message per partition, more where they grow large; each run's events stay in their order.

        Those of one partition go one after another: of two at once the second may arrive alone, and the first would
        come behind the fence that it raised.
        """
        by_partition: dict[int, list[_Written]] = defaultdict(list)
        for event in events:
            by_partition[partition_of(event.run_id, self._partitions)].append(event)
        turns = zip_longest(*(self._messages_to(each, written) for each, written in by_partition.items()))
        for turn in turns:
            yield [message for message in turn if message is not None]

    def _messages_to(self, partition: int, written: list[_Written]) -> Iterator[Outgoing]:
        for part in _parts(written, lambda event: len(event.body)):
            yield Outgoing(
                events_queue(partition),
                encode_events(self._runner_id, [event.body for event in part], self._traces_of(part)),
                (LINGERS,) if all(event.lingers for event in part) else (),
            )

    def _traces_of(self, events: list[_Written]) -> Mapping[UUID, TraceContext]:
        runs = {event.run_id for event in events} if self._traces else set()
        return {run_id: trace for run_id in runs if (trace := self._traces.get(run_id))}

    async def _publish(self, messages: list[Outgoing]) -> None:
        """rule republish_the_same: what was not confirmed may have arrived; it is published again, same seq
        and content, and nothing else of these runs is decided before."""
        pause = 0.2
        self._publishing += 1
        try:
            while True:
                try:
                    await self._bus.publish(messages)
                    return
                except BusUnavailable as error:
                    _log.warning("bus did not confirm", reason=error.message)
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, 5.0)
        finally:
            self._publishing -= 1


def _parts(entries: list[_Entry], bytes_of: Callable[[_Entry], int]) -> Iterator[list[_Entry]]:
    """The entries in their order, in parts that are each within the bounds of a message, or alone in theirs."""
    part: list[_Entry] = []
    size = 0
    for entry in entries:
        more = bytes_of(entry)
        if part and (len(part) >= ENTRIES_PER_MESSAGE or size + more > BYTES_PER_MESSAGE):
            yield part
            part, size = [], 0
        part.append(entry)
        size += more
    if part:
        yield part
