"""What a runner's traces say of steps, and what they do not."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from headrace.ids import new_id
from headrace.telemetry.context import TraceContext, current_trace, within_trace
from headrace.telemetry.traces import Attributes, Kind, Traces
from headrace.workflow.document import Step
from headrace.workflow.keys import RowKey
from headrace.workflow.state import Failure
from headrace_runner.spans import StepSpans
from headrace_runner.steps.protocol import Failed, InDoubt, Outcome, StepContext, Succeeded

CLAIM = TraceContext(7, 9)
CANARY = "canary-words"
RUN = SimpleNamespace(tenant_id=new_id(), run_id=new_id())
CONTEXT = cast(
    StepContext,
    SimpleNamespace(run=RUN, step=Step("pay", action="shop/pay", input=CANARY), key=RowKey("pay")),
)


@dataclass
class Told:
    name: str
    parent: TraceContext | None
    attributes: dict[str, str | int]
    context: TraceContext
    failed: str | None = None
    over: bool = False

    def end(self, attributes: Attributes | None = None, failed: str | None = None) -> None:
        self.attributes |= attributes or {}
        self.failed, self.over = failed, True


@dataclass
class Recorder:
    spans: list[Told] = field(default_factory=list)

    def begin(
        self, name: str, kind: Kind, parent: TraceContext | None, attributes: Attributes, **_: Any
    ) -> Told:
        self.spans.append(Told(name, parent, dict(attributes), TraceContext(7, 100 + len(self.spans))))
        return self.spans[-1]


def spans() -> tuple[Recorder, StepSpans]:
    recorder = Recorder()
    return recorder, StepSpans(cast(Traces, recorder))


@pytest.mark.parametrize(
    ("outcome", "said", "failed"),
    [
        (Succeeded(CANARY, {"httpStatus": 200, "address": CANARY}), "SUCCESS", None),
        (Failed(Failure("HTTP_503", CANARY), detail={"httpStatus": 503}), "FAILED", "HTTP_503"),
        (InDoubt(Failure("TIMEOUT", CANARY)), "UNKNOWN", "TIMEOUT"),
    ],
)
def test_an_attempt_is_told_by_its_outcome_and_code_alone(
    outcome: Outcome, said: str, failed: str | None
) -> None:
    recorder, told = spans()
    with within_trace(CLAIM), told.attempt(CONTEXT, 2) as attempted:
        assert current_trace() == recorder.spans[0].context
        attempted.ended(outcome)
    (span,) = recorder.spans
    assert (span.name, span.parent, span.failed, span.over) == ("step pay", CLAIM, failed, True)
    assert span.attributes["headrace.outcome"] == said
    assert span.attributes["headrace.attempt.number"] == 2
    assert CANARY not in repr(span)


def test_an_attempt_that_is_broken_off_is_told_so() -> None:
    recorder, told = spans()
    with pytest.raises(ValueError, match=CANARY), within_trace(CLAIM), told.attempt(CONTEXT, 1):
        raise ValueError(CANARY)
    assert recorder.spans[0].failed == "ValueError"
    assert CANARY not in repr(recorder.spans)


def test_a_wait_and_an_earlier_result_are_marked() -> None:
    recorder, told = spans()
    with within_trace(CLAIM):
        told.waits(CONTEXT, "approval")
        told.cached(CONTEXT)
    assert [(s.name, s.parent, s.over) for s in recorder.spans] == [
        ("step pay waits", CLAIM, True),
        ("step pay cached", CLAIM, True),
    ]


def test_of_a_run_that_is_not_traced_nothing_is_told() -> None:
    recorder, told = spans()
    with told.attempt(CONTEXT, 1) as attempted:
        attempted.ended(Succeeded(1))
    told.waits(CONTEXT, "timer")
    with within_trace(CLAIM), StepSpans(None).attempt(CONTEXT, 1):
        assert current_trace() == CLAIM
    names: Sequence[Told] = recorder.spans
    assert not names
