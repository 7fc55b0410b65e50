"""What a control plane's process holds open from its start to its end."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import structlog
from headrace.bus.open import open_bus
from headrace.bus.port import Bus
from headrace.logstore.open import open_log_store
from headrace.logstore.port import LogStore
from headrace.postgres.deployment import deployment_of
from headrace.postgres.listen import Listener
from headrace.postgres.migrate import migrate
from headrace.postgres.pool import API, AUDIT, STALLED_SECONDS, WORKER, Pool, one_statement, open_pool
from headrace.postgres.schema import check_schema
from headrace.process import opening, read_settings
from headrace.telemetry.metrics import process_registry, watch_pools
from headrace.telemetry.open import open_traces
from headrace.telemetry.settings import TelemetrySettings
from headrace.telemetry.traces import Traces
from prometheus_client import CollectorRegistry

from headrace_control.settings import ControlPlaneSettings

_log = structlog.get_logger(__name__)

# A token is refreshed, and a key unwrapped, under a lock: the API's transactions may wait for others' servers.
API_STALLED_SECONDS = 90


@dataclass(frozen=True, slots=True)
class Resources:
    """`listener` is not started: who asks it for channels does so first. `deployment` is this one's id."""

    deployment: UUID
    store: LogStore
    api_pool: Pool
    worker_pool: Pool
    audit_pool: Pool
    bus: Bus
    listener: Listener
    registry: CollectorRegistry
    traces: Traces | None

    @property
    def pools(self) -> Sequence[Pool]:
        return self.api_pool, self.worker_pool, self.audit_pool


@asynccontextmanager
async def open_resources(settings: ControlPlaneSettings) -> AsyncIterator[Resources]:
    """Opened one after another, the schema brought up to date before its pools; closed the other way round.

    Raises `CanNotStart` with the setting whose server can not be used.
    """
    url = settings.database_url
    registry = process_registry()
    async with AsyncExitStack() as stack:
        traces = open_traces(read_settings(TelemetrySettings), "control-plane", registry)
        if traces is not None:
            stack.push_async_callback(traces.close)
        with opening("log_store_url"):
            store = await open_log_store(settings.log_store_url, retention=settings.log_retention)
            stack.push_async_callback(store.close)
        with opening("database_url"):
            applied = await migrate(url, "headrace_control.migrations")
            if applied:
                _log.info("migrated", migrations=applied)
            size = settings.pool_size
            api = await stack.enter_async_context(
                await open_pool(url, API, max_size=size, stalled=API_STALLED_SECONDS)
            )
            worker = await stack.enter_async_context(
                await open_pool(url, WORKER, max_size=size, stalled=STALLED_SECONDS)
            )
            async with one_statement(worker) as db:
                await check_schema(db)
            deployment = await deployment_of(worker)
            audit = await stack.enter_async_context(
                await open_pool(url, AUDIT, max_size=2, stalled=STALLED_SECONDS)
            )
        watch_pools(registry, {"api": api, "worker": worker, "audit": audit})
        with opening("bus_url"):
            bus = await open_bus(
                settings.bus_url,
                partitions=settings.partitions,
                namespace=settings.bus_namespace,
                deployment=deployment,
            )
            stack.push_async_callback(bus.close)
        listener = Listener(url)
        stack.push_async_callback(listener.close)
        yield Resources(deployment, store, api, worker, audit, bus, listener, registry, traces)
