"""The port of tracing. Who does not trace has None in its place, and pays nothing."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Protocol, TypeAlias
from uuid import UUID

from headrace.telemetry.context import TraceContext

# Ids, names, statuses, codes and counts; never an input, an output, an address or an error's words.
Attributes: TypeAlias = Mapping[str, str | int]


class Kind(Enum):
    """Of OpenTelemetry: what a span is to those beside it."""

    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


class Span(Protocol):
    """Something that goes on. Only what has ended is exported: what its process takes down with it is lost."""

    @property
    def context(self) -> TraceContext: ...

    def end(self, attributes: Attributes | None = None, failed: str | None = None) -> None:
        """`failed` is a code."""


class Traces(Protocol):
    def begin(
        self,
        name: str,
        kind: Kind,
        parent: TraceContext | None,
        attributes: Attributes,
        *,
        links: Sequence[TraceContext] = (),
        own: TraceContext | None = None,
    ) -> Span:
        """A span under `parent`; without one it begins a trace, and the sampler decides whether that is recorded.
        `own` gives the span its id, which is made up otherwise. Never raises and never waits."""

    async def close(self) -> None:
        """Hand over what has ended, within a few seconds."""


def of_run(tenant_id: UUID, run_id: UUID) -> dict[str, str | int]:
    """The two that every span of a run has."""
    return {"headrace.tenant.id": str(tenant_id), "headrace.run.id": str(run_id)}


@contextlib.contextmanager
def ended(spans: Sequence[Span]) -> Iterator[None]:
    """Ends the spans with what is done inside; an exception fails them all, by its type."""
    try:
        yield
    except BaseException as error:
        for span in spans:
            span.end(failed=type(error).__name__)
        raise
    for span in spans:
        span.end()
