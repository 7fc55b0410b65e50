"""`tenants`: the same load of one tenant and of many, and how long one waits for another."""

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

from headrace_cli.bench.driver import Tenant
from headrace_cli.bench.scenario import Scenario
from headrace_cli.bench.scene import Scene, ids, latency_of
from headrace_cli.bench.work import Work, chain3

_SPREAD = 100
_MADE_AT_ONCE = 8
_PROBE_PAUSE = 0.05


async def play(scene: Scene, sizes: Mapping[str, int]) -> None:
    work = chain3()
    first = await scene.tenant("bench")
    await scene.prepared(first, work)
    many = [first, *await _more(scene, work, sizes["tenants"] - 1)]
    # Once for each, as for the first: what is read at a workflow's first run is not what a run of many tenants costs.
    await scene.run_all(many, work, len(many))
    for count in sorted({1, *(n for n in (10, 100) if n < len(many)), len(many)}):
        await scene.burst(many[:count], work, sizes["runs"], f"{count:,} tenants")
    together = scene.phases[-1].per_second
    scene.figure("rateByOneTenant", together / scene.phases[0].per_second)
    # Many tenants need as many requests to start their runs; one starts its own by few, unless it is told to.
    requests = min(len(many), sizes["runs"])
    each = -(-sizes["runs"] // requests)
    await scene.burst([first], work, sizes["runs"], f"1 tenant, {requests:,} requests", each)
    scene.figure("rateByOneTenantOfAsManyRequests", together / scene.phases[-1].per_second)
    small = await scene.tenant("small")
    await scene.prepared(small, work, warm=0)
    spread = many[:_SPREAD]
    beside_many = await _beside(scene, small, spread, work, sizes, f"beside {len(spread)} tenants")
    beside_one = await _beside(scene, small, [first], work, sizes, "beside one tenant")
    scene.figure("p99ByManyTenants", beside_one / beside_many if beside_many else 0.0)


async def _beside(
    scene: Scene, small: Tenant, busy: Sequence[Tenant], work: Work, sizes: Mapping[str, int], name: str
) -> float:
    """How long the small tenant's runs wait for their claims while so many of others are queued; the p99 in ms."""
    async with scene.measured(f"start to claim, {name}") as phase:
        since = await scene.start_all(busy, work, sizes["queued"])
        for _ in range(sizes["probes"]):
            await small.driver.start(work.name, work.given)
            await asyncio.sleep(_PROBE_PAUSE)
        scene.truth.ran(work, sizes["probes"])
        await scene.watch.all_ended(ids([small, *busy]), since)
        phase.count = sizes["queued"] + sizes["probes"]
        phase.latency = latency_of(await scene.watch.delays(UUID(small.id), since))
    return phase.latency.p99


async def _more(scene: Scene, work: Work, count: int) -> list[Tenant]:
    """Tenants with the same workflow, a few made at a time."""
    scene.tell(f"  {count:,} more tenants ...")
    gate = asyncio.Semaphore(_MADE_AT_ONCE)

    async def made(number: int) -> Tenant:
        async with gate:
            tenant = await scene.tenant(f"bench-{number}")
            await scene.prepared(tenant, work, warm=0)
            return tenant

    return list(await asyncio.gather(*(made(number) for number in range(count))))


SCENARIO = Scenario(
    "tenants",
    "The same runs by 1 to 1,000 tenants, and by one that starts them by as many requests; and how long a tenant waits "
    "beside one with a long queue, or beside many.",
    play,
    {"tenants": 1_000, "runs": 10_000, "queued": 10_000, "probes": 100},
)
