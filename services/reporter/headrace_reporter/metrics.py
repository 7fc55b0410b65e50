"""What a reporter measures: how far it is behind, and how runs end."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from headrace.messages import Event, LogRecord
from headrace.telemetry.metrics import LAG_SECONDS
from headrace.workflow.state import ENDED_RUN, RunStatus
from prometheus_client import CollectorRegistry, Counter, Histogram


class ReporterMetrics:
    """A few additions for a batch."""

    def __init__(self, registry: CollectorRegistry) -> None:
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
        self._events = Counter("headrace_events_applied", "Events, stale ones too.", registry=registry)
        self._records = Counter("headrace_log_records_stored", "Log records.", registry=registry)
        self._ended = Counter("headrace_runs_ended", "Runs that ended.", ["status"], registry=registry)
        for status in ENDED_RUN:  # a series that begins with its first event shows no rate of it
            self._ended.labels(status=status)

    def applied(self, events: Sequence[Event], now: datetime, ended: Sequence[RunStatus]) -> None:
        """A batch was committed; `now` is Postgres's, which runners' clocks follow."""
        self._apply_lag.observe(_seconds(now - min(event.at for event in events)))
        self._events.inc(len(events))
        for status in ended:
            self._ended.labels(status=status).inc()

    def stored(self, records: Sequence[LogRecord]) -> None:
        if records:
            self._log_lag.observe(_seconds(datetime.now(UTC) - min(record.at for record in records)))
            self._records.inc(len(records))


def _seconds(lag: timedelta) -> float:
    return max(lag / timedelta(seconds=1), 0.0)
