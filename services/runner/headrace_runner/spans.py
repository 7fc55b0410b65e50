"""What a runner's traces say of steps: a span for each attempt, and one without a duration where there is none."""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol, assert_never

from headrace.telemetry.context import TraceContext, current_trace, within_trace
from headrace.telemetry.traces import Kind, Traces, of_run

from headrace_runner.steps.protocol import Failed, InDoubt, NotCalled, Outcome, StepContext, Succeeded


class Attempt(Protocol):
    def ended(self, outcome: Outcome) -> None: ...


class _Untold:
    def ended(self, outcome: Outcome) -> None:
        """Nobody listens."""


class _Told:
    outcome: Outcome | None = None

    def ended(self, outcome: Outcome) -> None:
        self.outcome = outcome


_NO_SPAN: AbstractContextManager[Attempt] = contextlib.nullcontext(_Untold())


class StepSpans:
    """Spans under the trace that the task at hand is in; without one, or without `traces`, there are none."""

    def __init__(self, traces: Traces | None) -> None:
        self._traces = traces

    def attempt(self, context: StepContext, number: int) -> AbstractContextManager[Attempt]:
        """One attempt is made inside. The span is the current one then, so that a call offers it to its target."""
        parent = current_trace()
        if self._traces is None or parent is None:
            return _NO_SPAN
        return self._span(self._traces, parent, context, number)

    @contextlib.contextmanager
    def _span(
        self, traces: Traces, parent: TraceContext, context: StepContext, number: int
    ) -> Iterator[Attempt]:
        action = context.step.action
        span = traces.begin(
            f"step {context.key}",
            Kind.CLIENT if action else Kind.INTERNAL,
            parent,
            {**_of_step(context), "headrace.attempt.number": number},
        )
        told = _Told()
        try:
            with within_trace(span.context):
                yield told
        except BaseException as error:
            span.end(failed=type(error).__name__)
            raise
        match told.outcome:
            case None:
                span.end()
            case Succeeded(detail=detail):
                span.end(_answered(detail, "SUCCESS"))
            case Failed(failure, detail=detail):
                span.end(_answered(detail, "FAILED"), failed=failure.code)
            case InDoubt(failure, detail=detail):
                span.end(_answered(detail, "UNKNOWN"), failed=failure.code)
            case NotCalled(detail):
                span.end(_answered(detail, "FAILED"), failed="NOT_CALLED")
            case _:
                assert_never(told.outcome)

    def waits(self, context: StepContext, kind: str) -> None:
        """The step waits from now on; what comes of it is another claim's to tell."""
        self._mark(context, "waits", {"headrace.wait.kind": kind})

    def cached(self, context: StepContext) -> None:
        """An earlier result stood for the call; there is no attempt."""
        self._mark(context, "cached", {"headrace.outcome": "CACHED"})

    def _mark(self, context: StepContext, what: str, more: dict[str, str]) -> None:
        parent = current_trace()
        if self._traces is not None and parent is not None:
            attributes = {**_of_step(context), **more}
            self._traces.begin(f"step {context.key} {what}", Kind.INTERNAL, parent, attributes).end()


NOT_TRACED = StepSpans(None)


def _of_step(context: StepContext) -> dict[str, str | int]:
    step = context.step
    work = {"headrace.action": step.action} if step.action else {}
    return {
        **of_run(context.run.tenant_id, context.run.run_id),
        "headrace.step.key": str(context.key),
        "headrace.step.type": step.type,
        **work,
    }


def _answered(detail: object, outcome: str) -> dict[str, str | int]:
    status = detail.get("httpStatus") if isinstance(detail, dict) else None
    answered = {"http.response.status_code": status} if type(status) is int else {}
    return {"headrace.outcome": outcome, **answered}
