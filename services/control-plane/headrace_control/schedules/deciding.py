"""Which firings of a schedule start runs now, which wait, and which are left out. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from headrace_control.schedules.cron import Cron

# A firing that nobody came to for so long counts as missed.
LATE = timedelta(minutes=1)
# What `FIRE_ALL` starts of the missed firings at most, the newest ones.
MAX_MISSED = 100


class Missed(StrEnum):
    """What becomes of firings that no control plane was there for."""

    SKIP = "SKIP"
    FIRE_ONCE = "FIRE_ONCE"  # the newest of them
    FIRE_ALL = "FIRE_ALL"  # each, up to a bound


class Overlap(StrEnum):
    """What a firing does while a run of an earlier one is unfinished."""

    ALLOW = "ALLOW"
    SKIP = "SKIP"
    QUEUE_ONE = "QUEUE_ONE"  # one firing waits, those behind it are left out
    CANCEL_PREVIOUS = "CANCEL_PREVIOUS"  # the newest waits until those that it cancels have ended


@dataclass(frozen=True, slots=True)
class Span:
    """The firings from `first` to `last` that were missed and start nothing, as far as they are known."""

    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be started by the clock, in order; what was missed for good; and the next firing."""

    firings: Sequence[datetime]
    missed: Span | None
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class Decision:
    """`start` in order; `queued` waits from now on; `skipped` start nothing; `cancel`: unfinished runs are to end."""

    start: Sequence[datetime] = ()
    queued: datetime | None = None
    skipped: Sequence[datetime] = ()
    cancel: bool = False


def due(cron: Cron, next_at: datetime, now: datetime, missed: Missed, most: int) -> Due:
    """What a schedule whose next firing is `next_at` <= `now` has to do. `most` bounds `FIRE_ALL`."""
    late = now - LATE
    before = next_at - timedelta(seconds=1)
    on_time = list(cron.between(max(before, late), now))
    following = cron.after(now)
    if next_at > late:
        return Due(on_time, None, following)
    wanted = {Missed.SKIP: 0, Missed.FIRE_ONCE: 1, Missed.FIRE_ALL: most}[missed]
    # One more, to see whether any is left out.
    newest = cron.newest(before, late, wanted + 1)
    kept = list(newest[-wanted:]) if wanted else []
    if len(newest) <= wanted:
        return Due([*kept, *on_time], None, following)
    return Due([*kept, *on_time], Span(next_at, newest[-wanted - 1]), following)


def first_of(found: Due, most: int) -> Due:
    """The first so many of the firings; the others are due next, and at once."""
    if len(found.firings) <= most:
        return found
    return Due(found.firings[:most], found.missed, found.firings[most])


def decide(
    overlap: Overlap, unfinished: bool, queued: datetime | None, firings: Sequence[datetime]
) -> Decision:
    """What becomes of `firings`, and of the one that is `queued`; `unfinished`: an earlier firing's run is."""
    waiting = [*([queued] if queued else []), *firings]
    match overlap:
        case Overlap.ALLOW:
            return Decision(start=waiting)
        case Overlap.SKIP:
            if unfinished:
                return Decision(skipped=waiting)
            return Decision(start=waiting[:1], skipped=waiting[1:])
        case Overlap.QUEUE_ONE:
            start = [] if unfinished else waiting[:1]
            behind = waiting[len(start) :]
            return Decision(start, next(iter(behind), None), behind[1:])
        case Overlap.CANCEL_PREVIOUS:
            if not unfinished:
                return Decision(start=waiting[-1:], skipped=waiting[:-1])
            return Decision(
                queued=waiting[-1] if waiting else None, skipped=waiting[:-1], cancel=bool(firings)
            )
        case _:
            assert_never(overlap)
