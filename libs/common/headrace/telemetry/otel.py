"""Tracing by OpenTelemetry's SDK: spans wait in memory, bounded, and go by OTLP over HTTP from a thread of their own.

What is not told here is the SDK's to read from its standard variables: headers, certificates, time limits, sampler.
"""

import asyncio
import contextlib
import random
import threading
from collections.abc import Sequence

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from prometheus_client import CollectorRegistry, Counter

from headrace.telemetry.context import TraceContext
from headrace.telemetry.traces import Attributes, Kind

_log = structlog.get_logger(__name__)

# Spans that have ended and wait to be sent; what ends beyond that is counted and dropped. Some 2 KB each.
MOST_WAITING = 4096
# Of one request to the collector.
BATCH = 512
PERIOD_MS = 1000
CLOSE_SECONDS = 5.0
# Of one span. Ours are few and short: a bound against what a step's key or an action's name may be.
LIMITS = SpanLimits(max_span_attributes=16, max_span_attribute_length=200, max_events=0, max_links=4)

_KINDS = {kind: trace.SpanKind[kind.value] for kind in Kind}


class OtelTraces:
    """`registry` gets `headrace_spans_exported_total` and `headrace_spans_dropped_total` by reason."""

    def __init__(
        self,
        endpoint: str,
        service: str,
        registry: CollectorRegistry,
        exporter: SpanExporter | None = None,
    ) -> None:
        self._ids = _GivenIds()
        resource = Resource.create({"service.namespace": "headrace", "service.name": f"headrace-{service}"})
        self._provider = TracerProvider(
            resource=resource, id_generator=self._ids, span_limits=LIMITS, shutdown_on_exit=False
        )
        exporter = exporter or OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")
        self._provider.add_span_processor(_Bounded(exporter, registry))
        self._tracer = self._provider.get_tracer("headrace")

    def begin(
        self,
        name: str,
        kind: Kind,
        parent: TraceContext | None,
        attributes: Attributes,
        *,
        links: Sequence[TraceContext] = (),
        own: TraceContext | None = None,
    ) -> "_OtelSpan":
        above = (
            trace.set_span_in_context(trace.NonRecordingSpan(_theirs(parent)), Context()) if parent else None
        )
        self._ids.next_span = own.span_id if own else None
        span = self._tracer.start_span(
            name,
            context=above or Context(),
            kind=_KINDS[kind],
            attributes=dict(attributes),
            links=[trace.Link(_theirs(link)) for link in links],
        )
        return _OtelSpan(span)

    async def close(self) -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):  # nobody waited, and the loop has ended
                loop.call_soon_threadsafe(done.set)

        # The end of the process waits for the event loop's own threads, and the SDK takes half a minute.
        threading.Thread(target=shut_down, daemon=True).start()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await done.wait()
        except TimeoutError:
            _log.warning("spans were left behind: the collector does not answer")


class _OtelSpan:
    def __init__(self, span: trace.Span) -> None:
        self._span = span
        found = span.get_span_context()
        self.context = TraceContext(found.trace_id, found.span_id, found.trace_flags.sampled)

    def end(self, attributes: Attributes | None = None, failed: str | None = None) -> None:
        if attributes:
            self._span.set_attributes(dict(attributes))
        if failed is not None:
            self._span.set_attribute("error.type", failed)
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()


def _theirs(context: TraceContext) -> trace.SpanContext:
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if context.sampled else trace.TraceFlags.DEFAULT)
    return trace.SpanContext(context.trace_id, context.span_id, is_remote=True, trace_flags=flags)


class _GivenIds(IdGenerator):
    """Random ids, but for the next span's when it is given. One thread begins spans, and nothing comes in between."""

    def __init__(self) -> None:
        self.next_span: int | None = None
        self._random = RandomIdGenerator()
        random.seed()  # a process that was forked would make its parent's ids again

    def generate_span_id(self) -> int:
        given, self.next_span = self.next_span, None
        return given or self._random.generate_span_id()

    def generate_trace_id(self) -> int:
        return self._random.generate_trace_id()

    def is_trace_id_random(self) -> bool:
        return True


class _Bounded(SpanProcessor):
    """The SDK's batches behind a bound that counts what it turns away, which the SDK's own bound does not tell."""

    def __init__(self, exporter: SpanExporter, registry: CollectorRegistry) -> None:
        self._told = _Told(exporter, registry)
        self._batches = BatchSpanProcessor(
            self._told,
            max_queue_size=2 * MOST_WAITING,
            schedule_delay_millis=PERIOD_MS,
            max_export_batch_size=BATCH,
        )
        self._handed_over = 0

    def on_end(self, span: ReadableSpan) -> None:
        if not span.context or not span.context.trace_flags.sampled:
            return
        if self._handed_over - self._told.taken >= MOST_WAITING:
            self._told.dropped.labels(reason="queue_full").inc()
            return
        self._handed_over += 1
        self._batches.on_end(span)

    def shutdown(self) -> None:
        self._batches.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._batches.force_flush(timeout_millis)


class _Told(SpanExporter):
    """Counts what is exported, and says once when the collector is away and once when it is back."""

    def __init__(self, exporter: SpanExporter, registry: CollectorRegistry) -> None:
        self._exporter, self._away = exporter, False
        # Spans go from a thread of its own, which is not told whose lines it writes.
        self._log = _log.bind(**structlog.contextvars.get_contextvars())
        self.taken = 0
        self._exported = Counter(
            "headrace_spans_exported", "Spans that the collector took.", registry=registry
        )
        self.dropped = Counter("headrace_spans_dropped", "Spans given up.", ["reason"], registry=registry)
        for reason in ("queue_full", "not_delivered"):
            self.dropped.labels(reason=reason)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._exported.inc(len(spans))
        else:
            self.dropped.labels(reason="not_delivered").inc(len(spans))
        away = result is not SpanExportResult.SUCCESS
        if away is not self._away:
            self._away = away
            self._log.warning("traces are not delivered" if away else "traces are delivered again")
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
