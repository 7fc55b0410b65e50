"""A collector of traces: takes OTLP over HTTP and keeps the spans, as an operator's would."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True)
class Span:
    """Ids in hexadecimal; `parent` is "" for a root. `links` are the ids of spans of the same trace."""

    service: str
    name: str
    kind: int
    trace: str
    id: str
    parent: str
    links: Sequence[str]
    attributes: Mapping[str, Any]
    failed: bool


@dataclass
class Collector:
    """`spans` in order of arrival, `raw` what was sent. `status` is what it answers from now on."""

    spans: list[Span] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    status: int = 200
    url: str = ""
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/traces", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner:
            await self._runner.cleanup()

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    async def until(self, wanted: Callable[[], bool], seconds: float = 30) -> None:
        """Wait until what has arrived is what is wanted."""
        try:
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(wanted)
        except TimeoutError:
            raise AssertionError([(s.service, s.name, s.attributes) for s in self.spans]) from None

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.status == 200:
            self.raw.append(body)
            self.spans += _spans(ExportTraceServiceRequest.FromString(body))
            async with self._news:
                self._news.notify_all()
        return web.Response(
            status=self.status,
            body=ExportTraceServiceResponse().SerializeToString(),
            content_type="application/x-protobuf",
        )


def _spans(request: ExportTraceServiceRequest) -> list[Span]:
    return [
        Span(
            _attributes(of_service.resource.attributes)["service.name"],
            span.name,
            span.kind,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            [link.span_id.hex() for link in span.links],
            _attributes(span.attributes),
            span.status.code == span.status.STATUS_CODE_ERROR,
        )
        for of_service in request.resource_spans
        for of_scope in of_service.scope_spans
        for span in of_scope.spans
    ]


def _attributes(found: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in found}
