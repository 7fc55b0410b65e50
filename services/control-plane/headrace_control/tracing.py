"""The control plane's part of a run's trace: the request that starts it, its acceptance, its dispatches, its claims."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextvars import ContextVar
from uuid import UUID

from headrace.messages import Job
from headrace.telemetry.context import TraceContext, claim_context, within_trace
from headrace.telemetry.traces import Kind, Span, Traces, of_run
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Set once by `main`, before anything else runs. A start may be anybody's: a request's, a schedule's, a message's.
_starts_traced: ContextVar[Traces | None] = ContextVar("headrace_starts_traced", default=None)
_request: ContextVar["_Request | None"] = ContextVar("headrace_request", default=None)

_METHODS = frozenset({"GET", "POST"})
_PLACES = frozenset({"graphql", "callbacks", "webhooks", "auth", "oauth"})


def trace_starts(traces: Traces | None) -> None:
    """Whatever starts runs from here on, in this task and those that it makes, begins their traces by `traces`."""
    _starts_traced.set(traces)


class _Request:
    """A request, which is a span once it has started a run: what starts none is not worth one."""

    def __init__(self, traces: Traces, scope: Scope) -> None:
        self._traces, self._scope = traces, scope
        self._span: Span | None = None

    def context(self) -> TraceContext:
        if self._span is None:
            method, place = self._scope["method"], self._scope["path"].split("/")[1]
            # Of the path no more than its first part: behind it, an address may be a secret.
            name = f"{method if method in _METHODS else 'OTHER'} /{place if place in _PLACES else ''}"
            attributes = {"http.request.method": method[:20]}
            self._span = self._traces.begin(name, Kind.SERVER, _offered(self._scope), attributes)
        return self._span.context

    def end(self, status: int | None) -> None:
        if self._span is not None:
            known = {} if status is None else {"http.response.status_code": status}
            self._span.end(known, failed=None if status is not None and status < 500 else "NO_ANSWER")


def _offered(scope: Scope) -> TraceContext | None:
    found = [value for name, value in scope["headers"] if name == b"traceparent"]
    return TraceContext.parse(found[0].decode("latin-1")) if len(found) == 1 else None


class RequestTraces:
    """ASGI middleware: a run that a request starts belongs to the trace that the request came with, or begins one."""

    def __init__(self, app: ASGIApp, traces: Traces) -> None:
        self._app, self._traces = app, traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, status = _Request(self._traces, scope), None

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        token = _request.set(request)
        try:
            with within_trace(_offered(scope)):
                await self._app(scope, receive, noting)
        finally:
            _request.reset(token)
            request.end(status)


class AcceptedRuns:
    """The spans of runs that are being accepted; `of` is what is stored with each, in their order."""

    def __init__(self, tenant_id: UUID, run_ids: Iterable[UUID]) -> None:
        self._traces = _starts_traced.get()
        self._spans: dict[UUID, Span] = {}
        if self._traces is None:
            return
        request = _request.get()
        for run_id in run_ids:
            parent = request.context() if request else None
            attributes = of_run(tenant_id, run_id)
            self._spans[run_id] = self._traces.begin("accept run", Kind.INTERNAL, parent, attributes)

    def of(self, run_id: UUID) -> str | None:
        span = self._spans.get(run_id)
        return str(span.context) if span else None

    def begun(self, run_ids: Collection[UUID]) -> None:
        """These have been inserted; of the others nothing is told."""
        for run_id, span in self._spans.items():
            if run_id in run_ids:
                span.end()


class SentJobs:
    """The jobs of a relay's cycle for one queue, those of traced runs with the span of their sending."""

    def __init__(self, traces: Traces, queue: str, jobs: Sequence[Job], stored: Mapping[UUID, str]) -> None:
        self.jobs: list[Job] = []
        self.spans: list[Span] = []
        for job in jobs:
            parent = TraceContext.parse(stored.get(job.run_id))
            if parent is None:
                self.jobs.append(job)
                continue
            attributes = of_run(job.tenant_id, job.run_id)
            attributes["headrace.dispatch.id"] = str(job.dispatch_id)
            attributes["messaging.destination.name"] = queue
            span = traces.begin("send job", Kind.PRODUCER, parent, attributes)
            self.spans.append(span)
            self.jobs.append(Job(job.tenant_id, job.run_id, job.dispatch_id, span.context))


def trace_claim(
    traces: Traces,
    stored: TraceContext,
    sent: TraceContext | None,
    run: tuple[UUID, UUID],
    epoch: int,
    kind: str,
) -> TraceContext:
    """A claim was granted: its span, which all that its holder does stands under. It is over and told at once, so that
    it outlives its holder. It stands under the job's sending, and is linked to the claim before."""
    tenant_id, run_id = run
    parent = sent if sent is not None and sent.trace_id == stored.trace_id else stored
    earlier = [claim_context(stored, run_id, epoch - 1)] if epoch > 1 else []
    span = traces.begin(
        "claim run",
        Kind.CONSUMER,
        parent,
        {**of_run(tenant_id, run_id), "headrace.claim.epoch": epoch, "headrace.claim.outcome": kind},
        links=earlier,
        own=claim_context(stored, run_id, epoch),
    )
    span.end()
    return span.context
