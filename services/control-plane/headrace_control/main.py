"""The control plane's composition root."""

import asyncio
import contextlib
import ssl
from datetime import timedelta
from typing import Any

import asyncpg
import structlog
from headrace.bus.open import open_bus
from headrace.errors import HeadraceError
from headrace.logstore.open import open_log_store
from headrace.outbound.client import OutboundClient
from headrace.postgres.listen import Listener
from headrace.postgres.migrate import migrate
from headrace.postgres.pool import API, AUDIT, STALLED_SECONDS, WORKER, one_statement, open_pool
from headrace.postgres.schema import check_schema
from headrace.process import configure_logging, opening, read_settings, run, until
from headrace.telemetry.metrics import count_from, process_registry, watch_pools
from headrace.telemetry.open import open_traces
from headrace.telemetry.settings import TelemetrySettings

from headrace_control.app import create_app
from headrace_control.audit.pruning import Pruning
from headrace_control.audit.sealer import Sealer
from headrace_control.compose import compose
from headrace_control.dispatch.pool_relay import PoolRelay
from headrace_control.dispatch.relay import Relay
from headrace_control.dispatch.sweeper import Sweeper
from headrace_control.dry_runs.taking import DryRunHandover
from headrace_control.graphql.persisted import read_documents
from headrace_control.graphql.schema import create_schema
from headrace_control.graphql.view import MAX_BODY
from headrace_control.hooks.sending import HookSending
from headrace_control.internal_api.app import create_internal_app
from headrace_control.internal_api.barrier import Barrier
from headrace_control.internal_api.calls import Calls
from headrace_control.internal_api.claims import Claims
from headrace_control.internal_api.handover import Handover
from headrace_control.internal_api.leases import Leases
from headrace_control.internal_api.metrics import ClaimMetrics
from headrace_control.internal_api.results import CachedResults
from headrace_control.internal_api.sessions import RunnerSessions
from headrace_control.operator_app import create_operator_app
from headrace_control.quotas.counting import count_stored
from headrace_control.replays.loop import ReplayLoop
from headrace_control.scaling.gauges import ScalingGauges
from headrace_control.scaling.signals import Signals
from headrace_control.schedules.loop import ScheduleLoop
from headrace_control.settings import AwsSettings, ControlPlaneSettings
from headrace_control.tenant_deletion.ending import Endings
from headrace_control.throttle.service import OpenBreakers, Throttles
from headrace_control.tracing import trace_starts
from headrace_control.upkeep import keep_up
from headrace_control.vault.vault import Vault
from headrace_control.web.server import http_server

_log = structlog.get_logger(__name__)

# A token is refreshed, and a key unwrapped, under a lock: the API's transactions may wait for others' servers.
API_STALLED_SECONDS = 90


async def serve(settings: ControlPlaneSettings, stopping: asyncio.Event) -> None:
    """Serve and dispatch until `stopping` is set."""
    aws = read_settings(AwsSettings) if settings.kms_key_id else None
    with opening("persisted_queries_file"):
        schema = create_schema(
            introspection=settings.introspection, operation_seconds=settings.operation_seconds
        )
        documents = read_documents(settings.persisted_queries_file, schema.core)
    with opening("log_store_url"):
        store = await open_log_store(settings.log_store_url, retention=settings.log_retention)
    with opening("database_url"):
        applied = await migrate(settings.database_url, "headrace_control.migrations")
        if applied:
            _log.info("migrated", migrations=applied)
        api_pool = await open_pool(
            settings.database_url, API, max_size=settings.pool_size, stalled=API_STALLED_SECONDS
        )
        worker_pool = await open_pool(
            settings.database_url, WORKER, max_size=settings.pool_size, stalled=STALLED_SECONDS
        )
        async with one_statement(worker_pool) as db:
            await check_schema(db)
        audit_pool = await open_pool(settings.database_url, AUDIT, max_size=2, stalled=STALLED_SECONDS)
    with opening("bus_url"):
        bus = await open_bus(
            settings.bus_url, partitions=settings.partitions, namespace=settings.bus_namespace
        )
    listener = Listener(settings.database_url)
    registry = process_registry()
    traces = open_traces(read_settings(TelemetrySettings), "control-plane", registry)
    trace_starts(traces)
    signals = Signals(worker_pool, bus, settings.partitions)
    composed = compose(settings, api_pool, worker_pool, listener, store, signals, aws)
    sweeper = Sweeper(worker_pool, timedelta(seconds=settings.unclaimed_after_seconds))
    relay = Relay(worker_pool, bus, listener, settings.relay_window, traces)
    pool_relay = PoolRelay(worker_pool, bus, listener, settings.relay_window, relay)
    schedules = ScheduleLoop(worker_pool, api_pool, composed.output_keys, listener)
    outbound, vault = OutboundClient(composed.outbound), Vault(composed.keys.provider)
    hooks = HookSending(worker_pool, api_pool, vault, outbound, listener)
    handover = Handover(worker_pool, composed.credentials, composed.services.callbacks)
    claims = Claims(
        worker_pool,
        handover,
        Barrier(listener),
        settings.lease,
        composed.refusals.note,
        traces,
        ClaimMetrics(registry),
    )
    watch_pools(registry, {"api": api_pool, "worker": worker_pool, "audit": audit_pool})
    count_from(registry, "headrace_refusals", "What was refused.", "code", lambda: composed.refusals.counts)
    count_from(
        registry,
        "headrace_token_refreshes",
        "Answers of token endpoints.",
        "outcome",
        lambda: composed.refreshes.counts,
    )
    leases = Leases(worker_pool, composed.credentials, settings.lease, sweeper.hurry)

    async def postgres_answers() -> None:
        await api_pool.fetchval("SELECT 1")

    checks = {"postgres": postgres_answers, "bus": bus.ping, "log_store": store.ping}
    policy = settings.http_policy(documents)
    public = create_app(composed.services, composed.authenticator, checks, policy, traces)
    sessions = RunnerSessions(
        worker_pool,
        settings.runner_token.get_secret_value(),
        timedelta(seconds=settings.runner_session_seconds),
        composed.refusals.note,
        {pool: token.get_secret_value() for pool, token in (settings.pool_tokens or {}).items()},
    )
    calls = Calls(worker_pool, composed.approvals)
    dry_runs = DryRunHandover(worker_pool, api_pool, composed.output_keys)
    results = CachedResults(worker_pool, api_pool, composed.output_keys)
    internal = create_internal_app(
        claims, leases, Throttles(worker_pool), sessions, calls, composed.refusals, dry_runs, results
    )
    pruning = [Pruning(audit_pool, kept).run()] if (kept := settings.audit_retention) else []
    servers = [
        http_server(
            public,
            settings.listen_host,
            settings.listen_port,
            max_message=MAX_BODY,
            grace=settings.drain_seconds,
        ),
        http_server(
            internal,
            settings.internal_host,
            settings.internal_port,
            max_message=MAX_BODY,
            grace=settings.drain_seconds,
            **_internal_tls(settings),
        ),
    ]
    gauges = []
    if settings.operator_port is not None:
        gauges = [ScalingGauges(signals, registry).run()]
        operators = create_operator_app(signals, registry)
        servers.append(
            http_server(
                operators,
                settings.operator_host,
                settings.operator_port,
                max_message=MAX_BODY,
                grace=settings.drain_seconds,
            )
        )
    await listener.start()
    workers = [
        asyncio.create_task(work)
        for work in (
            relay.run(),
            pool_relay.run(),
            sweeper.run(),
            schedules.run(),
            hooks.run(),
            hooks.look(),
            *gauges,
            OpenBreakers(worker_pool, registry).run(),
            Sealer(audit_pool, registry).run(),
            composed.refused_logins.tally.run(),
            composed.refusals.run(),
            composed.services.webhook_intake.refused_messages.run(),
            keep_up(worker_pool, store, settings.kept),
            Endings(worker_pool, api_pool, store).run(),
            ReplayLoop(worker_pool, composed.services.replays).run(),
            *pruning,
            count_stored(worker_pool),
            *(server.serve() for server in servers),
        )
    ]
    try:
        await until(stopping, *workers)
    finally:
        for server in servers:
            server.should_exit = True
        await asyncio.wait(workers[-len(servers) :], timeout=settings.drain_seconds + 2)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        refused_messages = composed.services.webhook_intake.refused_messages
        for told in (composed.refusals, composed.refused_logins.tally, refused_messages):
            with contextlib.suppress(HeadraceError, asyncpg.PostgresError):
                await told.write()
        await composed.close()
        await listener.close()
        await bus.close()
        await store.close()
        await api_pool.close()
        await worker_pool.close()
        await audit_pool.close()
        if traces is not None:
            await traces.close()


def _internal_tls(settings: ControlPlaneSettings) -> dict[str, Any]:
    """uvicorn's options; none without a certificate."""
    if settings.internal_tls_certificate_file is None:
        return {}
    authority = settings.internal_tls_client_ca_file
    return {
        "ssl_certfile": str(settings.internal_tls_certificate_file),
        "ssl_keyfile": str(settings.internal_tls_key_file),
        "ssl_ca_certs": str(authority) if authority else None,
        "ssl_cert_reqs": ssl.CERT_REQUIRED if authority else ssl.CERT_NONE,
    }


def main() -> None:
    settings = read_settings(ControlPlaneSettings)
    configure_logging("control-plane", settings.log_level)
    run(lambda stopping: serve(settings, stopping))
