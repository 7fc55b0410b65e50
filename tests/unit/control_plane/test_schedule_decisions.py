"""What becomes of firings: those that were missed, and those that meet an unfinished run."""

from datetime import UTC, datetime, timedelta

import pytest
from headrace_control.schedules.cron import read_cron
from headrace_control.schedules.deciding import Decision, Missed, Overlap, Span, decide, due, first_of
from hypothesis import given
from hypothesis import strategies as st

HOURLY = read_cron("0 * * * *", "UTC")
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
A, B, C = (NOON + timedelta(hours=n) for n in range(3))


def hours(*numbers: int) -> list[datetime]:
    return [NOON.replace(hour=n) for n in numbers]


def test_a_firing_within_the_minute_is_on_time() -> None:
    found = due(HOURLY, NOON, NOON + timedelta(seconds=59), Missed.SKIP, 1)
    assert (found.firings, found.missed, found.next_at) == ([NOON], None, B)


@pytest.mark.parametrize(
    ("missed", "most", "kept", "left_out"),
    [
        (Missed.SKIP, 1, (), (9, 12)),
        (Missed.FIRE_ONCE, 1, (12,), (9, 11)),
        (Missed.FIRE_ALL, 2, (11, 12), (9, 10)),
        (Missed.FIRE_ALL, 100, (9, 10, 11, 12), None),
    ],
)
def test_missed_firings(
    missed: Missed, most: int, kept: tuple[int, ...], left_out: tuple[int, int] | None
) -> None:
    found = due(HOURLY, NOON.replace(hour=9), NOON + timedelta(minutes=20), missed, most)
    assert list(found.firings) == hours(*kept)
    assert found.missed == (Span(*hours(*left_out)) if left_out else None)
    assert found.next_at == B


def test_what_is_on_time_fires_beside_what_was_missed() -> None:
    found = due(HOURLY, NOON.replace(hour=10), NOON + timedelta(seconds=2), Missed.SKIP, 1)
    assert (list(found.firings), found.missed) == ([NOON], Span(*hours(10, 11)))


def test_years_of_minutes_are_not_gone_through() -> None:
    minutely = read_cron("* * * * *", "Europe/Berlin")
    found = due(minutely, NOON - timedelta(days=3650), NOON + timedelta(seconds=30), Missed.FIRE_ALL, 2)
    assert [NOON - one for one in found.firings] == [timedelta(minutes=n) for n in (2, 1, 0)]


def test_what_is_too_much_for_once_is_due_next() -> None:
    late = NOON + timedelta(minutes=20)
    all_of_it = due(HOURLY, NOON.replace(hour=6), late, Missed.FIRE_ALL, 5)
    first = first_of(all_of_it, 2)
    assert (list(first.firings), first.missed, first.next_at) == (
        hours(8, 9),
        all_of_it.missed,
        NOON.replace(hour=10),
    )
    # What was left out is told once.
    rest = due(HOURLY, NOON.replace(hour=10), late, Missed.FIRE_ALL, 5)
    assert (list(rest.firings), rest.missed) == (hours(10, 11, 12), None)
    assert first_of(rest, 3) is rest


@pytest.mark.parametrize(
    ("overlap", "unfinished", "queued", "firings", "expected"),
    [
        (Overlap.ALLOW, True, None, [A, B], Decision(start=[A, B])),
        (Overlap.SKIP, True, None, [A], Decision(skipped=[A])),
        (Overlap.SKIP, False, None, [A, B], Decision(start=[A], skipped=[B])),
        (Overlap.QUEUE_ONE, True, None, [A, B], Decision(queued=A, skipped=[B])),
        (Overlap.QUEUE_ONE, True, A, [B], Decision(queued=A, skipped=[B])),
        (Overlap.QUEUE_ONE, False, A, [], Decision(start=[A])),
        (Overlap.QUEUE_ONE, False, A, [B, C], Decision(start=[A], queued=B, skipped=[C])),
        (Overlap.CANCEL_PREVIOUS, False, None, [A, B], Decision(start=[B], skipped=[A])),
        (Overlap.CANCEL_PREVIOUS, True, A, [B], Decision(queued=B, skipped=[A], cancel=True)),
        (Overlap.CANCEL_PREVIOUS, True, A, [], Decision(queued=A)),
        (Overlap.CANCEL_PREVIOUS, False, A, [], Decision(start=[A])),
    ],
)
def test_overlaps(
    overlap: Overlap,
    unfinished: bool,
    queued: datetime | None,
    firings: list[datetime],
    expected: Decision,
) -> None:
    found = decide(overlap, unfinished, queued, firings)
    assert Decision(list(found.start), found.queued, list(found.skipped), found.cancel) == Decision(
        list(expected.start), expected.queued, list(expected.skipped), expected.cancel
    )


@given(st.sampled_from(Overlap), st.booleans(), st.booleans(), st.integers(0, 5))
def test_every_firing_gets_one_fate_and_no_two_run_at_once(
    overlap: Overlap, unfinished: bool, is_queued: bool, count: int
) -> None:
    firings = [NOON + timedelta(hours=n) for n in range(1, count + 1)]
    queued = NOON if is_queued else None
    found = decide(overlap, unfinished, queued, firings)
    fates = [*found.start, *([found.queued] if found.queued else []), *found.skipped]
    assert sorted(fates) == [*([NOON] if is_queued else []), *firings]
    if overlap is not Overlap.ALLOW:
        assert len(found.start) <= (0 if unfinished else 1)
