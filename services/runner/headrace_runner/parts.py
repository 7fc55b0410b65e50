"""What every engine of a runner shares."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from headrace.workflow.expressions.render import Templates
from prometheus_client import CollectorRegistry

from headrace_runner.clock import Clock
from headrace_runner.gate import CallGate
from headrace_runner.lease import HeldRun
from headrace_runner.metrics import RunnerMetrics
from headrace_runner.pace import Pace
from headrace_runner.results import NoResults, Results
from headrace_runner.spans import NOT_TRACED, StepSpans
from headrace_runner.steps.protocol import StepHandler


class CallsAllowed(Protocol):
    """Whether a call may leave now, for the holder of a run."""

    async def may_call(self, held: HeldRun) -> bool: ...


@dataclass(frozen=True, slots=True)
class EngineParts:
    """`time_slice`: how long a run may be held before it is handed back. `park_retries_after`: the longest
    delay, in seconds, that is waited for here. `draining` is set when the runner is to leave. `pace` is kept
    by all that evaluates expressions. `spans` traces the steps, `metrics` measures them."""

    handlers: Mapping[str, StepHandler]
    templates: Templates
    lease: CallsAllowed
    clock: Clock
    time_slice: timedelta
    park_retries_after: float
    draining: asyncio.Event
    gate: CallGate
    results: Results = field(default_factory=NoResults)
    pace: Pace = field(default_factory=Pace)
    spans: StepSpans = NOT_TRACED
    metrics: RunnerMetrics = field(default_factory=lambda: RunnerMetrics(CollectorRegistry()))
