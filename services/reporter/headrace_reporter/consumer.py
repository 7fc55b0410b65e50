"""From the bus to the two stores. The two flows are separate: one store's outage does not hold back the other."""

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog
from headrace.bus.port import Delivery, PutBack, Reject
from headrace.errors import LogStoreUnavailable, MalformedMessage
from headrace.ids import new_id
from headrace.json_types import JsonObject
from headrace.messages import Event, EventBatch, LogBatch, LogRecord
from headrace.postgres.pool import Pool, transaction
from headrace.postgres.queries import load
from headrace.refusals.audit import Refusal, Refused
from headrace.telemetry.context import TraceContext
from headrace.telemetry.traces import Traces, ended
from prometheus_client import CollectorRegistry

from headrace_reporter.dead_letters import beginning, cut, kept_json
from headrace_reporter.grouping import Applies
from headrace_reporter.log_grouping import Appends
from headrace_reporter.metrics import ReporterMetrics
from headrace_reporter.salvage import salvage_events, salvage_records
from headrace_reporter.spans import apply_spans, log_spans

_log = structlog.get_logger(__name__)
_sql = load("headrace_reporter")

# How long a message of log records is held at most while their store is away; brokers take back what is held for longer
# than half an hour.
HOLD_SECONDS = 900.0


class EventConsumer:
    """Handles batches of one partition. An exception (Postgres is away) has the bus hand them over again."""

    def __init__(
        self,
        pool: Pool,
        applier: Applies,
        refused: Refused,
        traces: Traces | None = None,
        metrics: ReporterMetrics | None = None,
    ) -> None:
        self._pool, self._applier, self._refused, self._traces = pool, applier, refused, traces
        self._metrics = metrics or ReporterMetrics(CollectorRegistry())

    async def handle(self, deliveries: Sequence[Delivery]) -> None:
        queue = deliveries[0].queue
        self._metrics.took(queue)
        events: list[Event] = []
        parents: dict[UUID, TraceContext] = {}
        for delivery in deliveries:
            try:
                batch = EventBatch.decode(delivery.body)
                events.extend(batch.events)
                parents.update(batch.traces)
            except MalformedMessage as error:
                events = await self._salvage(delivery, error, events, parents)
        await self._apply(queue, events, parents)
        self._metrics.done(queue)

    async def _apply(self, queue: str, events: Sequence[Event], parents: Mapping[UUID, TraceContext]) -> None:
        with ended(apply_spans(self._traces, parents, events) if self._traces and parents else ()):
            await self._applier.apply(events)
        self._metrics.went_on(queue, len(events))

    async def _salvage(
        self,
        delivery: Delivery,
        error: MalformedMessage,
        ahead: Sequence[Event],
        parents: dict[UUID, TraceContext],
    ) -> list[Event]:
        """Apply what is `ahead` of a message that can not be read as a whole; then set aside the runs of which an event
        can not be read. What is left to apply, behind it: of a run that was set aside, the fence drops it."""
        try:
            found = salvage_events(delivery.body)
        except MalformedMessage:
            await self._bury(delivery, error, beginning(delivery.body))
            return list(ahead)
        parents.update(found.traces)
        await self._apply(delivery.queue, [*ahead, *found.before], parents)
        nobodys = [*found.nobodys, *await self._applier.set_aside(found.broken)]
        if nobodys:
            await self._bury(delivery, error, cut(kept_json(nobodys)), runner_id=str(found.runner_id))
        return list(found.after)

    async def _bury(
        self, delivery: Delivery, error: MalformedMessage, body: JsonObject, **known: str
    ) -> None:
        """A partition knows no dead letters of its own: what can not be read is kept in the table."""
        _log.error("malformed message", queue=delivery.queue, reason=error.message, **known)
        async with transaction(self._pool) as db:
            await db.execute(_sql.add_dead_letter, new_id(), None, None, delivery.queue, error.message, body)
        self._refused(unreadable(delivery, error))


class LogConsumer:
    """Handles batches of log records. An outage of the store is waited out: it is nobody's fault, so it must not count
    as a failed delivery. So that it does not, a message is put back after `hold_seconds`.

    Whose a record is, is what it says: to ask Postgres would stop the logs with it. The threat model names the limit.
    """

    def __init__(
        self,
        store: Appends,
        refused: Refused,
        traces: Traces | None = None,
        metrics: ReporterMetrics | None = None,
        hold_seconds: float = HOLD_SECONDS,
    ) -> None:
        self._store, self._refused, self._traces = store, refused, traces
        self._hold_seconds = hold_seconds
        self._metrics = metrics or ReporterMetrics(CollectorRegistry())

    async def handle(self, delivery: Delivery) -> None:
        try:
            records = LogBatch.decode(delivery.body).records
        except MalformedMessage as error:
            if readable := salvage_records(delivery.body):
                await self._store_all(readable)
            self._refused(unreadable(delivery, error))
            raise Reject(error.message) from None
        await self._store_all(records)

    async def _store_all(self, records: Sequence[LogRecord]) -> None:
        with ended(log_spans(self._traces, records) if self._traces else ()):
            await self._append(records)
        self._metrics.stored(records)

    async def _append(self, records: Sequence[LogRecord]) -> None:
        pause = 0.5
        until = asyncio.get_running_loop().time() + self._hold_seconds
        while True:
            try:
                await self._store.append(records)
                return
            except LogStoreUnavailable:
                if asyncio.get_running_loop().time() + pause > until:
                    raise PutBack from None
                _log.warning("log store is away", waiting_seconds=pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 10.0)


def unreadable(delivery: Delivery, error: MalformedMessage) -> Refusal:
    """Whose it is nobody knows: what it says of itself is nothing to go by."""
    return Refusal(
        "message.take", f"queue/{delivery.queue}", error.code, error.message, actor_name="reporter"
    )
