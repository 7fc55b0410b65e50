"""What a reporter measures: how far it is behind, and how runs end."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from headrace.messages import Event, LogRecord
from headrace.telemetry.metrics import LAG_SECONDS
from headrace.workflow.state import ENDED_RUN, RunStatus
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class ReporterMetrics:
    """A few additions for a batch. `clock` is in seconds."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # By how much Postgres's clock, which runners' follow, was ahead of this machine's when it was last seen.
        self._ahead = timedelta()
        # By queue, since when the batch in hand has been there, however often it was handed over again.
        self._taken_at: dict[str, float] = {}
        self._apply_lag = Histogram(
            "headrace_apply_lag_seconds",
            "From when the oldest event of a batch was written to when it is applied.",
            buckets=LAG_SECONDS,
            registry=registry,
        )
        self._log_lag = Histogram(
            "headrace_log_lag_seconds",
            "From when the oldest log record of a batch was written to when it is stored.",
            buckets=LAG_SECONDS,
            registry=registry,
        )
        self._events = Counter(
            "headrace_events_applied", "Events, those that change nothing too.", ["queue"], registry=registry
        )
        self._in_hand = Gauge(
            "headrace_events_in_hand_seconds",
            "For how long the batch in hand waits to be applied; 0 without one.",
            ["queue"],
            registry=registry,
        )
        self._records = Counter("headrace_log_records_stored", "Log records.", registry=registry)
        self._ended = Counter("headrace_runs_ended", "Runs that ended.", ["status"], registry=registry)
        for status in ENDED_RUN:  # a series that begins with its first event shows no rate of it
            self._ended.labels(status=status)

    def subscribing(self, queue: str) -> None:
        """To this partition; nothing of it is in hand yet."""
        self._taken_at.pop(queue, None)
        self._in_hand.labels(queue=queue).set_function(lambda: self._waits(queue))
        self._events.labels(queue=queue)  # a series that begins with its first event shows no rate of it

    def left(self, queue: str) -> None:
        self._in_hand.remove(queue)

    def took(self, queue: str) -> None:
        """A batch was handed over, be it once more."""
        self._taken_at.setdefault(queue, self._clock())

    def went_on(self, queue: str, events: int) -> None:
        """So many of it are applied, or set aside."""
        self._events.labels(queue=queue).inc(events)

    def done(self, queue: str) -> None:
        """All of it is."""
        self._taken_at.pop(queue, None)

    def applied(self, events: Sequence[Event], now: datetime, ended: Sequence[RunStatus]) -> None:
        """A batch was committed; `now` is Postgres's, which runners' clocks follow."""
        self._ahead = now - datetime.now(UTC)
        self._apply_lag.observe(_seconds(now - min(event.at for event in events)))
        for status in ended:
            self._ended.labels(status=status).inc()

    def stored(self, records: Sequence[LogRecord]) -> None:
        if records:
            now = datetime.now(UTC) + self._ahead
            self._log_lag.observe(_seconds(now - min(record.at for record in records)))
            self._records.inc(len(records))

    def _waits(self, queue: str) -> float:
        taken_at = self._taken_at.get(queue)
        return 0.0 if taken_at is None else self._clock() - taken_at


def _seconds(lag: timedelta) -> float:
    return max(lag / timedelta(seconds=1), 0.0)
