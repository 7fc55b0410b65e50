"""Token bucket and circuit breaker of one connection, by the clock alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from headrace_control.apps.limits import Limits
from headrace_control.throttle.model import (
    FAILURES,
    FIRST_OPENING,
    LONGEST_OPENING,
    LONGEST_RETRY_AFTER,
    PROBE,
    WINDOW,
    Outcome,
    Throttle,
    after,
    permitted,
)
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 1, tzinfo=UTC)
FAILURE, WELL = Outcome(ok=False, probe=False), Outcome(ok=True, probe=True)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def opened() -> Throttle:
    row = Throttle()
    for _ in range(FAILURES):
        row = after(row, FAILURE, NOW)
    assert row.open_until is not None
    return row


@given(
    rate=st.floats(0.1, 1000),
    burst=st.integers(1, 100),
    asks=st.lists(st.tuples(st.floats(0, 2), st.integers(1, 100)), max_size=40),
)
def test_no_more_calls_than_the_bucket_had_and_got(
    rate: float, burst: int, asks: list[tuple[float, int]]
) -> None:
    row, now, granted = Throttle(), NOW, 0
    for pause, wanted in asks:
        now += seconds(pause)
        row, permit = permitted(row, Limits(rate, burst), wanted, now)
        granted += permit.granted
        assert (permit.granted == 0) == (permit.wait > timedelta())
        if permit.granted == 0:
            _, later = permitted(row, Limits(rate, burst), 1, now + permit.wait + seconds(0.001))
            assert later.granted == 1
    assert granted <= burst + rate * (now - NOW).total_seconds() + 1


def test_without_limits_a_closed_breaker_lets_everything_through() -> None:
    row, permit = permitted(Throttle(), None, 50, NOW)
    assert (row, permit.granted, permit.probe) == (Throttle(), 50, False)


def test_a_clock_that_is_behind_takes_no_tokens_back() -> None:
    limits = Limits(1, 2)
    row, _ = permitted(Throttle(), limits, 2, NOW)
    row, permit = permitted(row, limits, 1, NOW - seconds(5))
    assert permit.granted == 0
    assert row.refilled_at == NOW


def test_failures_in_a_row_open_it_and_successes_between_them_do_not() -> None:
    row = opened()
    assert row.open_until == NOW + FIRST_OPENING
    _, permit = permitted(row, None, 1, NOW + seconds(4))
    assert (permit.granted, permit.blocked, permit.wait) == (0, True, FIRST_OPENING - seconds(4))
    mixed = Throttle()
    for _ in range(100):
        mixed = after(mixed, replace(FAILURE, successes=1), NOW)
    assert mixed.open_until is None


def test_old_failures_are_forgotten() -> None:
    row = Throttle()
    for n in range(FAILURES * 3):
        row = after(row, FAILURE, NOW + n * WINDOW)
    assert row.open_until is None


def test_half_open_lets_one_call_through_until_it_is_answered_for() -> None:
    at = NOW + FIRST_OPENING
    row, first = permitted(opened(), None, 10, at)
    assert (first.granted, first.probe) == (1, True)
    row, second = permitted(row, None, 10, at + seconds(1))
    assert (second.granted, second.blocked) == (0, True)
    closed = after(row, WELL, at + seconds(2))
    assert permitted(closed, None, 10, at + seconds(2))[1].granted == 10
    # Its runner is gone: another may try.
    assert permitted(row, None, 10, at + PROBE)[1].probe


def test_a_probe_that_fails_opens_it_for_longer_each_time() -> None:
    row, lasted = opened(), []
    for _ in range(10):
        assert row.open_until is not None
        at = row.open_until
        row, _ = permitted(row, None, 1, at)
        row = after(row, replace(FAILURE, probe=True), at)
        assert row.open_until is not None
        lasted.append(row.open_until - at)
    assert lasted[0] == FIRST_OPENING * 2
    assert lasted == sorted(lasted)
    assert lasted[-1] == LONGEST_OPENING


def test_what_began_before_it_opened_tells_nothing_new() -> None:
    row = opened()
    assert after(row, FAILURE, NOW + seconds(1)) == row
    assert after(row, replace(WELL, probe=False), NOW + seconds(1)) == row


def test_retry_after_opens_it_until_then_and_within_reason() -> None:
    row = after(Throttle(), replace(FAILURE, retry_after=seconds(90)), NOW)
    assert row.open_until == NOW + seconds(90)
    shorter = after(row, replace(FAILURE, retry_after=seconds(5)), NOW)
    assert shorter.open_until == row.open_until
    forever = after(Throttle(), replace(FAILURE, retry_after=timedelta(days=400)), NOW)
    assert forever.open_until == NOW + LONGEST_RETRY_AFTER
