"""The log records of one run, redacted before they leave the runner."""

from collections.abc import Callable
from typing import Any, Protocol
from uuid import UUID

from headrace.ids import new_id
from headrace.messages import LogLevel, LogRecord
from headrace.redaction import Redactor, truncate
from headrace.telemetry.context import current_trace

from headrace_runner.clock import Clock

# The last record of a run that has used its tenant's quota up.
CUT_OFF = "the tenant's quota of log records is used up: no more are written of this run for now"

MESSAGE_LIMIT = 8_192
CONTEXT_LIMIT = 4_096


class LogSink(Protocol):
    """Where log records go; no run waits for them."""

    def log(self, record: LogRecord) -> None: ...


class RunLog:
    def __init__(
        self,
        reporting: LogSink,
        clock: Clock,
        tenant_id: UUID,
        run_id: UUID,
        words: Callable[[], Redactor],
        most: int | None = None,
    ) -> None:
        """`words` gives what texts are searched with. `most` records are written, and one that says so; None: as many
        as there are."""
        self._left = most
        self._reporting, self._clock = reporting, clock
        self._tenant_id, self._run_id, self._words = tenant_id, run_id, words

    def write(
        self,
        level: LogLevel,
        message: str,
        step: str | None = None,
        attempt: int | None = None,
        **context: Any,
    ) -> None:
        """Write one record; long values are truncated, with their true length noted."""
        if self._left is not None:
            if self._left < 0:
                return
            self._left -= 1
            if self._left < 0:
                level, message, step, attempt, context = LogLevel.WARN, CUT_OFF, None, None, {}
        redactor = self._words()
        at = self._clock.now()
        text = truncate(redactor.text(message), MESSAGE_LIMIT)
        small = {name: truncate(redactor.anything(value), CONTEXT_LIMIT) for name, value in context.items()}
        if (trace := current_trace()) is not None and trace.sampled:
            small |= {"traceId": trace.trace_hex, "spanId": trace.span_hex}
        self._reporting.log(
            LogRecord(new_id(at), self._tenant_id, self._run_id, at, level, str(text), step, attempt, small)
        )
