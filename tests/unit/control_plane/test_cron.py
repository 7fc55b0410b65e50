"""Cron expressions against the clock changes of zones in both halves of the world, and against a plain oracle."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from headrace_control.schedules.cron import Cron, NoSuchZone, NotCron, read_cron
from hypothesis import given, settings
from hypothesis import strategies as st

BERLIN, LORD_HOWE, SANTIAGO = "Europe/Berlin", "Australia/Lord_Howe", "America/Santiago"


def fired(expression: str, zone: str, begin: str, end: str) -> list[str]:
    """The firings between two times on the zone's wall clock, as it shows them, with their offsets."""
    clock, place = read_cron(expression, zone), ZoneInfo(zone)
    after, until = (datetime.fromisoformat(text).replace(tzinfo=place) for text in (begin, end))
    return [f"{one.astimezone(place):%d %H:%M%z}" for one in clock.between(after, until)]


@pytest.mark.parametrize(
    ("expression", "zone", "begin", "end", "expected"),
    [
        # A time that there is not: once, at the first moment that there is.
        (
            "30 2 * * *",
            BERLIN,
            "2030-03-30T01:00",
            "2030-04-01T12:00",
            ["30 02:30+0100", "31 03:00+0200", "01 02:30+0200"],
        ),
        (
            "0,15,30 2 * * *",
            BERLIN,
            "2030-03-31T00:00",
            "2030-03-31T12:00",
            ["31 03:00+0200"],
        ),
        ("30 2,3 * * *", BERLIN, "2030-03-31T00:00", "2030-03-31T12:00", ["31 03:00+0200", "31 03:30+0200"]),
        ("15 2 * * *", LORD_HOWE, "2030-10-06T00:00", "2030-10-07T12:00", ["06 02:30+1100", "07 02:15+1100"]),
        # Midnight, where it is midnight that there is not.
        ("0 0 * * *", SANTIAGO, "2030-09-07T12:00", "2030-09-09T12:00", ["08 01:00-0300", "09 00:00-0300"]),
        # A time that comes twice: once, when it comes first.
        (
            "30 2 * * *",
            BERLIN,
            "2030-10-26T12:00",
            "2030-10-28T12:00",
            ["27 02:30+0200", "28 02:30+0100"],
        ),
        ("45 1 * * *", LORD_HOWE, "2030-04-06T12:00", "2030-04-08T12:00", ["07 01:45+1100", "08 01:45+1030"]),
        (
            "30 23 * * *",
            SANTIAGO,
            "2030-04-06T12:00",
            "2030-04-08T12:00",
            ["06 23:30-0300", "07 23:30-0400"],
        ),
        # Each hour that passes.
        (
            "0 * * * *",
            BERLIN,
            "2030-03-31T00:30",
            "2030-03-31T04:30",
            ["31 01:00+0100", "31 03:00+0200", "31 04:00+0200"],
        ),
        (
            "0 * * * *",
            BERLIN,
            "2030-10-27T01:30",
            "2030-10-27T03:30",
            ["27 02:00+0200", "27 02:00+0100", "27 03:00+0100"],
        ),
        # The clock goes back by half an hour, and every second hour is not lost.
        (
            "0 */2 * * *",
            LORD_HOWE,
            "2030-04-06T23:30",
            "2030-04-07T05:00",
            ["07 00:00+1100", "07 02:00+1030", "07 04:00+1030"],
        ),
        (
            "30 * * * *",
            LORD_HOWE,
            "2030-04-07T00:45",
            "2030-04-07T03:00",
            ["07 01:30+1100", "07 01:30+1030", "07 02:30+1030"],
        ),
        # A minute that begins with `*` goes by the time that passes, too.
        ("*/30 2 * * *", BERLIN, "2030-03-31T00:00", "2030-03-31T12:00", []),
        ("*/15 0 * * *", SANTIAGO, "2030-09-07T12:00", "2030-09-08T12:00", []),
    ],
)
def test_a_clock_change(expression: str, zone: str, begin: str, end: str, expected: list[str]) -> None:
    assert fired(expression, zone, begin, end) == expected


def test_asked_within_the_hour_that_comes_again_nothing_is_fired_again() -> None:
    again = datetime(2030, 10, 27, 2, 15, tzinfo=ZoneInfo(BERLIN), fold=1)
    assert read_cron("30 2 * * *", BERLIN).after(again) == datetime(2030, 10, 28, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 12 L * *", "2030-01-31T12:00"),
        ("0 0 29 2 *", "2032-02-29T00:00"),
        ("0 9 * * MON#1", "2030-01-07T09:00"),
        ("0 9 * * 5L", "2030-01-25T09:00"),
        ("0 0 13 * FRI", "2030-01-04T00:00"),  # either: as cron has it
        ("@weekly", "2030-01-06T00:00"),
        ("@Yearly", "2031-01-01T00:00"),
        (" 5   4 * * * ", "2030-01-01T04:05"),
    ],
)
def test_what_can_be_written(expression: str, expected: str) -> None:
    begin = datetime(2030, 1, 1, tzinfo=UTC)
    assert read_cron(expression, "UTC").after(begin) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "five fields"),
        ("* * * * * *", "five fields"),
        ("60 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day-of-month"),
        ("* * * 13 *", "month"),
        ("* * * * 8", "day-of-week"),
        ("*/0 * * * *", "minute"),
        ("5-1 * * * *", "minute"),
        ("0 0 30 2 *", "day-of-month"),
        ("²  * * * *", "minute"),
        ("@reboot", "five fields"),
        (f"{'9' * 5000} * * * *", "200 characters"),
        (f"{','.join('1' * 90)} {'/1' * 50} * * *", "200 characters"),
    ],
)
def test_what_can_not_be_read_says_where(expression: str, said: str) -> None:
    with pytest.raises(NotCron, match=said):
        read_cron(expression, "UTC")


@pytest.mark.parametrize("zone", ["", "Europe/Nowhere", "../../etc/passwd", "/etc/localtime", "CEST", "a\0b"])
def test_a_zone_is_one_of_the_list(zone: str) -> None:
    with pytest.raises(NoSuchZone):
        read_cron("0 0 * * *", zone)


def test_the_newest_firings_are_found_without_going_through_all() -> None:
    clock = read_cron("* * * * *", BERLIN)
    until = datetime(2030, 10, 27, 3, tzinfo=UTC)
    newest = clock.newest(until - timedelta(days=3650), until, 3)
    assert [until - one for one in newest] == [timedelta(minutes=n) for n in (2, 1, 0)]
    daily = read_cron("0 0 * * *", "UTC")
    assert daily.newest(until - timedelta(days=2), until, 10) == list(
        daily.between(until - timedelta(days=2), until)
    )


# -- against an oracle that asks minute by minute what the wall clock shows -------------------------------------

MINUTES = st.sampled_from(["0", "30", "*/20", "*", "15,45", "10-20/5"])
HOURS = st.sampled_from(["*", "*/2", "0", "1", "2", "3", "1-3", "0,23"])
JUMPS = st.sampled_from(
    [
        (BERLIN, datetime(2030, 3, 31, tzinfo=UTC)),
        (BERLIN, datetime(2030, 10, 26, 23, tzinfo=UTC)),
        (LORD_HOWE, datetime(2030, 4, 6, 14, tzinfo=UTC)),
        (LORD_HOWE, datetime(2030, 10, 5, 14, tzinfo=UTC)),
        (SANTIAGO, datetime(2030, 4, 7, 2, tzinfo=UTC)),
        (SANTIAGO, datetime(2030, 9, 8, 3, tzinfo=UTC)),
    ]
)


def numbers(text: str, end: int) -> set[int]:
    """What a field of the strategies above holds."""
    if text.startswith("*"):
        return set(range(0, end, int(text.partition("/")[2] or 1)))
    if "-" in text:
        span, _, step = text.partition("/")
        low, high = map(int, span.split("-"))
        return set(range(low, high + 1, int(step or 1)))
    return {int(part) for part in text.split(",")}


def oracle(minute: str, hour: str, zone: ZoneInfo, begin: datetime, end: datetime) -> list[datetime]:
    """The firings after `begin`, by walking over every minute: what is skipped counts when the clock has jumped, what
    comes again counts once, unless the expression goes by the time that passes."""
    minutes, hours = numbers(minute, 60), numbers(hour, 24)
    passing = minute.startswith("*") or hour.startswith("*")
    found: list[datetime] = []
    shown: set[datetime] = set()
    # What was shown before the walk begins is known, too.
    last, moment = None, begin - timedelta(hours=6)
    while moment <= end:
        wall = moment.astimezone(zone).replace(tzinfo=None)
        skipped = []
        if last is not None and wall - last > timedelta(minutes=1):
            gap = int((wall - last).total_seconds() // 60)
            skipped = [last + timedelta(minutes=n) for n in range(1, gap)]
        candidates = [wall] if passing else [one for one in (*skipped, wall) if one not in shown]
        if any(one.minute in minutes and one.hour in hours for one in candidates):
            found.append(moment)
        shown.update((*skipped, wall))
        last = wall
        moment += timedelta(minutes=1)
    return [one for one in found if one > begin]


@settings(deadline=None, max_examples=60)
@given(MINUTES, HOURS, JUMPS, st.integers(-180, 300))
def test_around_a_jump_it_fires_as_the_wall_clock_says(
    minute: str, hour: str, jump: tuple[str, datetime], offset: int
) -> None:
    zone, about = jump
    begin = about + timedelta(minutes=offset)
    end = begin + timedelta(hours=10)
    clock = read_cron(f"{minute} {hour} * * *", zone)
    assert list(clock.between(begin, end)) == oracle(minute, hour, ZoneInfo(zone), begin, end)


@settings(deadline=None, max_examples=60)
@given(MINUTES, HOURS, JUMPS, st.integers(-300, 300), st.integers(1, 59))
def test_it_moves_on_and_what_it_answers_does_not_hang_on_where_one_asks(
    minute: str, hour: str, jump: tuple[str, datetime], offset: int, seconds: int
) -> None:
    zone, about = jump
    clock: Cron = read_cron(f"{minute} {hour} * * *", zone)
    begin = about + timedelta(minutes=offset, seconds=seconds)
    firings = list(clock.between(begin, begin + timedelta(hours=30)))
    assert all(one < following for one, following in pairwise((begin, *firings)))
    for before, one in pairwise((begin, *firings)):
        between = before + (one - before) / 2
        assert clock.after(between) == one
