"""One tenant's long queue and another's runs: how long those wait, beside the same load spread over many tenants.

Figures are printed: delays from the start to the claim, and the ratio of their p99s in one run.
"""

import asyncio
import json
import os
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from designer import Designer
from fleet import Fleet
from target import Call, Target

QUEUED = int(os.environ.get("HEADRACE_BENCH_QUEUED", "5000"))
NEIGHBOURS = 100
SLOW_SECONDS = 0.2
PROBES = 100
PROBE_EVERY = 0.1

_BULK = """mutation ($items: [RunStart!]!) { startRuns(items: $items) {
    ok: __typename ... on StartedRuns { items { ... on Run { id } ...Failed } } ...Failed } }"""
_TENANT = """mutation($name: String!) { createTenant(name: $name) {
    ok: __typename ... on NewTenant { issued { key } } ...Failed } }"""
_DELAYS = """SELECT extract(epoch FROM started_at - created_at)::float8 FROM runs r
    JOIN tenants t ON t.id = r.tenant_id WHERE t.name = $1 AND r.id = ANY($2::uuid[]) ORDER BY 1"""


@dataclass(frozen=True)
class Tenant:
    name: str
    designer: Designer


@pytest.mark.bench
@pytest.mark.timeout(1800)
async def test_a_neighbour_with_a_long_queue(fleet: Fleet) -> None:
    await fleet.start_all()
    async with Target() as target:

        async def slow(_: Call) -> web.StreamResponse:
            await asyncio.sleep(SLOW_SECONDS)
            return web.json_response({})

        target.answers["/slow"] = slow
        platform = Designer(fleet)
        many = [await tenant(fleet, platform, target, f"many-{n}") for n in range(NEIGHBOURS)]
        one, small = many[0], await tenant(fleet, platform, target, "small")
        spread = await delays(fleet, small, [(each, QUEUED // NEIGHBOURS) for each in many])
        alone = await delays(fleet, small, [(one, QUEUED)])
    report = {
        "profile": fleet.backends.profile,
        "queued": QUEUED,
        "spread_over": NEIGHBOURS,
        "delay_ms_beside_many": spread,
        "delay_ms_beside_one": alone,
        "p99_ratio": round(alone["p99"] / spread["p99"], 2),
    }
    print(json.dumps(report, indent=2))


async def tenant(fleet: Fleet, platform: Designer, target: Target, name: str) -> Tenant:
    made = await platform.mutate(_TENANT, name=name)
    designer = Designer(fleet, made["issued"]["key"])
    await designer.app("app", target.url)
    await designer.action("app", "slow", "GET", "/slow")
    await designer.publish({"workflow": "slow", "steps": [{"key": "call", "action": "app/slow"}]})
    return Tenant(name, designer)


async def delays(fleet: Fleet, small: Tenant, load: list[tuple[Tenant, int]]) -> dict[str, float]:
    """Milliseconds from start to claim of the small tenant's runs, while the load is in the queue."""
    for busy, count in load:
        for first in range(0, count, 500):
            items: list[Any] = [{"workflow": "slow", "input": {}}] * min(500, count - first)
            await busy.designer.mutate(_BULK, items=items)
    runs = []
    for _ in range(PROBES):
        runs.append(await small.designer.start("slow"))
        await asyncio.sleep(PROBE_EVERY)
    for run in runs:
        await small.designer.ended(run, seconds=600)
    db = await asyncpg.connect(fleet.backends.database_url)
    try:
        found = [row[0] for row in await db.fetch(_DELAYS, small.name, runs)]
        while await db.fetchval("SELECT count(*) FROM dispatches"):
            await asyncio.sleep(0.2)
    finally:
        await db.close()
    return {f"p{p}": round(found[min(len(found) * p // 100, len(found) - 1)] * 1000, 1) for p in (50, 95, 99)}
