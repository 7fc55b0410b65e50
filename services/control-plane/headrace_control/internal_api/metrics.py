"""What the internal API measures: claims by their outcome, and how long a run waits for its first."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from headrace.telemetry.metrics import LAG_SECONDS
from prometheus_client import CollectorRegistry, Counter, Histogram

from headrace_control.internal_api.outcome import Outcome


class ClaimMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._claims = Counter(
            "headrace_claims", "Jobs that asked for a claim.", ["outcome"], registry=registry
        )
        self._start_latency = Histogram(
            "headrace_run_start_latency_seconds",
            "From when a run was accepted to its first claim.",
            buckets=LAG_SECONDS,
            registry=registry,
        )

        for outcome in Outcome:  # a series that begins with its first event shows no rate of it
            self._claims.labels(outcome=outcome)

    def answered(self, outcomes: Iterable[str]) -> None:
        for outcome in outcomes:
            self._claims.labels(outcome=outcome).inc()

    def began(self, accepted_at: datetime, started_at: datetime) -> None:
        self._start_latency.observe(max((started_at - accepted_at) / timedelta(seconds=1), 0.0))
