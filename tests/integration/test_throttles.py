"""Connections that the fleet calls together: permits, breakers, and what renewals tell of them."""

import asyncio
from typing import Any

import orjson
import pytest
from fixtures_claims import World
from headrace.ids import new_id
from headrace_control.throttle.model import FAILURES


class Calls:
    """Two runners that call one connection for a run each."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.runners = new_id(), new_id()
        self.passes: list[dict[str, Any]] = []
        self.connection = new_id()

    async def prepare(self, limits: Any = None, app_limits: Any = None) -> None:
        admin = self.world.admin
        tenant = await self.world.tenant("acme")
        workflow, _ = self.world.versions[tenant]
        app, version = new_id(), new_id()
        await admin.execute(
            """INSERT INTO apps (tenant_id, id, name, base_url, auth, limits)
               VALUES ($1, $2, 'shop', 'https://shop.example', '{"kind": "NONE"}', $3)""",
            tenant,
            app,
            _json(app_limits),
        )
        await admin.execute(
            "INSERT INTO connections (tenant_id, id, app_id, name, limits) VALUES ($1, $2, $3, 'main', $4)",
            tenant,
            self.connection,
            app,
            _json(limits),
        )
        await admin.execute(
            """INSERT INTO workflow_versions (tenant_id, id, workflow_id, version, status, document, resolved,
               digest, published_at) VALUES ($1, $2, $3, 2, 'PUBLISHED', '{}', $4, 'd2', now())""",
            tenant,
            version,
            workflow,
            _json({"document": {}, "connections": {"main": str(self.connection)}}),
        )
        self.world.versions[tenant] = (workflow, version)
        self.passes = []
        for runner in self.runners:
            (claim,) = (await self.world.claim(runner, await self.world.queued(tenant)))["claims"]
            self.passes.append({name: claim[name] for name in ("run_id", "epoch", "run_token")})

    async def permits(self, runner: int, wanted: int = 1) -> Any:
        return await self.world.post(
            "permits",
            self.runners[runner],
            **self.passes[runner],
            connection_id=str(self.connection),
            wanted=wanted,
        )

    async def report(self, runner: int, **outcome: Any) -> Any:
        answer = await self.world.post(
            "reports",
            self.runners[runner],
            **self.passes[runner],
            connection_id=str(self.connection),
            **outcome,
        )
        return answer["open_seconds"]

    async def time_passes(self, seconds: int) -> None:
        """What is open until then is over, as if so much time had passed."""
        await self.world.admin.execute(
            """UPDATE throttles SET open_until = open_until - make_interval(secs => $1),
               probe_until = probe_until - make_interval(secs => $1)""",
            float(seconds),
        )


def _json(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


@pytest.fixture
async def calls(world: World) -> Calls:
    return Calls(world)


@pytest.mark.parametrize("where", ["connection", "app"])
async def test_runners_share_one_bucket(calls: Calls, where: str) -> None:
    limits = {"requestsPerSecond": 0.001, "burst": 10}
    if where == "app":
        await calls.prepare(app_limits=limits)
    else:
        await calls.prepare(limits=limits, app_limits={"requestsPerSecond": 1000, "burst": 1000})
    answers = await asyncio.gather(*(calls.permits(n % 2, wanted=3) for n in range(8)))
    assert sum(answer["granted"] for answer in answers) == 10
    refused = await calls.permits(0)
    assert (refused["granted"], refused["blocked"], refused["rate"]) == (0, False, 0.001)
    assert refused["wait"] > 100


async def test_a_breaker_opens_for_the_whole_fleet(calls: Calls) -> None:
    await calls.prepare()
    opened = [await calls.report(0, ok=False) for _ in range(FAILURES)]
    assert opened[:-1] == [None] * (FAILURES - 1)
    assert opened[-1] is not None
    other = await calls.permits(1)
    assert (other["granted"], other["blocked"]) == (0, True)
    told = (await calls.world.beat(calls.runners[1]))["breakers"]
    assert [one["connection_id"] for one in told] == [str(calls.connection)]
    assert 0 < told[0]["seconds"] <= opened[-1]


async def test_one_probe_of_the_whole_fleet_closes_it(calls: Calls) -> None:
    await calls.prepare()
    for _ in range(FAILURES):
        await calls.report(0, ok=False)
    await calls.time_passes(3600)
    answers = await asyncio.gather(*(calls.permits(n % 2, wanted=5) for n in range(6)))
    assert sorted(answer["granted"] for answer in answers) == [0, 0, 0, 0, 0, 1]
    assert await calls.report(1, ok=True, probe=True) is None
    assert (await calls.permits(0, wanted=5))["granted"] == 5
    assert (await calls.world.beat(calls.runners[0]))["breakers"] == []


async def test_retry_after_opens_it_until_then(calls: Calls) -> None:
    await calls.prepare()
    left = await calls.report(0, ok=False, retry_after=600)
    assert 590 < left <= 600
    assert 590 < (await calls.permits(1))["wait"] <= 600


async def test_a_connection_that_the_run_does_not_use_is_not_found(calls: Calls) -> None:
    await calls.prepare()
    body = {**calls.passes[0], "connection_id": str(new_id())}
    for path, more in (("permits", {"wanted": 1}), ("reports", {"ok": False})):
        response = await calls.world.ask(path, calls.runners[0], **body, **more)
        assert response.status_code == 404
    assert await calls.world.admin.fetchval("SELECT count(*) FROM throttles") == 0
