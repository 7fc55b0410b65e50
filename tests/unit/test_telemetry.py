"""Tracing by itself: the header, the ids, and that memory is bounded whatever ends while nobody takes it."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
import structlog
from headrace.ids import new_id
from headrace.process import read_settings
from headrace.telemetry import otel
from headrace.telemetry.context import TraceContext, claim_context, current_trace, within_trace
from headrace.telemetry.open import open_traces
from headrace.telemetry.otel import MOST_WAITING, OtelTraces
from headrace.telemetry.settings import TelemetrySettings
from headrace.telemetry.traces import Kind
from headrace_runner.sending import offering
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from prometheus_client import CollectorRegistry

RUN = new_id(datetime(2026, 1, 2, tzinfo=UTC))
GOOD = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        GOOD.upper(),
        GOOD[:-1],
        GOOD + "0",
        GOOD + "-more",
        "ff" + GOOD[2:],
        f"00-{'0' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'0' * 16}-01",
        GOOD.replace("a", "٣", 1),
        GOOD + "\r\nx: y",
        "0" * 100_000,
    ],
)
def test_what_is_no_traceparent_is_none(text: str | None) -> None:
    assert TraceContext.parse(text) is None


def test_a_traceparent_is_read_and_written() -> None:
    assert str(TraceContext.parse(GOOD)) == GOOD
    unsampled = TraceContext.parse(GOOD[:-1] + "2")
    assert unsampled is not None
    assert not unsampled.sampled
    # Of a version to come, what this one knows counts (W3C Trace Context, 3.2.2.1).
    assert str(TraceContext.parse("cc" + GOOD[2:] + "-more")) == GOOD


def test_a_claims_span_is_known_to_whoever_claims_next() -> None:
    trace = TraceContext(7, 9)
    assert claim_context(trace, RUN, 1) == claim_context(trace, RUN, 1)
    assert len({claim_context(trace, RUN, epoch).span_id for epoch in range(1, 100)}) == 99
    assert claim_context(trace, RUN, 1).span_id != claim_context(trace, new_id(), 1).span_id


def test_a_call_is_offered_its_span_unless_its_action_writes_one() -> None:
    headers = (("Accept", "*/*"),)
    assert offering(headers) == headers
    with within_trace(TraceContext.parse(GOOD)):
        assert offering(headers) == (*headers, ("traceparent", GOOD))
        own = (("TraceParent", "theirs"),)
        assert offering(own) == own
        said = structlog.contextvars.get_contextvars()
        assert (said["trace_id"], said["span_id"]) == ("a" * 32, "b" * 16)
    assert current_trace() is None
    assert "trace_id" not in structlog.contextvars.get_contextvars()


@pytest.mark.parametrize("service", ["headrace_control", "headrace_runner", "headrace_reporter"])
def test_who_does_not_trace_loads_no_sdk(service: str) -> None:
    assert open_traces(TelemetrySettings(exporter_otlp_endpoint=None), service, CollectorRegistry()) is None
    words = (
        f"import sys, {service}.main; print([m for m in sys.modules if m.startswith('opentelemetry.sdk')])"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


class _Collector(SpanExporter):
    """Takes spans once `open` is set."""

    def __init__(self, result: SpanExportResult = SpanExportResult.SUCCESS) -> None:
        self.open, self.result = threading.Event(), result
        self.names: list[str] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        assert self.open.wait(20)
        self.names += [span.name for span in spans]
        return self.result


async def test_ten_thousand_steps_hold_no_more_than_the_bound() -> None:
    registry, collector = CollectorRegistry(), _Collector()
    traces = OtelTraces("http://unused", "runner", registry, collector)
    parent = TraceContext(7, 9)
    for n in range(10_000):
        traces.begin(f"step {n}", Kind.CLIENT, parent, {}).end()
    dropped = registry.get_sample_value("headrace_spans_dropped_total", {"reason": "queue_full"}) or 0
    # What the exporter has in hand is no longer in the queue: one batch.
    assert 10_000 - MOST_WAITING - 512 <= dropped <= 10_000 - MOST_WAITING
    collector.open.set()
    await traces.close()
    assert len(collector.names) == 10_000 - dropped
    assert registry.get_sample_value("headrace_spans_exported_total") == 10_000 - dropped


async def test_what_is_not_delivered_is_counted() -> None:
    registry, collector = CollectorRegistry(), _Collector(SpanExportResult.FAILURE)
    collector.open.set()
    traces = OtelTraces("http://unused", "runner", registry, collector)
    traces.begin("step", Kind.CLIENT, None, {}).end(failed="TIMEOUT")
    await traces.close()
    assert registry.get_sample_value("headrace_spans_dropped_total", {"reason": "not_delivered"}) == 1


def test_a_collector_that_does_not_answer_keeps_no_process_from_ending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(otel, "CLOSE_SECONDS", 0.1)
    collector = _Collector()

    async def process() -> None:
        traces = OtelTraces("http://unused", "runner", CollectorRegistry(), collector)
        traces.begin("step", Kind.CLIENT, None, {}).end()
        await traces.close()

    ending = threading.Thread(target=lambda: asyncio.run(process()), daemon=True)
    ending.start()
    ending.join(10)
    assert not ending.is_alive()
    collector.open.set()


async def test_what_the_caller_does_not_sample_is_not_told() -> None:
    collector = _Collector()
    collector.open.set()
    traces = OtelTraces("http://unused", "runner", CollectorRegistry(), collector)
    span = traces.begin("step", Kind.CLIENT, TraceContext(7, 9, sampled=False), {})
    assert (span.context.trace_id, span.context.sampled) == (7, False)
    span.end()
    own = claim_context(TraceContext(7, 9), RUN, 1)
    given = traces.begin("claim", Kind.CONSUMER, TraceContext(7, 9), {}, own=own)
    assert given.context == own
    given.end()
    await traces.close()
    assert collector.names == ["claim"]


@pytest.mark.parametrize(("endpoint", "wanted"), [("", None), ("http://c:4318/", "http://c:4318")])
def test_an_endpoint_that_is_empty_is_none(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, wanted: str | None
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    assert read_settings(TelemetrySettings).exporter_otlp_endpoint == wanted


def test_a_wrong_endpoint_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "canary:4318")
    with pytest.raises(SystemExit):
        read_settings(TelemetrySettings)
    words = capsys.readouterr().err
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in words
    assert "canary" not in words
