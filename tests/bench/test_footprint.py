"""What the fleet costs while it waits: memory of a runner that carries 200 runs, CPU of everything at rest."""

import asyncio
import json

import psutil
import pytest
from designer import Designer
from fleet import Fleet
from target import Target

RUNS = 200
IDLE_SECONDS = 20


@pytest.mark.bench
@pytest.mark.timeout(300)
async def test_two_hundred_slow_calls_and_then_nothing(fleet: Fleet, target: Target) -> None:
    await fleet.start_all()
    designer = Designer(fleet)
    await designer.app("slow", target.url)
    await designer.action("slow", "call", "GET", "/slow", timeoutMs=120_000)
    await designer.publish({"workflow": "slow", "steps": [{"key": "call", "action": "slow/call"}]})
    target.hold("/slow")
    items = [{"workflow": "slow"} for _ in range(RUNS)]
    await designer.mutate(
        """mutation ($items: [RunStart!]!) { startRuns(items: $items) {
             ok: __typename ... on StartedRuns { items { ... on Run { id } ...Failed } } ...Failed } }""",
        items=items,
    )
    await target.called("/slow", times=RUNS, seconds=60)
    memory = {s.name: psutil.Process(s.process.pid).memory_info().rss // 2**20 for s in fleet.services}
    target.release("/slow")
    while (await designer.do("{ runs(filter: {status: [RUNNING, QUEUED]}, first: 1) { items { id } } }"))[
        "runs"
    ]["items"]:
        await asyncio.sleep(0.1)
    before = {s.name: used(s.process.pid) for s in fleet.services}
    await asyncio.sleep(IDLE_SECONDS)
    idle = {
        s.name: round((used(s.process.pid) - before[s.name]) / IDLE_SECONDS * 100, 2) for s in fleet.services
    }
    report = {
        "profile": fleet.backends.profile,
        f"memory_mb_with_{RUNS}_runs_waiting": memory,
        "idle_percent_of_a_core": {**idle, "all": round(sum(idle.values()), 2)},
    }
    print(json.dumps(report, indent=2))


def used(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
