"""What a runner measures, and that tenants' names do not make it grow."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace.workflow.graph import Graph
from headrace.workflow.parse import parse_document
from headrace.workflow.state import EventKind
from headrace_runner.metrics import MOST_CODES, MOST_RUNS, MOST_STEPS, RunMeter, RunnerMetrics
from prometheus_client import CollectorRegistry, generate_latest

NOW = datetime(2026, 1, 2, tzinfo=UTC)
DOCUMENT = {
    "workflow": "pay",
    "steps": [
        {"key": "charge", "action": "shop/charge", "compensate": {"action": "shop/refund"}},
        {"key": "sum", "type": "transform", "input": 1},
    ],
}


def meter(metrics: RunnerMetrics, workflow: str = "pay") -> RunMeter:
    return RunMeter(metrics, Graph.of(parse_document(DOCUMENT)), workflow, NOW - timedelta(seconds=40))


def attempt(outcome: str, ms: int = 120, **more: Any) -> dict[str, Any]:
    return {"attempt": {"number": 1, "outcome": outcome, "durationMs": ms}, **more}


def test_attempts_retries_and_ends_are_measured() -> None:
    registry = CollectorRegistry()
    run = meter(RunnerMetrics(registry))
    run.wrote(EventKind.STARTED, "charge", {"attempt": 1, "unsafe": False}, NOW)
    run.wrote(EventKind.ATTEMPTED, "charge", attempt("FAILED", error={"code": "HTTP_503"}), NOW)
    run.wrote(EventKind.COMPLETED, "charge", attempt("SUCCESS", status="SUCCESS"), NOW)
    run.wrote(EventKind.COMPLETED, "charge", {"status": "CACHED"}, NOW)
    run.wrote(EventKind.COMPLETED, "sum", {"status": "SKIPPED"}, NOW)
    run.wrote(EventKind.COMPLETED, "sum", attempt("SUCCESS", 0, status="SUCCESS"), NOW)
    run.wrote(EventKind.COMPLETED, "charge.undo", attempt("SUCCESS", status="SUCCESS"), NOW)
    run.wrote(EventKind.FINISHED, None, {"status": "FAILED"}, NOW)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    steps = "headrace_step_duration_seconds"
    assert value(f"{steps}_count", workflow="pay", action="shop/charge", status="FAILED") == 1
    assert value(f"{steps}_sum", workflow="pay", action="shop/charge", status="SUCCESS") == 0.12
    assert value(f"{steps}_count", workflow="pay", action="transform", status="SUCCESS") == 1
    assert value(f"{steps}_count", workflow="pay", action="shop/refund", status="SUCCESS") == 1
    assert value("headrace_steps_cached_total", workflow="pay", action="shop/charge") == 1
    assert value("headrace_step_retries_total", code="HTTP_503") == 1
    assert value("headrace_run_duration_seconds_sum", workflow="pay", status="FAILED") == 40


def test_names_beyond_the_bound_are_other() -> None:
    registry = CollectorRegistry()
    metrics = RunnerMetrics(registry)
    for n in range(1_000):
        run = meter(metrics, f"workflow-{n}")
        for outcome in ("SUCCESS", "FAILED"):
            failed = attempt(outcome, error={"code": f"CODE_{n}"})
            run.wrote(EventKind.ATTEMPTED, "charge", failed, NOW)
        run.wrote(EventKind.CANCELED, None, {}, NOW)
    shown = generate_latest(registry).decode()
    for name, most in (("step_duration", MOST_STEPS), ("run_duration", MOST_RUNS)):
        seen = set(re.findall(rf'headrace_{name}_seconds_count{{.*?workflow="(.*?)"', shown))
        assert len(seen) == most + 1
        assert "other" in seen
    assert len(set(re.findall(r'headrace_step_retries_total{code="(.*?)"', shown))) == MOST_CODES + 1
    others = {"workflow": "other", "action": "other", "status": "FAILED"}
    assert registry.get_sample_value("headrace_step_duration_seconds_count", others) == 1_000 - MOST_STEPS
    assert len(shown.splitlines()) < 12_000
