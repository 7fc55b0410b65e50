"""One scenario's stage: a deployment, a driver, and what is measured on it."""

import asyncio
import contextlib
import platform
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import asyncpg
import psutil
from headrace.postgres.listen import RUNS_CHANNEL

from headrace_cli.bench.deployment import Deployment, Layout, deployed
from headrace_cli.bench.driver import BULK, Driver, Tenant, connections
from headrace_cli.bench.meter import DRIVER, TARGET, Meter, Usage
from headrace_cli.bench.percentiles import percentile
from headrace_cli.bench.report import Check, Latency, Machine, Phase
from headrace_cli.bench.servers import Servers, depths
from headrace_cli.bench.truth import Truth
from headrace_cli.bench.watch import Watch
from headrace_cli.bench.work import Work
from headrace_cli.dev.supervisor import Announce

# Groups that are not Headrace's, nor what it stands on: their CPU is no part of a run's total.
OUTSIDE = frozenset({TARGET, DRIVER})
SERVICES = frozenset({"control-plane", "runner", "reporter"})
WARM_RUNS = 50
QUOTAS = {"runsInFlight": 100_000}
_WRITTEN = (
    """SELECT pg_database_size(current_database())::float8, (pg_current_wal_insert_lsn() - '0/0')::float8"""
)


@dataclass(slots=True)
class Measured:
    """A phase while it goes on: say in `count` how much was done."""

    count: int = 0
    unit: str = "run"
    latency: Latency | None = None
    figures: dict[str, float] = field(default_factory=dict)
    series: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class Scene:
    """What a scenario plays on. `phases`, `references` and `checks` collect what comes of it."""

    servers: Servers
    deployment: Deployment
    platform: Driver
    db: asyncpg.Connection
    meter: Meter
    watch: Watch
    truth: Truth
    tell: Callable[[str], None]
    phases: list[Phase] = field(default_factory=list)
    references: list[Phase] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    async def tenant(self, name: str) -> Tenant:
        """A tenant whose quotas are no hindrance."""
        return await self.platform.tenant(name, QUOTAS)

    async def prepared(self, tenant: Tenant, work: Work, warm: int = WARM_RUNS) -> None:
        """Publish `work`, and run it a few times, which also tells what a run of it writes to the log."""
        await tenant.driver.publish(work, self.deployment.target)
        if warm:
            before = await self.truth.stored()  # what other work wrote may still be on its way
            await self.run_all([tenant], work, warm)
            self.checks.append(await self.truth.learn_records(work, warm, before))

    async def run_all(
        self, tenants: Sequence[Tenant], work: Work, runs: int, at_once: int = BULK
    ) -> datetime:
        """`start_all`, and wait for the runs' ends."""
        since = await self.start_all(tenants, work, runs, at_once)
        await self.watch.all_ended(ids(tenants), since)
        return since

    async def records_alike(self, work: Work, runs: int) -> None:
        """For work that was not warmed up, and is all that ran: each of its runs wrote as much to the log."""
        self.checks.append(await self.truth.learn_records(work, runs, 0))

    async def start_all(
        self, tenants: Sequence[Tenant], work: Work, runs: int, at_once: int = BULK
    ) -> datetime:
        """Start so many runs, alike for each tenant, and `at_once` by one request; when the first one began."""
        since = await self.now()
        share, more = divmod(runs, len(tenants))
        for number, tenant in enumerate(tenants):
            own = share + (number < more)
            if own:
                await tenant.driver.start_many(work.name, [work.given] * own, at_once)
                self.truth.ran(work, own)
        return since

    async def burst(
        self, tenants: Sequence[Tenant], work: Work, runs: int, name: str = "burst", at_once: int = BULK
    ) -> None:
        """A phase of so many runs, started in bulk: from the first start to the last end. `firstClaimMs` is how long
        the first tenant's luckiest run waited for its runner; `databaseKb` and `walKb` are what each run left in
        Postgres and wrote to its log."""
        ((size, wal),) = await self.db.fetch(_WRITTEN)
        async with self.measured(name) as phase:
            since = await self.run_all(tenants, work, runs, at_once)
            phase.count = runs
        ((grown, written),) = await self.db.fetch(_WRITTEN)
        self._amend(latency=await self.watch.latency(ids(tenants), since))
        delays = await self.watch.delays(UUID(tenants[0].id), since)
        self.figure("firstClaimMs", min(delays, default=0.0) * 1000)
        self.figure("databaseKb", max(grown - size, 0) / runs / 1000)
        self.figure("walKb", (written - wal) / runs / 1000)

    async def one_at_a_time(self, tenant: Tenant, work: Work, runs: int, name: str = "one at a time") -> None:
        """A phase of so many runs, each from the call of GraphQL to its end, seen in Postgres, before the next."""
        clock = asyncio.get_running_loop().time
        took = []
        async with self.watch.told(RUNS_CHANNEL), self.measured(name) as phase:
            for _ in range(runs):
                began = clock()
                await self.watch.ended(await tenant.driver.start(work.name, work.given))
                took.append(clock() - began)
            phase.count, phase.latency = runs, latency_of(took)
        self.truth.ran(work, runs)

    @contextlib.asynccontextmanager
    async def measured(self, name: str, reference: Meter | None = None) -> AsyncIterator[Measured]:
        """A phase: what is done inside, by the clock and by what it used. One of a reference is measured by that
        meter."""
        self.tell(f"  {name} ...")
        clock = asyncio.get_running_loop().time
        phase = Measured()
        async with (reference or self.meter).watching() as usage:
            began = clock()
            yield phase
            seconds = clock() - began
        (self.references if reference else self.phases).append(_phase(name, phase, seconds, usage))

    async def idle(self, seconds: int, name: str = "idle") -> None:
        """A phase in which nothing is asked of the services; CPU is per second, so 10 ms are 1% of a core."""
        async with self.measured(name) as phase:
            await asyncio.sleep(seconds)
            phase.count, phase.unit = seconds, "second"
        idle = self.phases[-1]
        cpu = {name: used for name, used in idle.cpu_ms.items() if name in SERVICES}
        memory = {name: used for name, used in by_kind(idle.peak_memory_mb).items() if name in SERVICES}
        self.figure("servicesPercentOfACore", sum(cpu.values()) / 10)
        self.figure("servicesMb", sum(memory.values()))

    async def now(self) -> datetime:
        """The time by which runs' ids are made."""
        await asyncio.sleep(0.002)  # ids of the same millisecond are in no order
        return datetime.now(UTC)

    async def settled(self) -> list[Check]:
        """All independent counts, and whether every service is still the process that was started."""
        ended = Check(name="services that ended", expected=0, found=len(self.deployment.ended()))
        return [*self.checks, *await self.truth.checks(), ended]

    def figure(self, name: str, value: float) -> None:
        """One more figure of the last phase."""
        figures = {**self.phases[-1].figures, name: round(value, 3)}
        self._amend(figures=figures)

    def latency(self, latency: Latency) -> None:
        """That of the last phase, where it is known only afterwards."""
        self._amend(latency=latency)

    def _amend(self, **changes: object) -> None:
        self.phases[-1] = self.phases[-1].model_copy(update=changes)


@contextlib.asynccontextmanager
async def scene(
    servers: Servers,
    layout: Layout,
    folder: Path,
    seconds: float,
    announce: Announce,
    tell: Callable[[str], None],
) -> AsyncIterator[Scene]:
    """A stage; nothing of it is left afterwards. `seconds` bounds each wait for runs to end."""
    async with contextlib.AsyncExitStack() as stack:
        deployment = await stack.enter_async_context(deployed(servers, layout, folder, announce))
        db = await asyncpg.connect(servers.database_url, server_settings={"application_name": DRIVER})
        stack.push_async_callback(db.close)
        ask = await stack.enter_async_context(depths(servers))
        http = await stack.enter_async_context(connections())
        driver = Driver(http, deployment.urls, deployment.key)
        meter = Meter({**deployment.pids, **servers.pids}, ask)
        truth = Truth(servers, db, deployment.target, datetime.now(UTC))
        watch = Watch(db, seconds)
        yield Scene(servers, deployment, driver, db, meter, watch, truth, tell)


def machine() -> Machine:
    """The machine that this is."""
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        cpus=psutil.cpu_count() or 1,
        memory_mb=psutil.virtual_memory().total // 2**20,
        load=round(psutil.getloadavg()[0], 2),
    )


def ids(tenants: Sequence[Tenant]) -> list[UUID]:
    return [UUID(tenant.id) for tenant in tenants]


def latency_of(seconds: Sequence[float]) -> Latency:
    """Of a sample in seconds."""
    p50, p95, p99 = (round(percentile(seconds, p) * 1000, 1) for p in (50, 95, 99))
    return Latency(count=len(seconds), p50=p50, p95=p95, p99=p99)


def by_kind(values: Mapping[str, float]) -> dict[str, float]:
    """Values of `runner-1`, `runner-2` and so on together."""
    summed: dict[str, float] = {}
    for name, value in values.items():
        kind = name.rstrip("0123456789").removesuffix("-")
        summed[kind] = summed.get(kind, 0.0) + value
    return summed


def _phase(name: str, phase: Measured, seconds: float, usage: Usage) -> Phase:
    each = phase.count or 1
    cpu = {kind: used / each * 1000 for kind, used in by_kind(usage.cpu).items()}
    cpu["total"] = sum(used for kind, used in cpu.items() if kind not in OUTSIDE)
    return Phase(
        name=name,
        unit=phase.unit,
        count=phase.count,
        seconds=round(seconds, 3),
        per_second=round(phase.count / seconds, 1),
        latency=phase.latency,
        cpu_ms={kind: round(value, 3) for kind, value in cpu.items()},
        peak_memory_mb={group: round(value, 1) for group, value in usage.memory.items()},
        peak_depth=usage.depth,
        figures={key: round(value, 3) for key, value in phase.figures.items()},
        series=phase.series,
    )


Play = Callable[[Scene, Mapping[str, int]], Awaitable[None]]
"""What a scenario does on a stage, with its sizes."""
