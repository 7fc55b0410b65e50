"""When a cron expression fires in a time zone. Pure.

cronsim reads the expression and walks the wall clock; where the wall clock jumps is decided here, as Vixie's cron does
(crontab(5), Debian):

- An expression whose minute and hour both name times fires once for each. A time that the clock skips fires at the
  first moment after the jump, several of them once; a time that comes twice fires the first time.
- One whose minute or hour begins with `*` goes by the time that passes: each time that the wall clock shows it, never
  one that it does not show.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

MAX_EXPRESSION = 200
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_SHORT = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class NotCron(ValueError):
    """The text is no expression that can be used; the message says why."""


class NoSuchZone(ValueError):
    """There is no such time zone in the IANA database."""


@dataclass(frozen=True, slots=True)
class Cron:
    """An expression of five fields in a zone. Moments that come in are aware; those that come out are in UTC."""

    expression: str
    zone: ZoneInfo
    _fields: str = field(repr=False)

    def after(self, moment: datetime) -> datetime | None:
        """The first firing after `moment`; None when there is none in fifty years."""
        moment = moment.astimezone(UTC)
        minute, hour, *_ = self._fields.split()
        try:
            if minute.startswith("*") or hour.startswith("*"):
                return self._by_passing_time(moment)
            return self._by_the_wall_clock(moment)
        except OverflowError:  # the calendar ends
            return None

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """The firings after `after`, up to and with `until`."""
        moment = self.after(after)
        while moment is not None and moment <= until:
            yield moment
            moment = self.after(moment)

    def newest(self, after: datetime, until: datetime, most: int) -> Sequence[datetime]:
        """The last firings of `between`, `most` of them at most, in order; without going through all."""
        span = timedelta(hours=1)
        while True:
            begin = max(after, until - span)
            found = deque(self.between(begin, until), maxlen=most)
            if len(found) == most or begin == after:
                return list(found)
            span *= 4

    def _by_the_wall_clock(self, moment: datetime) -> datetime | None:
        for wall in self._walls(_wall(moment, self.zone)):
            found = _first_moment(wall, self.zone)
            if found > moment:  # else it is shown for the second time
                return found
        return None

    def _by_passing_time(self, moment: datetime) -> datetime | None:
        offset, wall = _offset(moment, self.zone), _wall(moment, self.zone)
        while True:
            shown = next(self._walls(wall), None)
            if shown is None:
                return None
            candidate = shown.replace(tzinfo=UTC) - offset
            jump = _next_jump(moment, candidate, self.zone)
            if jump is None:
                return candidate
            # From the jump on the wall clock shows other times; the very moment of the jump may be one that fires.
            moment, offset = jump, _offset(jump, self.zone)
            wall = _wall(jump, self.zone) - _SECOND

    def _walls(self, after: datetime) -> Iterator[datetime]:
        return iter(CronSim(self._fields, after))


@lru_cache(maxsize=2048)
def read_cron(expression: str, zone: str) -> Cron:
    """Raises `NotCron` and `NoSuchZone`."""
    fields = _SHORT.get(expression.strip().lower(), expression)
    if len(fields) > MAX_EXPRESSION:
        raise NotCron(f"it has more than {MAX_EXPRESSION} characters")
    if len(fields.split()) != 5:
        raise NotCron("it has not five fields: minute, hour, day of month, month, day of week")
    cron = Cron(expression, read_zone(zone), " ".join(fields.split()))
    try:
        never = next(CronSim(fields, datetime(2000, 1, 1)), None) is None  # noqa: DTZ001 - a wall clock's time
    except CronSimError as error:
        raise NotCron(str(error).lower()) from None
    except (ValueError, AssertionError, RecursionError):
        raise NotCron("it can not be read") from None
    if never:
        raise NotCron("it never fires")
    return cron


@lru_cache(maxsize=1024)
def read_zone(name: str) -> ZoneInfo:
    """Raises `NoSuchZone`."""
    # The name becomes a file's: only those that are listed are looked for.
    if name not in _zones():
        raise NoSuchZone(name)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise NoSuchZone(name) from None


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones() - {"localtime"})


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _wall(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def _first_moment(wall: datetime, zone: ZoneInfo) -> datetime:
    """When the wall clock shows this for the first time, or else the first moment at which it shows a later one."""
    before, after = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if before <= after:
        return before
    # Skipped: read with the offset before the jump it lies behind the jump, and the other way round.
    return _jump_between(after, before, zone)


def _next_jump(after: datetime, until: datetime, zone: ZoneInfo) -> datetime | None:
    """The first moment after `after`, up to and with `until`, from which on another offset holds."""
    offset = _offset(after, zone)
    while after < until:
        step = min(after + _DAY, until)
        if _offset(step, zone) != offset:
            return _jump_between(after, step, zone)
        after = step
    return None


def _jump_between(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    """The moment, to the second, at which the offset of `low` ends; `high` has another."""
    offset = _offset(low, zone)
    low = low.replace(microsecond=0)
    while high - low > _SECOND:
        middle = low + timedelta(seconds=(high - low) // _SECOND // 2)
        if _offset(middle, zone) == offset:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)
