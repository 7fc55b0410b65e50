"""Looks at everything that a control plane's settings lead to. It changes nothing there, but that the bus's queues are
made where they are missing, and marked as this deployment's where nobody has, as every service does."""

import contextlib
from collections.abc import AsyncIterator
from uuid import UUID

from headrace.bus.open import open_bus
from headrace.errors import HeadraceError, Unavailable
from headrace.logstore.open import open_log_store
from headrace.postgres.deployment import deployment_of
from headrace.postgres.pool import API, AUDIT, WORKER, Pool, open_pool
from headrace.process import CanNotStart, read_settings
from headrace_control.settings import AwsSettings, ControlPlaneSettings
from headrace_control.vault.open import OpenKeys

from headrace_cli.diagnosis.bus import examine_bus, examine_log_store
from headrace_cli.diagnosis.database import Pools, examine_database, named_pools
from headrace_cli.diagnosis.finding import Finding, Verdict, wrong
from headrace_cli.diagnosis.tenants import examine_tenants


async def examine() -> list[Finding]:
    """By the settings of a control plane, from the environment. Where one thing is away the rest is looked at all the
    same. Ends the process, as a service does, when a setting is missing or wrong."""
    settings = read_settings(ControlPlaneSettings)
    return [finding async for finding in _findings(settings)]


async def _findings(settings: ControlPlaneSettings) -> AsyncIterator[Finding]:
    runner_pools: list[str] = []
    deployment: UUID | None = None
    async with contextlib.AsyncExitStack() as stack:
        try:
            pools = Pools(
                *[await _pool(stack, settings.database_url, role) for role in (None, WORKER, API, AUDIT)]
            )
        except Unavailable as error:
            yield wrong("Postgres", error.message, "see whether it runs, and HEADRACE_DATABASE_URL")
        else:
            database = await examine_database(pools, settings.partitions)
            for finding in database:
                yield finding
            if database[0].verdict is not Verdict.WRONG:  # the schema comes first
                async for finding in _keys(settings, pools):
                    yield finding
                runner_pools = await named_pools(pools)
                deployment = await deployment_of(pools.worker)
    try:
        bus = await open_bus(
            settings.bus_url, partitions=settings.partitions, namespace=settings.bus_namespace
        )
    except Unavailable as error:
        yield wrong("bus", error.message, "see whether the broker runs, and HEADRACE_BUS_URL")
    else:
        async for finding in examine_bus(bus, settings.partitions, runner_pools, deployment):
            yield finding
        await bus.close()
    try:
        store = await open_log_store(settings.log_store_url, retention=settings.log_retention)
    except HeadraceError as error:
        yield wrong("log store", error.message, "see HEADRACE_LOG_STORE_URL")
        return
    yield await examine_log_store(store)
    await store.close()


async def _keys(settings: ControlPlaneSettings, pools: Pools) -> AsyncIterator[Finding]:
    try:
        keys = OpenKeys(settings, read_settings(AwsSettings) if settings.kms_key_id else None)
    except CanNotStart as error:
        yield wrong("keys", "; ".join(error.lines), "docs/guides/keys.md")
        return
    try:
        for finding in await examine_tenants(pools.worker, pools.api, keys.provider):
            yield finding
    finally:
        await keys.aclose()


async def _pool(stack: contextlib.AsyncExitStack, dsn: str, role: str | None) -> Pool:
    pool = await open_pool(dsn, role, max_size=1)
    stack.push_async_callback(pool.close)
    return pool
