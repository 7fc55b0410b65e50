"""The reporter's composition root."""

import asyncio
import contextlib

import asyncpg
import structlog
from headrace.bus.open import open_bus
from headrace.bus.port import LOGS
from headrace.errors import HeadraceError
from headrace.health import HealthServer, watch_readiness
from headrace.ids import new_id
from headrace.logstore.open import open_log_store
from headrace.postgres.deployment import deployment_of
from headrace.postgres.pool import (
    PARTING_SECONDS,
    STALLED_SECONDS,
    WORKER,
    Pool,
    give_up_after,
    one_statement,
    open_pool,
)
from headrace.postgres.schema import check_schema
from headrace.process import configure_logging, opening, read_settings, run, until
from headrace.refusals.audit import Refusals
from headrace.telemetry.metrics import count_from, process_registry, watch_pools
from headrace.telemetry.open import open_traces
from headrace.telemetry.settings import TelemetrySettings
from prometheus_client import generate_latest

from headrace_reporter.apply import Applier
from headrace_reporter.consumer import EventConsumer, LogConsumer
from headrace_reporter.grouping import GroupedApplier
from headrace_reporter.log_grouping import GroupedAppends
from headrace_reporter.metrics import ReporterMetrics
from headrace_reporter.partitions import Partitions
from headrace_reporter.settings import ReporterSettings

_log = structlog.get_logger(__name__)


async def open_own_pool(database_url: str, max_size: int = 8) -> Pool:
    """Of sessions that plan as the reporter's statements want it, which look rows up by their keys.

    Planning them anew, whatever the parameters, is a third of the cost; and a plan that was made while a table was
    empty must not read it whole, nor an index, when it is full.
    """
    return await open_pool(
        database_url,
        WORKER,
        max_size=max_size,
        stalled=STALLED_SECONDS,
        plan_cache_mode="force_generic_plan",
        enable_seqscan="off",
        enable_mergejoin="off",
    )


async def serve(settings: ReporterSettings, stopping: asyncio.Event) -> None:
    """Report until `stopping` is set, then finish what is in hand and give up the partitions."""
    with opening("log_store_url"):
        store = await open_log_store(settings.log_store_url, retention=settings.log_retention)
    with opening("database_url"):
        pool = await open_own_pool(settings.database_url)
        async with one_statement(pool) as db:
            await check_schema(db)
        deployment = await deployment_of(pool)
    with opening("bus_url"):
        bus = await open_bus(
            settings.bus_url,
            partitions=settings.partitions,
            namespace=settings.bus_namespace,
            deployment=deployment,
        )
    registry = process_registry()
    traces = open_traces(read_settings(TelemetrySettings), "reporter", registry)
    refusals = Refusals(pool)
    metrics = ReporterMetrics(registry)
    watch_pools(registry, {"worker": pool})
    count_from(registry, "headrace_refusals", "What was refused.", "code", lambda: refusals.counts)
    applier = GroupedApplier(Applier(pool, refusals.note, metrics))
    events = EventConsumer(pool, applier, refusals.note, traces, metrics)
    partitions = Partitions(pool, bus, events.handle, new_id(), settings.partitions, metrics)
    appends = GroupedAppends(store, settings.log_consumers)
    log_records = LogConsumer(appends, refusals.note, traces, metrics)
    logs = await bus.consume(LOGS, log_records.handle, settings.log_consumers)

    async def postgres_answers() -> None:
        await pool.fetchval("SELECT 1")

    checks = {"postgres": postgres_answers, "bus": bus.ping, "log_store": store.ping}
    health = HealthServer(
        settings.health_host, settings.health_port or 0, checks, lambda: generate_latest(registry)
    )
    if settings.health_port is not None:
        await health.start()
    applying, appending = asyncio.create_task(applier.run()), asyncio.create_task(appends.run())
    workers = [asyncio.create_task(work) for work in (partitions.run(), refusals.run())]
    if settings.health_port is not None:
        workers.append(asyncio.create_task(watch_readiness(checks, registry)))
    _log.info("reporting")
    try:
        await until(stopping, applying, appending, *workers)
    finally:
        give_up_after(settings.drain_seconds + PARTING_SECONDS, pool)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(partitions.close(settings.drain_seconds), logs.close(settings.drain_seconds))
        applying.cancel()
        appending.cancel()
        with contextlib.suppress(HeadraceError, asyncpg.PostgresError):
            await refusals.write()
        await health.close()
        await bus.close()
        await store.close()
        await pool.close()
        if traces is not None:
            await traces.close()


def main() -> None:
    settings = read_settings(ReporterSettings)
    configure_logging("reporter", settings.log_level)
    run(lambda stopping: serve(settings, stopping))
