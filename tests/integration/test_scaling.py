"""The figures that the fleet is scaled by: what they count, and where they are shown."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from fixtures_claims import World
from headrace.bus.open import open_bus
from headrace.bus.port import JOBS, LOGS, Bus, Outgoing
from headrace.errors import Forbidden
from headrace.ids import new_id
from headrace.telemetry.figures import FIGURES_SECONDS
from headrace_control import operator_app
from headrace_control.auth.caller import Actor, ActorKind, Caller
from headrace_control.auth.roles import Role
from headrace_control.operator_app import create_operator_app
from headrace_control.scaling.gauges import ScalingGauges
from headrace_control.scaling.model import Scaling
from headrace_control.scaling.service import ScalingService
from headrace_control.scaling.signals import Signals
from headrace_control.scaling.tables import MAX_TENANTS
from no_signals import no_signals
from prometheus_client import CollectorRegistry


@dataclass
class Scene:
    """`now` is the clock by which figures are young."""

    world: World
    bus: Bus
    signals: Signals = field(init=False)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.signals = Signals(self.world.pool, self.bus, 1, clock=lambda: self.now)

    async def read(self) -> Scaling:
        self.now += 60
        return await self.signals.current()

    async def queue(self, tenant: UUID, unsent: int = 0, sent: int = 0) -> list[tuple[UUID, UUID]]:
        return [await self.world.queued(tenant, sent=n >= unsent) for n in range(unsent + sent)]

    async def waits_for(self, dispatch: UUID, waited: timedelta) -> None:
        await self.world.admin.execute(
            "UPDATE dispatches SET due_at = now() - $2::interval WHERE id = $1", dispatch, waited
        )


@pytest.fixture
async def scene(world: World, database: str) -> AsyncIterator[Scene]:
    bus = await open_bus(database, partitions=1)
    yield Scene(world, bus)
    await bus.close()


async def test_nothing_to_do_is_nought(scene: Scene) -> None:
    found = await scene.read()
    assert (found.backlog, found.load, found.due, found.runs_in_flight, found.oldest_seconds) == (0,) * 5
    assert set(found.queues) == {"jobs", "logs", "dead", "events.0"}
    assert found.tenants == []


async def test_a_tenant_at_its_limit_asks_for_no_further_runner(scene: Scene) -> None:
    small, large = await scene.world.tenant("small", in_flight=3), await scene.world.tenant("large")
    held = await scene.queue(small, unsent=5, sent=2)
    await scene.queue(large, unsent=2, sent=1)
    found = await scene.read()
    assert (found.due, found.runs_in_flight) == (7, 3)
    assert found.backlog == 1 + 2
    assert found.load == found.backlog + 3
    # Now at its limit: however long the rest waits, another runner would not take it.
    await scene.queue(small, sent=1)
    await scene.waits_for(held[0][1], timedelta(hours=1))
    found = await scene.read()
    assert found.backlog == 2
    assert found.oldest_seconds < 600
    assert [(t.tenant_id, t.due, t.in_flight) for t in found.tenants] == [(small, 5, 3), (large, 2, 1)]
    assert found.tenants[0].oldest_seconds > 3000


async def test_the_oldest_is_the_one_that_waits_longest_for_a_runner(scene: Scene) -> None:
    tenant, runner = await scene.world.tenant("one"), new_id()
    due, sent = await scene.queue(tenant, unsent=1, sent=1)
    await scene.waits_for(due[1], timedelta(minutes=5))
    await scene.waits_for(sent[1], timedelta(minutes=10))
    await scene.bus.publish([Outgoing(JOBS, b"a job")])
    assert 600 <= (await scene.read()).oldest_seconds < 660
    assert await scene.world.outcome(runner, sent) == "GRANTED"
    assert 300 <= (await scene.read()).oldest_seconds < 360


async def test_what_is_sent_again_is_one_run_that_waits_as_long_as_before(scene: Scene) -> None:
    tenant = await scene.world.tenant("one")
    (job,) = await scene.queue(tenant, sent=1)
    await scene.waits_for(job[1], timedelta(minutes=10))
    for _ in range(2):
        await scene.world.admin.execute("UPDATE dispatches SET sent_at = now() - interval '2 minutes'")
        assert await scene.world.sweeper.sweep() == 1
        await scene.world.admin.execute("UPDATE dispatches SET sent_at = now()")
        await scene.bus.publish([Outgoing(JOBS, b"the job")])
    found = await scene.read()
    assert (found.ready, found.backlog, found.load) == (2, 1, 1)
    assert 600 <= found.oldest_seconds < 660
    # Claimed, and swept since its runner died: from now on it waits anew.
    runner = new_id()
    assert await scene.world.outcome(runner, job) == "GRANTED"
    await scene.world.lease_is_over(runner)
    assert await scene.world.sweeper.sweep() == 1
    assert (await scene.read()).oldest_seconds < 60


async def test_a_job_in_the_hands_of_a_runner_that_can_not_claim_waits(scene: Scene) -> None:
    tenant = await scene.world.tenant("one")
    (taken,) = await scene.queue(tenant, sent=1)
    await scene.waits_for(taken[1], timedelta(minutes=2))
    found = await scene.read()
    assert (found.ready, found.backlog, found.load) == (0, 0, 1)
    assert 120 <= found.oldest_seconds < 180


async def test_what_is_due_later_counts_nowhere(scene: Scene) -> None:
    tenant = await scene.world.tenant("one")
    (later,) = await scene.queue(tenant, unsent=1)
    await scene.waits_for(later[1], -timedelta(hours=1))
    found = await scene.read()
    assert (found.backlog, found.due, found.tenants) == (0, 0, [])


async def test_jobs_in_the_broker_are_counted_once(scene: Scene) -> None:
    tenant = await scene.world.tenant("one")
    await scene.queue(tenant, unsent=1, sent=3)
    await scene.bus.publish([Outgoing(JOBS, b"1"), Outgoing(JOBS, b"2"), Outgoing(LOGS, b"3")])
    found = await scene.read()
    assert (found.ready, found.unacked, found.backlog, found.load) == (2, 1, 3, 4)
    assert {name: (depth.ready, depth.unacked) for name, depth in found.queues.items()} == {
        "jobs": (2, 1),
        "logs": (1, None),
        "dead": (0, None),
        "events.0": (0, None),
    }


async def test_each_pool_has_figures_of_its_own(scene: Scene) -> None:
    """Those of all pools are their sums, and a tenant's limit is shared by its runs in all of them."""
    small, large = await scene.world.tenant("small", in_flight=6), await scene.world.tenant("large")
    await scene.world.admin.execute("INSERT INTO pools (name) VALUES ('eu'), ('us')")
    await scene.bus.add_pool("eu")  # no relay has made the queue of the other one yet
    in_eu = [*await scene.queue(small, unsent=4, sent=1), *await scene.queue(large, unsent=1)]
    for table, key in (("runs", "id"), ("dispatches", "run_id")):
        await scene.world.admin.execute(
            f"UPDATE {table} SET pool = 'eu' WHERE {key} = ANY($1::uuid[])",
            [run for run, _ in in_eu],
        )
    await scene.queue(small, unsent=3, sent=1)
    await scene.bus.publish([Outgoing("jobs.eu", b"a job")])
    await scene.waits_for(in_eu[0][1], timedelta(minutes=5))
    await scene.waits_for(in_eu[4][1], timedelta(minutes=10))
    await scene.world.beat(new_id())
    await scene.world.admin.execute("UPDATE runners SET pool = 'eu'")
    found = await scene.read()
    assert list(found.pools) == ["default", "eu", "us"]
    eu, default, us = found.pools["eu"], found.pools["default"], found.pools["us"]
    assert (default.due, default.backlog, default.runs_in_flight, default.unacked) == (3, 3, 1, 1)
    # Six at once, two of them sent and three taken by the other pool's: one of the small tenant's, and the large one's.
    assert (eu.due, eu.ready, eu.backlog, eu.runs_in_flight, eu.unacked) == (5, 1, 1 + 1 + 1, 1, 0)
    assert (eu.runners, eu.capacity, default.runners) == (1, 10, 0)
    assert 600 <= eu.oldest_seconds < 660
    assert default.oldest_seconds < 60
    assert (us.load, us.runners) == (0, 0)
    assert (found.backlog, found.load, found.due) == (6, default.load + eu.load, 8)
    assert found.queues["jobs.eu"].ready == 1
    assert found.tenants[0].due == 7
    registry = CollectorRegistry()
    ScalingGauges(scene.signals, registry).show(found)
    shown = set((await asked(scene.signals, "/metrics", registry)).text.splitlines())
    assert {
        'headrace_runner_pool_load{pool="eu"} 3.0',
        'headrace_runner_pool_runners{pool="us"} 0.0',
    } <= shown


async def test_runners_count_while_their_lease_is_live(scene: Scene) -> None:
    tenant, alive, gone = await scene.world.tenant("one"), new_id(), new_id()
    (job,) = await scene.queue(tenant, sent=1)
    assert await scene.world.outcome(alive, job) == "GRANTED"
    await scene.world.beat(alive, job[0])
    await scene.world.beat(gone)
    await scene.world.lease_is_over(gone)
    found = await scene.read()
    assert (found.runners, found.capacity, found.held) == (1, 10, 1)


async def test_tenants_are_bounded(scene: Scene) -> None:
    for number in range(MAX_TENANTS + 3):
        await scene.queue(await scene.world.tenant(f"t{number}"), unsent=1 + number % 2)
    found = await scene.read()
    assert found.due == sum(1 + number % 2 for number in range(MAX_TENANTS + 3))
    assert len(found.tenants) == MAX_TENANTS
    assert [tenant.due for tenant in found.tenants] == sorted((t.due for t in found.tenants), reverse=True)


async def test_young_figures_are_not_read_again(scene: Scene) -> None:
    tenant = await scene.world.tenant("one")
    first = await scene.read()
    await scene.queue(tenant, unsent=1)
    assert await scene.signals.current() is first
    assert (await scene.read()).due == 1


# -- where they are shown --------------------------------------------------------------------------------------


async def asked(signals: Signals, path: str, registry: CollectorRegistry | None = None) -> httpx.Response:
    app = create_operator_app(signals, registry or CollectorRegistry())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://operators") as http:
        return await http.get(path)


async def test_scalers_read_json(scene: Scene) -> None:
    tenant = await scene.world.tenant("one")
    await scene.queue(tenant, unsent=2, sent=1)
    answer = await asked(scene.signals, "/scaling")
    body = answer.json()
    ages = {body.pop("oldest_seconds"), body["tenants"][0].pop("oldest_seconds")}
    assert all(isinstance(age, float) for age in ages)
    assert body == {
        "backlog": 2,
        "load": 3,
        "ready": 0,
        "unacked": 1,
        "due": 2,
        "runs_in_flight": 1,
        "runners": 0,
        "capacity": 0,
        "held": 0,
        "queues": {
            "jobs": {"ready": 0, "unacked": 1},
            "logs": {"ready": 0, "unacked": None},
            "dead": {"ready": 0, "unacked": None},
            "events.0": {"ready": 0, "unacked": None},
        },
        "tenants": [{"tenant_id": str(tenant), "due": 2, "in_flight": 1}],
        "pools": {
            "default": {name: value for name, value in body.items() if isinstance(value, int)}
            | {"oldest_seconds": max(ages)}
        },
    }
    assert answer.headers["cache-control"] == "no-store"


async def test_scalers_are_told_so_while_nothing_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Postgres was asked for is let go of when it has heard of it, and a scaler is not kept waiting for that."""
    # KEDA's own time, by default.
    assert operator_app.ANSWER_SECONDS < 3
    monkeypatch.setattr(operator_app, "ANSWER_SECONDS", 0.01)
    heard = asyncio.Event()

    async def stuck() -> None:
        try:
            await heard.wait()
        finally:
            await heard.wait()

    signals = no_signals()
    monkeypatch.setattr(signals, "current", stuck)
    async with asyncio.timeout(20):
        answer = await asked(signals, "/scaling")
    heard.set()
    assert answer.status_code == 503


async def test_scalers_are_told_nothing_while_the_bus_is_away() -> None:
    answer = await asked(no_signals(), "/scaling")
    assert answer.status_code == 503
    assert answer.json()["errors"][0]["extensions"]["code"] == "BUS_UNAVAILABLE"


async def test_metrics_say_the_same_and_forget_tenants_that_left_the_top(scene: Scene) -> None:
    one, other = await scene.world.tenant("one"), await scene.world.tenant("other")
    await scene.queue(one, unsent=2, sent=1)
    registry = CollectorRegistry()
    gauges = ScalingGauges(scene.signals, registry)
    gauges.show(await scene.read())
    shown = (await asked(scene.signals, "/metrics", registry)).text.splitlines()
    assert {
        "headrace_backlog 2.0",
        "headrace_load 3.0",
        "headrace_dispatches_due 2.0",
        "headrace_jobs_unacked 1.0",
        'headrace_queue_ready{queue="events.0"} 0.0',
        f'headrace_tenant_dispatches_due{{tenant_id="{one}"}} 2.0',
    } <= set(shown)
    await scene.world.admin.execute("DELETE FROM dispatches")
    await scene.queue(other, unsent=1)
    gauges.show(await scene.read())
    shown = (await asked(scene.signals, "/metrics", registry)).text.splitlines()
    assert [line for line in shown if line.startswith("headrace_tenant_dispatches_due{")] == [
        f'headrace_tenant_dispatches_due{{tenant_id="{other}"}} 1.0'
    ]


async def test_figures_that_can_not_be_read_any_more_are_not_shown(scene: Scene) -> None:
    """Of several control planes one that is cut off would else hide what the others see; its age tells of it."""
    registry, now = CollectorRegistry(), 0.0
    gauges = ScalingGauges(scene.signals, registry, clock=lambda: now)

    async def shown() -> dict[str, str]:
        lines = (await asked(scene.signals, "/metrics", registry)).text.splitlines()
        return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))

    assert await shown() == {"headrace_figures_age_seconds": "0.0"}
    gauges.show(await scene.read())
    now = FIGURES_SECONDS - 1
    assert (await shown())["headrace_runners"] == "0.0"
    now = FIGURES_SECONDS + 31
    assert await shown() == {"headrace_figures_age_seconds": "61.0"}
    gauges.show(await scene.read())
    assert (await shown())["headrace_runners"] == "0.0"


async def test_only_the_platforms_operators_may_ask(scene: Scene) -> None:
    service = ScalingService(scene.signals)

    def caller(role: Role, platform: bool) -> Caller:
        return Caller(new_id(), Actor(ActorKind.API_KEY, new_id(), "a key"), role, platform=platform)

    for role in (Role.ADMIN, Role.OPERATOR):
        assert (await service.current(caller(role, platform=True))).due == 0
        with pytest.raises(Forbidden):
            await service.current(caller(role, platform=False))
    with pytest.raises(Forbidden):
        await service.current(caller(Role.VIEWER, platform=True))
