"""What a reporter measures, by itself."""

from datetime import UTC, datetime, timedelta

import pytest
from headrace.ids import new_id
from headrace.messages import Event, LogLevel, LogRecord
from headrace.workflow.state import EventKind
from headrace_reporter.metrics import ReporterMetrics
from prometheus_client import CollectorRegistry


@pytest.mark.parametrize("ahead", [timedelta(hours=-1), timedelta(), timedelta(hours=1)])
def test_a_wrong_clock_of_the_reporters_machine_is_no_lag(ahead: timedelta) -> None:
    """Runners' clocks follow Postgres's, so what they wrote is as old as Postgres says."""
    registry = CollectorRegistry()
    metrics = ReporterMetrics(registry)
    now = datetime.now(UTC) + ahead
    at = now - timedelta(seconds=20)
    metrics.applied([Event(new_id(), new_id(), 1, 1, EventKind.STARTED, at)], now, [])
    metrics.stored([LogRecord(new_id(), new_id(), new_id(), at, LogLevel.INFO, "words")])
    for lag in ("apply", "log"):
        assert registry.get_sample_value(f"headrace_{lag}_lag_seconds_sum") == pytest.approx(20, abs=5)
