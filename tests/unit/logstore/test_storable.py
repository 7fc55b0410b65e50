"""Whatever a record holds, what is stored of it can be."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
from headrace.ids import new_id
from headrace.logstore.storable import MAX_CONTEXT_BYTES, MAX_MESSAGE, MAX_STEP, expiry, storable
from headrace.messages import LogLevel, LogRecord
from hypothesis import given, settings
from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=()))
CONTEXTS = st.dictionaries(
    TEXT,
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT),
        lambda inner: st.one_of(st.lists(inner), st.dictionaries(TEXT, inner)),
        max_leaves=10,
    ),
)
ZONES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def record(**fields: Any) -> LogRecord:
    values = {"at": datetime(2026, 3, 1, tzinfo=UTC), "message": "m", **fields}
    return LogRecord(id=new_id(), tenant_id=new_id(), run_id=new_id(), level=LogLevel.INFO, **values)


@settings(deadline=None)
@given(TEXT, st.none() | TEXT, st.none() | st.integers(), CONTEXTS, st.datetimes(timezones=ZONES))
def test_any_record_becomes_one_that_every_store_takes(
    message: str, step: str | None, attempt: int | None, context: dict[str, Any], at: datetime
) -> None:
    fit = storable(record(message=message, step=step, attempt=attempt, context=context, at=at))
    for text in (fit.message, fit.step or "", orjson.dumps(fit.context).decode()):
        text.encode()
        assert "\x00" not in text
    assert b"\\u0000" not in orjson.dumps(fit.context)
    assert fit.attempt is None or abs(fit.attempt) < 2**31
    assert fit.at.tzinfo is UTC
    assert storable(fit) == fit


def test_a_fit_record_is_left_as_it_is() -> None:
    fit = record(
        message="ok", step="pay", attempt=2, context={"n": 1, "big": 2**64 - 1, "deep": [{"x": None}]}
    )
    assert storable(fit) == fit


def test_long_text_is_cut_with_its_length_noted() -> None:
    fit = storable(record(message="m" * (MAX_MESSAGE + 1), step="s" * (MAX_STEP + 1)))
    assert fit.message == "m" * MAX_MESSAGE + f"… ({MAX_MESSAGE + 1} characters)"
    assert fit.step == "s" * MAX_STEP + f"… ({MAX_STEP + 1} characters)"


def test_a_context_too_large_or_too_deep_is_left_out() -> None:
    deep: dict[str, Any] = {}
    for _ in range(10_000):
        deep = {"in": deep}
    assert list(storable(record(context=deep)).context) == ["left_out"]
    assert list(storable(record(context={"x": "y" * MAX_CONTEXT_BYTES})).context) == ["left_out"]


@settings(deadline=None)
@given(st.datetimes(timezones=st.just(UTC)), st.timedeltas(min_value=timedelta(0)))
def test_an_expiry_is_a_time(at: datetime, retention: timedelta) -> None:
    at = storable(record(at=at)).at
    assert at <= expiry(at, retention) <= datetime.max.replace(tzinfo=UTC)
