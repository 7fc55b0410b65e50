"""What a reporter's traces say: that a run's events were applied, and that its log records were stored."""

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

from headrace.messages import Event, LogRecord
from headrace.telemetry.context import TraceContext
from headrace.telemetry.traces import Kind, Span, Traces, of_run


def apply_spans(traces: Traces, parents: Mapping[UUID, TraceContext], events: Sequence[Event]) -> list[Span]:
    """One for each run that is traced, under the claim that wrote its events."""
    counts = Counter((event.tenant_id, event.run_id) for event in events if event.run_id in parents)
    return [
        traces.begin(
            "apply events",
            Kind.CONSUMER,
            parents[run_id],
            {**of_run(tenant_id, run_id), "headrace.events": count},
        )
        for (tenant_id, run_id), count in counts.items()
    ]


def log_spans(traces: Traces, records: Sequence[LogRecord]) -> list[Span]:
    """One for each span that wrote records, under it."""
    counts: Counter[tuple[UUID, UUID, TraceContext]] = Counter()
    for record in records:
        if (parent := _written_in(record)) is not None:
            counts[record.tenant_id, record.run_id, parent] += 1
    return [
        traces.begin(
            "store log records",
            Kind.CONSUMER,
            parent,
            {**of_run(tenant_id, run_id), "headrace.log.records": count},
        )
        for (tenant_id, run_id, parent), count in counts.items()
    ]


def _written_in(record: LogRecord) -> TraceContext | None:
    trace, span = record.context.get("traceId"), record.context.get("spanId")
    if trace is None or span is None:
        return None
    return TraceContext.parse(f"00-{trace}-{span}-01")
