"""Opens the tracing of a process; only `main` calls it."""

import importlib
from typing import cast

from prometheus_client import CollectorRegistry

from headrace.telemetry.settings import TelemetrySettings
from headrace.telemetry.traces import Traces


def open_traces(settings: TelemetrySettings, service: str, registry: CollectorRegistry) -> Traces | None:
    """None when no endpoint is set. `registry` gets the counts of spans."""
    if settings.exporter_otlp_endpoint is None:
        return None
    # Loaded here and not above: it is some 15 MB of code, and who does not trace has none of it.
    otel = importlib.import_module("headrace.telemetry.otel")
    return cast(Traces, otel.OtelTraces(settings.exporter_otlp_endpoint, service, registry))
