"""What FastAPI itself tells of requests: nothing."""

from typing import Final

from fastapi.telemetry import TelemetryConfig

# Its spans and logs hold the addresses of requests, some of which are secrets, and the words of errors.
NO_TELEMETRY: Final[TelemetryConfig] = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
