"""What crosses the bus: jobs, batches of events, batches of log records. The code twin of contracts/messages.

Bodies are JSON with a version field `v`. Reading is strict about shape and lenient about unknown fields, so
that neighbouring releases understand each other. Anything else raises `MalformedMessage`, which never quotes
the bytes.
"""

import contextlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import orjson

from headrace.bus.port import MAX_MESSAGE_BYTES
from headrace.errors import MalformedMessage
from headrace.json_types import JsonObject
from headrace.records import record
from headrace.telemetry.context import TraceContext
from headrace.workflow.state import EventKind

VERSION = 1

_KINDS = {kind.value: kind for kind in EventKind}


@record
class Job:
    """A hint that a run should be advanced; the dispatch row is the truth. `traceparent` is the span of its sending."""

    tenant_id: UUID
    run_id: UUID
    dispatch_id: UUID
    traceparent: TraceContext | None = None

    def encode(self) -> bytes:
        ids = {"tenant_id": self.tenant_id, "run_id": self.run_id, "dispatch_id": self.dispatch_id}
        trace = {"traceparent": str(self.traceparent)} if self.traceparent else {}
        return _dump({"v": VERSION, **ids, **trace})

    @staticmethod
    def decode(body: bytes) -> "Job":
        return _job(load_body(body))


@record
class Event:
    """One fact about a run, written by the holder of the claim `epoch` alone; `seq` counts within it from 1."""

    tenant_id: UUID
    run_id: UUID
    epoch: int
    seq: int
    kind: EventKind
    at: datetime
    step: str | None = None
    data: JsonObject = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "tenant_id": self.tenant_id,
            "run_id": self.run_id,
            "epoch": self.epoch,
            "seq": self.seq,
            "kind": self.kind,
            "at": self.at,
            "step": self.step,
            "data": self.data,
        }

    def encode(self) -> bytes:
        """A part of an `EventBatch`. Raises `TypeError` for data that is not JSON."""
        return _dump(self.as_json())

    @staticmethod
    def from_json(value: Any) -> "Event":
        return _event(value, {})


@record
class EventBatch:
    """Events of many runs of one partition, in the order in which each run's were written. `traces`: of those runs that
    are traced, the span of the claim that wrote them."""

    runner_id: UUID
    events: Sequence[Event]
    traces: Mapping[UUID, TraceContext] = field(default_factory=dict)

    def encode(self) -> bytes:
        return encode_events(self.runner_id, [event.encode() for event in self.events], self.traces)

    @staticmethod
    def decode(body: bytes) -> "EventBatch":
        return EventBatch.from_json(load_body(body))

    @staticmethod
    def from_json(value: Any) -> "EventBatch":
        return _event_batch(value)


class LogLevel(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"

    @property
    def severity(self) -> int:
        return _SEVERITY[self]


_LEVELS = {level.value: level for level in LogLevel}
_SEVERITY = {LogLevel.DEBUG: 10, LogLevel.INFO: 20, LogLevel.WARN: 30, LogLevel.ERROR: 40}


@record
class LogRecord:
    """One line about a run. `message` is up to 8 KB of text, `context` small JSON; both already redacted.

    `id` is a UUIDv7 minted with the record: appending the same record again changes nothing.
    """

    id: UUID
    tenant_id: UUID
    run_id: UUID
    at: datetime
    level: LogLevel
    message: str
    step: str | None = None
    attempt: int | None = None
    context: JsonObject = field(default_factory=dict)

    def encode(self) -> bytes:
        """A part of a `LogBatch`. Raises `TypeError` for a context that is not JSON."""
        return _dump(
            {
                "id": self.id,
                "tenant_id": self.tenant_id,
                "run_id": self.run_id,
                "at": self.at,
                "level": self.level,
                "message": self.message,
                "step": self.step,
                "attempt": self.attempt,
                "context": self.context,
            }
        )

    @staticmethod
    def from_json(value: Any) -> "LogRecord":
        try:
            return _log_record(value, {})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _malformed("log record", error) from None


@record
class LogBatch:
    records: Sequence[LogRecord]

    def encode(self) -> bytes:
        return encode_logs([record.encode() for record in self.records])

    @staticmethod
    def decode(body: bytes) -> "LogBatch":
        return _log_batch(load_body(body))


def encode_events(
    runner_id: UUID, events: Sequence[bytes], traces: Mapping[UUID, TraceContext] | None = None
) -> bytes:
    """The body of an `EventBatch` of events that are encoded already, in their order."""
    more = b""
    if traces:
        more = b',"traces":' + _dump({str(run_id): str(trace) for run_id, trace in traces.items()})
    head = (VERSION, str(runner_id).encode(), b",".join(events), more)
    return b'{"v":%d,"runner_id":"%b","events":[%b]%b}' % head


def encode_logs(records: Sequence[bytes]) -> bytes:
    """The body of a `LogBatch` of records that are encoded already."""
    return b'{"v":%d,"records":[%b]}' % (VERSION, b",".join(records))


def partition_of(run_id: UUID, partitions: int) -> int:
    """The partition of events that a run belongs to, for its whole life; `partitions` never changes."""
    return zlib.crc32(run_id.bytes) % partitions


def _dump(value: Mapping[str, Any]) -> bytes:
    # A UUID that Postgres's driver made is of a type of its own, which orjson does not know.
    return orjson.dumps(value, default=str)


def load_body(body: bytes) -> Any:
    """The JSON object of a message of our version, its fields not looked at. Raises `MalformedMessage`."""
    if len(body) > MAX_MESSAGE_BYTES:  # nobody of ours could publish it
        raise MalformedMessage(f"the message is larger than {MAX_MESSAGE_BYTES} bytes")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise MalformedMessage("the message is not JSON") from None
    if not isinstance(value, dict):
        raise MalformedMessage("the message is not a JSON object")
    if value.get("v") != VERSION:
        raise MalformedMessage(f"the message's version is not {VERSION}")
    return value


def _job(value: Any) -> Job:
    try:
        trace = TraceContext.parse(value.get("traceparent"))
        return Job(UUID(value["tenant_id"]), UUID(value["run_id"]), UUID(value["dispatch_id"]), trace)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _malformed("job", error) from None


def _event(value: Any, ids: dict[str, UUID]) -> Event:
    try:
        epoch, seq, step, data = value["epoch"], value["seq"], value.get("step"), value.get("data", {})
        if type(epoch) is not int or type(seq) is not int or not 0 < epoch < 2**31 or not 0 < seq < 2**31:
            raise ValueError("epoch and seq are positive whole numbers")
        if not (step is None or isinstance(step, str)) or not isinstance(data, dict):
            raise TypeError("step is text and data is an object")
        return Event(
            _id(value["tenant_id"], ids),
            _id(value["run_id"], ids),
            epoch,
            seq,
            _KINDS[value["kind"]],
            _time(value["at"]),
            step,
            data,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _malformed("event", error) from None


def _event_batch(value: Any) -> EventBatch:
    try:
        ids: dict[str, UUID] = {}
        events = tuple([_event(e, ids) for e in value["events"]])
        return EventBatch(UUID(value["runner_id"]), events, _traces(value.get("traces")))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _malformed("event batch", error) from None


def _traces(value: Any) -> Mapping[UUID, TraceContext]:
    """What is no trace is left out: nobody's run waits for it."""
    found: dict[UUID, TraceContext] = {}
    if isinstance(value, dict):
        for run_id, text in value.items():
            with contextlib.suppress(ValueError):
                if trace := TraceContext.parse(text):
                    found[UUID(run_id)] = trace
    return found


def _log_batch(value: Any) -> LogBatch:
    try:
        ids: dict[str, UUID] = {}
        return LogBatch(tuple([_log_record(r, ids) for r in value["records"]]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _malformed("log batch", error) from None


def _log_record(value: Any, ids: dict[str, UUID]) -> LogRecord:
    step, attempt, context = value.get("step"), value.get("attempt"), value.get("context")
    if not (attempt is None or type(attempt) is int) or not (context is None or isinstance(context, dict)):
        raise TypeError("attempt is a whole number and context an object")
    return LogRecord(
        UUID(value["id"]),
        _id(value["tenant_id"], ids),
        _id(value["run_id"], ids),
        _time(value["at"]),
        _LEVELS[value["level"]],
        _text(value["message"]),
        None if step is None else _text(step),
        attempt,
        context or {},
    )


def _id(text: str, known: dict[str, UUID]) -> UUID:
    """Read once for a batch, whose tenants and runs come again and again."""
    found = known.get(text)
    if found is None:
        found = known[text] = UUID(text)
    return found


def _time(value: str) -> datetime:
    at = datetime.fromisoformat(value)
    if at.tzinfo is None:
        raise ValueError("a time without an offset")
    return at


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text expected")
    return value


def _malformed(what: str, error: Exception) -> MalformedMessage:
    return MalformedMessage(f"not a {what}: {type(error).__name__}")
