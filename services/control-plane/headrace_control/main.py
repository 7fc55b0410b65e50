"""The control plane's composition root."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import asyncpg
import uvicorn
from headrace.errors import HeadraceError
from headrace.health import Check, watch_readiness
from headrace.postgres.pool import PARTING_SECONDS, Pool, give_up_after
from headrace.process import configure_logging, opening, read_settings, run, until
from headrace.telemetry.metrics import count_from

from headrace_control.app import create_app
from headrace_control.background import Work, background
from headrace_control.compose import compose
from headrace_control.dispatch.sweeper import Sweeper
from headrace_control.graphql.persisted import read_documents
from headrace_control.graphql.schema import create_schema
from headrace_control.internal_api.compose import compose_internal
from headrace_control.operator_app import create_operator_app
from headrace_control.resources import Resources, open_resources
from headrace_control.scaling.signals import Signals
from headrace_control.servers import http_servers
from headrace_control.settings import AwsSettings, ControlPlaneSettings
from headrace_control.tracing import trace_starts
from headrace_control.web.open_connections import (
    OpenConnections,
    most_connections,
    most_of_runners,
    sockets_within,
)


async def serve(settings: ControlPlaneSettings, stopping: asyncio.Event) -> None:
    """Serve and dispatch until `stopping` is set."""
    aws = read_settings(AwsSettings) if settings.kms_key_id else None
    with opening("persisted_queries_file"):
        schema = create_schema(
            introspection=settings.introspection, operation_seconds=settings.operation_seconds
        )
        policy = settings.http_policy(read_documents(settings.persisted_queries_file, schema.core))
    most = most_connections(policy.sockets, policy.operations)
    sockets = sockets_within(most, policy.sockets)
    policy = replace(policy, sockets=sockets, operations=min(policy.operations, most - sockets))
    async with open_resources(settings) as held:
        trace_starts(held.traces)
        signals = Signals(held.worker_pool, held.bus, settings.partitions)
        composed = compose(settings, held.api_pool, held.worker_pool, held.listener, held.store, signals, aws)
        refusals, refreshes = composed.refusals, composed.refreshes
        count_from(held.registry, "headrace_refusals", "What was refused.", "code", lambda: refusals.counts)
        count_from(
            held.registry,
            "headrace_token_refreshes",
            "Answers of token endpoints.",
            "outcome",
            lambda: refreshes.counts,
        )
        checks = _checks(held)
        sweeper = Sweeper(held.worker_pool, timedelta(seconds=settings.unclaimed_after_seconds))
        public = create_app(composed.services, composed.authenticator, checks, policy, held.traces)
        internal = compose_internal(settings, held, composed, sweeper.hurry)
        operators = (
            create_operator_app(signals, held.registry) if settings.operator_port is not None else None
        )
        with opening("internal_tls_certificate_file"):
            bounds = OpenConnections(most), OpenConnections(most_of_runners())
            servers = http_servers(settings, public, internal, operators, *bounds)
        work = [*background(settings, held, composed, signals, sweeper), *servers.upkeep]
        if operators is not None:
            work.append(watch_readiness(checks, held.registry))
        await held.listener.start()
        try:
            await _work_until(stopping, work, servers.all, settings.drain_seconds, held.pools)
        finally:
            for tally in composed.tallies:
                with contextlib.suppress(HeadraceError, asyncpg.PostgresError):
                    await tally.write()
            await composed.close()


def _checks(held: Resources) -> dict[str, Check]:
    """What /ready asks, by name."""

    async def postgres_answers() -> None:
        await held.api_pool.fetchval("SELECT 1")

    return {"postgres": postgres_answers, "bus": held.bus.ping, "log_store": held.store.ping}


async def _work_until(
    stopping: asyncio.Event,
    work: Sequence[Work],
    servers: Sequence[uvicorn.Server],
    drain_seconds: float,
    pools: Sequence[Pool],
) -> None:
    """Until `stopping` is set, or one of them fails; requests under way are answered before the work behind them
    ends."""
    workers = [asyncio.create_task(each) for each in work]
    serving = [asyncio.create_task(server.serve()) for server in servers]
    try:
        await until(stopping, *workers, *serving)
    finally:
        give_up_after(drain_seconds + PARTING_SECONDS, *pools)
        for server in servers:
            server.should_exit = True
        await asyncio.wait(serving, timeout=drain_seconds + 2)
        for task in (*workers, *serving):
            task.cancel()
        await asyncio.gather(*workers, *serving, return_exceptions=True)


def main() -> None:
    settings = read_settings(ControlPlaneSettings)
    configure_logging("control-plane", settings.log_level)
    run(lambda stopping: serve(settings, stopping))
