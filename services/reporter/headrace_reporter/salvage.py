"""What can be read of a batch that is refused as a whole: a part that can not be read costs its own run alone."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias
from uuid import UUID

from headrace.errors import MalformedMessage
from headrace.messages import Event, EventBatch, LogRecord, load_body
from headrace.records import record
from headrace.telemetry.context import TraceContext

# Whose an event says that it is: the tenant and the run. A name alone that somebody forged holds up nobody else.
Whose: TypeAlias = tuple[UUID, UUID]


@record
class Unread:
    """An event that can not be read, as JSON. `place`: its epoch and seq, None where these can not be read either."""

    place: tuple[int, int] | None
    value: Any


@record
class Broken:
    """A run's events of one message from the first on that can not be read; `values` are all of them, as JSON."""

    tenant_id: UUID
    run_id: UUID
    reason: str
    unread: list[Unread]
    values: list[Any]


@record
class Salvaged:
    """`before` can be read and comes ahead of what can not be read of its run; `after` comes behind it. `nobodys` is
    JSON that does not say whose it is."""

    runner_id: UUID
    before: Sequence[Event]
    broken: Sequence[Broken]
    after: Sequence[Event]
    nobodys: Sequence[Any]
    traces: Mapping[UUID, TraceContext]


def salvage_events(body: bytes) -> Salvaged:
    """Raises `MalformedMessage` for what is no batch of events, whatever stands in it."""
    value = load_body(body)
    around = EventBatch.from_json({**value, "events": []})
    if not isinstance(value.get("events"), list):
        raise MalformedMessage("not an event batch: there is no list of events")
    before: list[Event] = []
    after: list[Event] = []
    nobodys: list[Any] = []
    broken: dict[Whose, Broken] = {}
    for each in value["events"]:
        try:
            event = Event.from_json(each)
        except MalformedMessage as error:
            if (whose := _whose(each)) is None:
                nobodys.append(each)
                continue
            run = broken.setdefault(whose, Broken(*whose, error.message, [], []))
            run.unread.append(Unread(_place(each), each))
            run.values.append(each)
        else:
            if (found := broken.get((event.tenant_id, event.run_id))) is None:
                before.append(event)
            else:
                found.values.append(each)
                after.append(event)
    return Salvaged(around.runner_id, before, list(broken.values()), after, nobodys, around.traces)


def salvage_records(body: bytes) -> Sequence[LogRecord]:
    """Those that can be read; none of what is no batch of records."""
    try:
        values = load_body(body).get("records")
    except MalformedMessage:
        return ()
    return [one for one in map(_record, values) if one] if isinstance(values, list) else ()


def _record(value: Any) -> LogRecord | None:
    try:
        return LogRecord.from_json(value)
    except MalformedMessage:
        return None


def _whose(value: Any) -> Whose | None:
    try:
        return UUID(value["tenant_id"]), UUID(value["run_id"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _place(value: Any) -> tuple[int, int] | None:
    epoch, seq = value.get("epoch"), value.get("seq")
    numbers = type(epoch) is int and type(seq) is int and epoch > 0 and 0 < seq < 2**31
    return (epoch, seq) if numbers else None
