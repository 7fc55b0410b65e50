"""A connection's token bucket and circuit breaker, as pure functions of its row and the time.

The breaker opens when failures outnumber successes by `FAILURES` within `WINDOW`, or when the target says until when to
leave it alone (`Retry-After`, RFC 9110 section 10.2.3). Once its time is over it lets one call through at a time: a
success closes it, a failure opens it for twice as long.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from headrace_control.apps.limits import Limits

# Many: a burst of runs that each meet a failure or two, and try again, is no outage. A fleet that hammers a target
# that is down has so many in moments; few calls a minute do no harm.
FAILURES = 100
WINDOW = timedelta(seconds=60)
FIRST_OPENING = timedelta(seconds=10)
LONGEST_OPENING = timedelta(minutes=5)
LONGEST_RETRY_AFTER = timedelta(hours=1)
# After this a probe that nobody answered for, its runner is gone perhaps, no longer keeps others from trying.
PROBE = timedelta(seconds=60)
PROBE_AGAIN = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Throttle:
    """One connection's row. `tokens` were there at `refilled_at`."""

    failures: int = 0
    failed_at: datetime | None = None
    openings: int = 0
    open_until: datetime | None = None
    probe_until: datetime | None = None
    tokens: float | None = None
    refilled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Permit:
    """Calls that may be made now; `wait` is how long to wait when it is none. `probe`: the one call of a half open
    breaker. `blocked`: the breaker is why there is none."""

    granted: int
    wait: timedelta = timedelta()
    probe: bool = False
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a runner saw: a failure, or that its probe went well. `successes` were made since its last report."""

    ok: bool
    probe: bool
    successes: int = 0
    retry_after: timedelta | None = None


def permitted(row: Throttle, limits: Limits | None, wanted: int, now: datetime) -> tuple[Throttle, Permit]:
    """Up to `wanted` calls, and the row after them."""
    half_open = row.open_until is not None
    if row.open_until is not None and now < row.open_until:
        return row, Permit(0, row.open_until - now, blocked=True)
    if half_open and row.probe_until is not None and now < row.probe_until:
        return row, Permit(0, PROBE_AGAIN, blocked=True)
    if half_open:
        wanted = 1
    if limits is not None:
        row, granted, wait = _take(row, limits, wanted, now)
        if granted == 0:
            return row, Permit(0, wait)
        wanted = granted
    if half_open:
        return replace(row, probe_until=now + PROBE), Permit(1, probe=True)
    return row, Permit(wanted)


def after(row: Throttle, outcome: Outcome, now: datetime) -> Throttle:
    """The row after what a runner saw."""
    if outcome.ok:
        if row.open_until is None or not outcome.probe:
            return row
        return replace(row, failures=0, failed_at=None, openings=0, open_until=None, probe_until=None)
    if outcome.retry_after is not None:
        until = now + min(outcome.retry_after, LONGEST_RETRY_AFTER)
        return replace(row, open_until=max(until, row.open_until or until), probe_until=None)
    if row.open_until is not None:
        # A call that began before it opened tells nothing new; the probe does.
        return _opened(row, now) if outcome.probe and now >= row.open_until else row
    recent = row.failed_at is not None and now - row.failed_at < WINDOW
    failures = max((row.failures if recent else 0) - outcome.successes, 0) + 1
    row = replace(row, failures=failures, failed_at=now)
    return _opened(row, now) if failures >= FAILURES else row


def _opened(row: Throttle, now: datetime) -> Throttle:
    openings = row.openings + 1
    lasting = min(FIRST_OPENING * 2 ** min(openings - 1, 10), LONGEST_OPENING)
    return replace(row, openings=openings, open_until=now + lasting, probe_until=None)


def _take(row: Throttle, limits: Limits, wanted: int, now: datetime) -> tuple[Throttle, int, timedelta]:
    rate, full = limits.requests_per_second, float(limits.burst)
    if row.tokens is None or row.refilled_at is None:
        tokens, at = full, now
    else:
        # Whoever waited for the row's lock has an older `now` than the one before it.
        at = max(now, row.refilled_at)
        tokens = min(row.tokens + (at - row.refilled_at).total_seconds() * rate, full)
    granted = min(wanted, int(tokens))
    wait = timedelta(seconds=(1 - tokens) / rate) if granted == 0 else timedelta()
    return replace(row, tokens=tokens - granted, refilled_at=at), granted, wait
