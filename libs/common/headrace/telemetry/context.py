"""Where a span stands in its trace, as it crosses wires: W3C Trace Context, level 1."""

import contextlib
import hashlib
import re
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

import structlog

_SHAPE = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII | re.DOTALL)
_LONGEST = 512


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A span by its ids. `sampled`: it is recorded, and so is what follows from it."""

    trace_id: int
    span_id: int
    sampled: bool = True

    def __str__(self) -> str:
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{self.sampled:02x}"

    @property
    def trace_hex(self) -> str:
        return f"{self.trace_id:032x}"

    @property
    def span_hex(self) -> str:
        return f"{self.span_id:016x}"

    @staticmethod
    def parse(text: object) -> "TraceContext | None":
        """Of a `traceparent`; None for what is none, which W3C asks to be ignored (3.2.2.3)."""
        if not isinstance(text, str) or len(text) > _LONGEST or not (found := _SHAPE.fullmatch(text)):
            return None
        version, trace, span, flags, more = found.groups()
        if version == "ff" or (version == "00" and more is not None):
            return None
        context = TraceContext(int(trace, 16), int(span, 16), bool(int(flags, 16) & 1))
        return context if context.trace_id and context.span_id else None


def claim_context(trace: TraceContext, run_id: UUID, epoch: int) -> TraceContext:
    """The span of a run's claim. Its id is made of the run and the epoch, so that whoever claims the run next can name
    it, though its holder has died and told nothing."""
    digest = hashlib.sha256(b"claim" + run_id.bytes + epoch.to_bytes(4)).digest()
    return TraceContext(trace.trace_id, int.from_bytes(digest[:8]) or 1, trace.sampled)


# The span that the task at hand works for; a call that leaves offers it to its target.
_current: ContextVar[TraceContext | None] = ContextVar("headrace_trace", default=None)


def current_trace() -> TraceContext | None:
    return _current.get()


@contextlib.contextmanager
def within_trace(context: TraceContext | None) -> Iterator[None]:
    """Inside, `current_trace` answers with `context`, and lines of our own logs carry its trace's id."""
    if context is None:
        yield
        return
    token = _current.set(context)
    try:
        with structlog.contextvars.bound_contextvars(trace_id=context.trace_hex, span_id=context.span_hex):
            yield
    finally:
        _current.reset(token)
