"""What a runner measures: runs and steps as they end, retries, and how long take-overs wait for the barrier."""

from datetime import datetime, timedelta

from headrace.json_types import JsonObject
from headrace.telemetry.metrics import CALL_SECONDS, LAG_SECONDS, RUN_SECONDS, Bounded
from headrace.workflow.graph import Graph
from headrace.workflow.keys import read_key
from headrace.workflow.state import EventKind, StepStatus
from prometheus_client import CollectorRegistry, Counter, Histogram

from headrace_runner.rows import step_of

# Sets of names with series of their own in this process: a step's are workflow and action, a run's its workflow.
MOST_STEPS = 200
MOST_RUNS = 100
MOST_CODES = 50


class RunnerMetrics:
    """Costs two look-ups and an addition for an attempt, and asks nobody."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.steps = Bounded(
            Histogram(
                "headrace_step_duration_seconds",
                "How long an attempt of a step took.",
                ["workflow", "action", "status"],
                buckets=CALL_SECONDS,
                registry=registry,
            ),
            names=2,
            most=MOST_STEPS,
        )
        self.runs = Bounded(
            Histogram(
                "headrace_run_duration_seconds",
                "From a run's first claim to its end, waits included.",
                ["workflow", "status"],
                buckets=RUN_SECONDS,
                registry=registry,
            ),
            names=1,
            most=MOST_RUNS,
        )
        self.cached = Bounded(
            Counter(
                "headrace_steps_cached",
                "Steps that took an earlier result.",
                ["workflow", "action"],
                registry=registry,
            ),
            names=2,
            most=MOST_STEPS,
        )
        self.retries = Bounded(
            Counter(
                "headrace_step_retries",
                "Attempts that failed and are followed by another.",
                ["code"],
                registry=registry,
            ),
            names=1,
            most=MOST_CODES,
        )
        self.barrier = Histogram(
            "headrace_barrier_wait_seconds",
            "How long a take-over waited for its checkpoint.",
            buckets=LAG_SECONDS,
            registry=registry,
        )


class RunMeter:
    """Measures one run by the events that its holder writes."""

    def __init__(self, metrics: RunnerMetrics, graph: Graph, workflow: str, started_at: datetime) -> None:
        self._metrics, self._graph, self._workflow, self._started_at = metrics, graph, workflow, started_at

    def wrote(self, kind: EventKind, step: str | None, data: JsonObject, now: datetime) -> None:
        if step is not None:
            if isinstance(attempt := data.get("attempt"), dict):
                self._attempt(kind, step, attempt, data)
            elif data.get("status") == StepStatus.CACHED:
                self._metrics.cached.of(self._workflow, self._action(step)).inc()
        elif kind in (EventKind.FINISHED, EventKind.CANCELED):
            status = str(data.get("status", "CANCELED"))
            took = (now - self._started_at) / timedelta(seconds=1)
            self._metrics.runs.of(self._workflow, status).observe(max(took, 0.0))

    def _attempt(self, kind: EventKind, row: str, attempt: JsonObject, data: JsonObject) -> None:
        if not isinstance(took := attempt.get("durationMs"), int):
            return
        outcome = str(attempt.get("outcome"))
        self._metrics.steps.of(self._workflow, self._action(row), outcome).observe(took / 1000)
        if kind is EventKind.ATTEMPTED and isinstance(error := data.get("error"), dict):
            self._metrics.retries.of(str(error.get("code"))).inc()

    def _action(self, row: str) -> str:
        step = step_of(self._graph, read_key(row))
        return step.action or step.type
