"""The runner's composition root. `--once` takes one job off the queue, sees its run through, and ends."""

import argparse
import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, TypeAlias

import structlog
from headrace.bus.open import open_bus
from headrace.bus.port import Bus, Delivery, jobs_queue
from headrace.errors import HeadraceError, Unavailable
from headrace.health import Check, HealthServer, watch_readiness
from headrace.ids import new_id
from headrace.outbound.client import OutboundClient
from headrace.outbound.policy_file import load_policy
from headrace.outbound.pools import OutboundPools, PoolLimits
from headrace.outbound.transport import trusted_transport
from headrace.process import configure_logging, opening, read_settings, run, until
from headrace.telemetry.metrics import process_registry
from headrace.telemetry.open import open_traces
from headrace.telemetry.settings import TelemetrySettings
from headrace.workflow.expressions.render import Templates
from headrace.workflow.schemas import Schemas
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from headrace_runner.claims import Claimer
from headrace_runner.clock import Clock
from headrace_runner.control_plane import ControlPlane
from headrace_runner.dry.taking import DryRuns
from headrace_runner.dry.walk import WalkServices
from headrace_runner.gate import Gate
from headrace_runner.isolation import Isolation
from headrace_runner.lease import Lease
from headrace_runner.metrics import RunnerMetrics
from headrace_runner.next_job import serve_next, within
from headrace_runner.own_tls import own_tls
from headrace_runner.pace import Pace
from headrace_runner.parts import EngineParts
from headrace_runner.refused_jobs import refused_jobs
from headrace_runner.reporting import Reporting
from headrace_runner.results import CachedResults
from headrace_runner.settings import RunnerSettings
from headrace_runner.spans import StepSpans
from headrace_runner.steps.protocol import StepServices
from headrace_runner.steps.registry import load_handlers
from headrace_runner.throttle import Throttle
from headrace_runner.worker import Worker

_log = structlog.get_logger(__name__)

Tasks: TypeAlias = "list[asyncio.Task[None]]"

# A hundred runs in hand are forty thousand objects, which go with the runs: nothing of them is in a cycle. To look
# through them time and again was a tenth of a busy runner's time.
COLLECT_AFTER = 50_000


async def serve(
    settings: RunnerSettings,
    stopping: asyncio.Event,
    only: Delivery | None = None,
    once_within: float | None = None,
) -> None:
    """Advance runs until `stopping` is set; then finish or hand back what is in hand, and leave.

    With `only`, that is the one job: nothing else is taken, and when it is done the runner leaves by itself. With
    `once_within`, so it is with the first job that comes within these seconds.
    """
    runner_id = new_id()
    structlog.contextvars.bind_contextvars(runner_id=str(runner_id))
    with opening("egress_policy_file"):
        policy = load_policy(settings.egress_policy_file)
    with opening("bus_url"):
        bus = await open_bus(
            settings.bus_url,
            partitions=settings.partitions,
            namespace=settings.bus_namespace,
            pool=settings.pool,
        )
    with opening("control_plane_ca_file"):
        tls = own_tls(settings.tls_files)
    transport = trusted_transport(tls=tls)
    with opening("control_plane_url"):
        control_plane = ControlPlane(
            settings.control_plane_url,
            settings.runner_token.get_secret_value(),
            runner_id,
            transport,
            settings.pool,
        )
    registry = process_registry()
    traces = open_traces(read_settings(TelemetrySettings), "runner", registry)
    clock = Clock()
    lease = Lease(control_plane, clock, settings.capacity)
    reporting = Reporting(bus, runner_id, settings.partitions)
    claimer = Claimer(
        control_plane, lease, settings.capacity, alone=only is not None or once_within is not None
    )
    pools = OutboundPools(policy, PoolLimits(connections=settings.connections_per_tenant))
    templates = Templates()
    throttle = Throttle(control_plane)
    pace = Pace()
    schemas = Schemas()
    dry_runs = DryRuns(control_plane, WalkServices(templates, schemas, pace))

    def heard(answer: Mapping[str, Any]) -> None:
        throttle.heard(answer["breakers"])
        if answer.get("dry_runs"):
            dry_runs.wake()

    control_plane.on_heartbeat(heard)
    parts = EngineParts(
        handlers=load_handlers(
            StepServices(OutboundClient(pools, now=clock.now), templates, schemas, throttle)
        ),
        templates=templates,
        lease=lease,
        clock=clock,
        time_slice=settings.time_slice,
        park_retries_after=settings.park_retries_after_seconds,
        draining=asyncio.Event(),
        gate=Gate(control_plane),
        results=CachedResults(control_plane),
        pace=pace,
        spans=StepSpans(traces),
        metrics=RunnerMetrics(registry),
    )
    refused = refused_jobs(control_plane, jobs_queue(settings.pool))
    worker = Worker(control_plane, claimer, lease, reporting, parts, Isolation(parts.draining), refused.note)
    tasks = [
        asyncio.create_task(work) for work in (lease.run(), claimer.run(), reporting.run(), refused.run())
    ]
    if tls is not None:
        tasks.append(asyncio.create_task(settings.tls_files.keep_renewed(tls)))
    checks = _checks(bus, lease)
    health = await _start_health(settings, checks, lease, reporting, registry)
    if settings.health_port is not None:
        tasks.append(asyncio.create_task(watch_readiness(checks, registry)))
    # A runner that ends because something in it broke does not give its lease up: that tells against its runs.
    in_order = False
    try:
        if only is not None:
            await _serve_one(settings, only, worker, stopping, tasks)
        elif not await _is_known(lease, stopping, tasks, once_within):
            _log.info("left without a lease")
        else:
            if control_plane.deployment is not None:
                with opening("bus_url"):
                    await bus.own(control_plane.deployment)
            if once_within is not None:
                await serve_next(
                    bus,
                    jobs_queue(settings.pool),
                    worker,
                    stopping,
                    tasks,
                    wait_seconds=once_within,
                    drain_seconds=settings.drain_seconds,
                )
            else:
                tasks.append(asyncio.create_task(dry_runs.run()))
                await _serve_all(settings, bus, worker, stopping, tasks)
        await reporting.drained(3.0)
        await lease.closed(3.0)
        with contextlib.suppress(HeadraceError):
            await refused.write()
        in_order = True
    finally:
        for task in tasks:
            task.cancel()
        if in_order:  # rule lease_given_up_last: nothing of it is under way any more, and all is confirmed
            with contextlib.suppress(HeadraceError):
                await control_plane.release()
        await health.close()
        await bus.close()
        await pools.aclose()
        await control_plane.close()
        if traces is not None:
            await traces.close()


async def _is_known(lease: Lease, stopping: asyncio.Event, tasks: Tasks, seconds: float | None) -> bool:
    """Wait, at most so long, until the control plane has given the lease: jobs that could not be claimed are left to
    others, and not spoilt by being returned."""
    waiting = asyncio.create_task(within(lease.given(), seconds))
    await until(stopping, waiting, *tasks)
    waiting.cancel()
    return lease.live()


async def _serve_all(
    settings: RunnerSettings, bus: Bus, worker: Worker, stopping: asyncio.Event, tasks: Tasks
) -> None:
    jobs = await bus.consume(jobs_queue(settings.pool), worker.handle, settings.capacity)
    _log.info("running", capacity=settings.capacity, pool=settings.pool)
    await until(stopping, *tasks)
    worker.drain()
    await jobs.close(settings.drain_seconds)


async def _serve_one(
    settings: RunnerSettings, only: Delivery, worker: Worker, stopping: asyncio.Event, tasks: Tasks
) -> None:
    work = asyncio.create_task(worker.handle(only))
    await until(stopping, work, *tasks)
    worker.drain()
    await asyncio.wait({work}, timeout=settings.drain_seconds)
    work.cancel()


def _checks(bus: Bus, lease: Lease) -> Mapping[str, Check]:
    """What /ready asks, by name."""

    async def lease_is_live() -> None:
        if not lease.live():
            raise Unavailable("the lease is not live")

    return {"bus": bus.ping, "control_plane": lease_is_live}


async def _start_health(
    settings: RunnerSettings,
    checks: Mapping[str, Check],
    lease: Lease,
    reporting: Reporting,
    registry: CollectorRegistry,
) -> HealthServer:
    Gauge("headrace_runs_held", "Runs that this runner holds.", registry=registry).set_function(
        lambda: lease.held
    )
    Gauge("headrace_runner_capacity", "Runs that this runner can hold.", registry=registry).set(
        settings.capacity
    )
    Gauge("headrace_log_records_dropped", "Log records given up.", registry=registry).set_function(
        lambda: reporting.logs_dropped
    )

    health = HealthServer(
        settings.health_host, settings.health_port or 0, checks, lambda: generate_latest(registry)
    )
    if settings.health_port is not None:
        await health.start()
    return health


def main() -> None:
    options = _options()
    settings = read_settings(RunnerSettings)
    if options.once:
        settings = settings.model_copy(update={"capacity": 1})
    configure_logging("runner", settings.log_level)
    run(
        lambda stopping: serve(settings, stopping, once_within=options.wait if options.once else None),
        collect_after=COLLECT_AFTER,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m headrace_runner", description=__doc__)
    parser.add_argument(
        "--once", action="store_true", help="take one job, and end when its run ended or parked"
    )
    parser.add_argument("--wait", type=float, default=10.0, help="with --once: seconds to wait for it (10)")
    return parser.parse_args()
