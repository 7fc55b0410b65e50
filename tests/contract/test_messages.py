"""The message schemas in contracts/messages against the code that writes and reads them, both ways."""

from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from headrace.errors import MalformedMessage
from headrace.ids import new_id
from headrace.messages import Event, EventBatch, Job, LogBatch, LogLevel, LogRecord
from headrace.telemetry.context import TraceContext
from headrace.workflow.fold import Change, fold
from headrace.workflow.state import EventKind, ParkReason, RunState
from jsonschema import Draft202012Validator

from tests.contract.message_schemas import FILES, validator

AT = datetime(2026, 5, 4, 10, 30, tzinfo=UTC)
TENANT, RUN = new_id(AT), new_id(AT)
ATTEMPT = {
    "number": 1,
    "startedAt": AT.isoformat(),
    "durationMs": 12,
    "outcome": "FAILED",
    "httpStatus": 503,
    "address": "127.0.0.1",
    "connection": str(new_id(AT)),
    "host": "shop.example",
}
FAILURE = {"code": "HTTP_503", "message": "the target answered 503"}
# One event of each kind and shape, as a run would write them.
EVENTS: list[tuple[EventKind, str | None, dict[str, Any]]] = [
    (EventKind.CLAIMED, None, {}),
    (EventKind.STARTED, "a", {"attempt": 1, "unsafe": True, "input": {"order": "1"}}),
    (EventKind.ATTEMPTED, "a", {"attempt": ATTEMPT, "error": FAILURE}),
    (EventKind.ATTEMPTED, "a", {"attempt": ATTEMPT, "error": FAILURE, "retryAt": AT.isoformat()}),
    (EventKind.COMPLETED, "a", {"status": "SUCCESS", "output": {"id": 1}, "attempt": ATTEMPT}),
    (EventKind.COMPLETED, "b", {"status": "SKIPPED"}),
    (EventKind.PARKED, None, {"reason": "RETRY", "resumeAt": AT.isoformat()}),
    (EventKind.PARKED, None, {"reason": "HANDED_BACK"}),
    (EventKind.FINISHED, None, {"status": "SUCCESS", "result": {"x": None}}),
    (EventKind.FINISHED, None, {"status": "FAILED", "error": FAILURE}),
    (EventKind.CANCELED, None, {}),
]


def event(kind: EventKind, step: str | None, data: dict[str, Any]) -> Event:
    return Event(TENANT, RUN, 1, 1, kind, AT, step, data)


JOB = Job(TENANT, RUN, new_id(AT))
BATCH = EventBatch(new_id(AT), tuple(event(*e) for e in EVENTS))
LOGS = LogBatch(
    (
        LogRecord(new_id(AT), TENANT, RUN, AT, LogLevel.WARN, "busy", "a", 2, {"status": 503}),
        LogRecord(new_id(AT), TENANT, RUN, AT, LogLevel.INFO, "begun"),
    )
)
TRACE = TraceContext(7, 9)
TRACED = EventBatch(new_id(AT), (event(*EVENTS[0]),), {RUN: TRACE})
MESSAGES = [
    ("job.json", JOB),
    ("job.json", Job(TENANT, RUN, new_id(AT), TRACE)),
    ("event_batch.json", BATCH),
    ("event_batch.json", TRACED),
    ("log_batch.json", LOGS),
]


@pytest.mark.parametrize("name", sorted(FILES))
def test_each_file_is_a_schema(name: str) -> None:
    Draft202012Validator.check_schema(FILES[name])


@pytest.mark.parametrize(("name", "message"), MESSAGES)
def test_what_the_code_writes_fits_the_file_and_reads_back(name: str, message: Any) -> None:
    body = message.encode()
    validator(name).validate(orjson.loads(body))
    assert type(message).decode(body) == message


def without_each_field(value: Any) -> Iterator[tuple[str, Any]]:
    """The value with one field less, for every field of it and of what it holds in lists."""
    if not isinstance(value, dict):
        return
    for name, inner in value.items():
        yield name, {k: v for k, v in value.items() if k != name}
        if isinstance(inner, list):
            for shorter_name, shorter in without_each_field(inner[0]):
                yield f"{name}.{shorter_name}", {**value, name: [shorter]}


@pytest.mark.parametrize(("name", "message"), MESSAGES)
def test_the_file_and_the_code_require_the_same_fields(name: str, message: Any) -> None:
    for removed, value in without_each_field(orjson.loads(message.encode())):
        try:
            type(message).decode(orjson.dumps(value))
            read = True
        except MalformedMessage:
            read = False
        assert read == validator(name).is_valid(value), removed


@pytest.mark.parametrize(("name", "message"), MESSAGES)
def test_both_refuse_another_version_and_ids_that_are_none(name: str, message: Any) -> None:
    value = orjson.loads(message.encode())
    ids = [field for field in value if field.endswith("_id")]
    for wrong in ({**value, "v": 2}, *({**value, field: "nobody"} for field in ids)):
        assert not validator(name).is_valid(wrong)
        with pytest.raises(MalformedMessage):
            type(message).decode(orjson.dumps(wrong))


@pytest.mark.parametrize(("field", "value"), [("epoch", 0), ("seq", 2**31), ("seq", "1"), ("kind", "done")])
def test_both_refuse_an_event_out_of_range(field: str, value: Any) -> None:
    wrong = {**orjson.loads(orjson.dumps(event(*EVENTS[0]).as_json())), field: value}
    assert not validator("event.json").is_valid(wrong)
    with pytest.raises(MalformedMessage):
        Event.from_json(wrong)


@pytest.mark.parametrize(
    ("field", "value"),
    [("message", None), ("step", {"a": 1}), ("attempt", "1"), ("attempt", True), ("context", [["a", 1]])],
)
def test_both_refuse_a_log_record_of_another_shape(field: str, value: Any) -> None:
    record = LogRecord(new_id(AT), TENANT, RUN, AT, LogLevel.INFO, "called")
    wrong = orjson.loads(LogBatch([record]).encode())
    wrong["records"][0][field] = value
    assert not validator("log_batch.json").is_valid(wrong)
    with pytest.raises(MalformedMessage):
        LogBatch.decode(orjson.dumps(wrong))


def test_fields_and_words_are_the_same_in_both() -> None:
    written = FILES["event.json"]
    assert set(written["properties"]) == {f.name for f in fields(Event)}
    assert set(written["properties"]["kind"]["enum"]) == set(EventKind)
    shapes = {shape["properties"]["kind"]["const"]: shape for shape in written["oneOf"]}
    assert set(shapes) == set(EventKind)
    reasons = shapes["parked"]["properties"]["data"]["properties"]["reason"]["enum"]
    assert set(reasons) == set(ParkReason)
    record = FILES["log_batch.json"]["properties"]["records"]["items"]["properties"]
    assert set(record) == {f.name for f in fields(LogRecord)}
    assert set(record["level"]["enum"]) == set(LogLevel)
    assert set(FILES["job.json"]["properties"]) == {f.name for f in fields(Job)} | {"v"}


@pytest.mark.parametrize(
    ("kind", "step", "data"),
    [
        (EventKind.STARTED, None, {"attempt": 1, "unsafe": False, "input": None}),
        (EventKind.COMPLETED, "a", {}),
        (EventKind.COMPLETED, "a", {"status": "QUEUED"}),
        (EventKind.FINISHED, None, {"status": "CANCELED"}),
        (EventKind.PARKED, None, {"reason": "TIRED"}),
        (EventKind.ATTEMPTED, "a", {"attempt": {"number": 1}, "error": FAILURE}),
    ],
)
def test_an_event_that_says_too_little_does_not_fit(
    kind: EventKind, step: str | None, data: dict[str, Any]
) -> None:
    assert not validator("event.json").is_valid(orjson.loads(orjson.dumps(event(kind, step, data).as_json())))


def test_a_history_in_the_file_s_shape_folds() -> None:
    history = [EVENTS[i] for i in (0, 1, 2, 4, 5, 8)]
    state = RunState()
    for kind, step, data in history:
        state = fold(state, Change(kind, step, data))
    assert state.status == "SUCCESS"
    assert {key: step.status for key, step in state.steps.items()} == {"a": "SUCCESS", "b": "SKIPPED"}


def test_a_date_without_an_offset_is_refused() -> None:
    value = {**orjson.loads(orjson.dumps(event(*EVENTS[0]).as_json())), "at": "2026-05-04T10:30:00"}
    with pytest.raises(MalformedMessage):
        Event.from_json(value)


@pytest.mark.parametrize(
    "trace", [None, 1, "", "00-0-0-0", "ff-" + "1" * 32 + "-" + "1" * 16 + "-01", {"a": 1}]
)
def test_what_is_no_trace_is_left_out(trace: Any) -> None:
    """A run goes on whatever somebody says of its trace."""
    assert Job.decode(orjson.dumps({**orjson.loads(JOB.encode()), "traceparent": trace})) == JOB
    for traces in (trace, {str(RUN): trace}, {"nobody": str(TRACE)}):
        body = orjson.dumps({**orjson.loads(BATCH.encode()), "traces": traces})
        assert EventBatch.decode(body) == BATCH
