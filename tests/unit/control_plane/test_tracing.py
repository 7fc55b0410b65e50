"""What the control plane's spans say."""

from headrace.ids import new_id
from headrace.messages import Job
from headrace.telemetry.context import TraceContext
from headrace.telemetry.otel import OtelTraces
from headrace_control.tracing import SentJobs
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry


async def test_a_job_is_sent_to_the_queue_of_its_pool() -> None:
    told = InMemorySpanExporter()
    traces = OtelTraces("http://unused", "control-plane", CollectorRegistry(), told)
    job, other = Job(new_id(), new_id(), new_id()), Job(new_id(), new_id(), new_id())
    sent = SentJobs(traces, "jobs.eu", [job, other], {job.run_id: str(TraceContext(7, 9))})
    for span in sent.spans:
        span.end()
    await traces.close()
    (span,) = told.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["messaging.destination.name"] == "jobs.eu"
    assert [each.traceparent is not None for each in sent.jobs] == [True, False]
