"""A cursor comes back as it was given, and nothing else passes for one."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from headrace.errors import InvalidInput
from headrace.logstore import cursor
from hypothesis import assume, given, settings
from hypothesis import strategies as st

TIMES = st.datetimes(timezones=st.just(UTC))


@settings(deadline=None)
@given(TIMES, st.uuids())
def test_a_cursor_comes_back(at: datetime, record_id: UUID) -> None:
    assert cursor.decode(cursor.encode(at, record_id)) == (at, record_id)


@settings(deadline=None)
@given(TIMES)
def test_microseconds_are_exact(at: datetime) -> None:
    assert cursor.moment(cursor.micros(at)) == at


def decoded(text: str) -> tuple[datetime, UUID] | None:
    try:
        return cursor.decode(text)
    except InvalidInput:
        return None


@settings(deadline=None)
@given(st.one_of(st.text(), st.from_regex(r"\A[A-Za-z0-9_-]{34}\Z"), st.binary().map(lambda b: b.hex())))
def test_only_what_was_given_is_taken(text: str) -> None:
    position = decoded(text)
    assert position is None or cursor.encode(*position) == text


@settings(deadline=None)
@given(TIMES, st.uuids(), st.integers(0, 33), st.sampled_from("AZaz09-_=+/ é"))
def test_a_changed_cursor_is_refused_or_another(at: datetime, record_id: UUID, place: int, sign: str) -> None:
    text = cursor.encode(at, record_id)
    assume(text[place] != sign)
    assert decoded(text[:place] + sign + text[place + 1 :]) != (at, record_id)


def test_a_refusal_names_the_place() -> None:
    with pytest.raises(InvalidInput) as refused:
        cursor.decode("none of ours")
    assert refused.value.problems[0].path == "after"
