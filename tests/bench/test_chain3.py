"""chain3: three HTTP steps, the second using the first's output and the third the second's.

Figures are printed, as rates and as ratios to the bare loop of the same run; nothing is asserted about them.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from designer import ENDED, Designer
from fleet import Fleet

HERE = Path(__file__).parent
RUNS = int(os.environ.get("HEADRACE_BENCH_RUNS", "1000"))
SINGLES = int(os.environ.get("HEADRACE_BENCH_SINGLES", "100"))
AT_ONCE = 100

CHAIN3 = {
    "workflow": "chain3",
    "steps": [
        {"key": "one", "action": "fast/one", "input": {"n": "{{ input.n }}"}},
        {"key": "two", "action": "fast/two", "input": {"n": "{{ steps.one.output.body.n }}"}},
        {"key": "three", "action": "fast/three", "input": {"n": "{{ steps.two.output.body.n }}"}},
    ],
    "result": {"n": "{{ steps.three.output.body.n }}"},
}


@pytest.fixture
async def fast_target() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, HERE / "fast_target.py", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    port = int(await process.stdout.readline())
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    await process.wait()


@pytest.mark.bench
@pytest.mark.timeout(600)
async def test_chain3(fleet: Fleet, fast_target: str) -> None:
    await fleet.start_all()
    designer = Designer(fleet)
    await designer.app("fast", fast_target)
    for key in ("one", "two", "three"):
        await designer.action("fast", key, "POST", f"/{key}", idempotency={"mode": "KEY"})
    await designer.publish(CHAIN3)
    await burst(designer, 50)  # warm
    bare = await bare_loop(fast_target)
    before = {service.name: cpu(service.process.pid) for service in fleet.services}
    took = await burst(designer, RUNS)
    used = {s.name: cpu(s.process.pid) - before[s.name] for s in fleet.services}
    times = [await single(fleet, designer) for _ in range(SINGLES)]
    rate = RUNS / took
    report = {
        "profile": fleet.backends.profile,
        "runs": RUNS,
        "runs_per_second": round(rate, 1),
        "bare_chains_per_second": round(bare["per_second"], 1),
        "ratio_to_bare_loop": round(rate / bare["per_second"], 2),
        "cpu_ms_per_run": {name: round(seconds / RUNS * 1000, 2) for name, seconds in used.items()},
        "bare_cpu_ms_per_chain": round(bare["cpu_per_chain_ms"], 2),
        "one_at_a_time_ms": {
            "p50": round(statistics.median(times) * 1000, 1),
            "p95": round(sorted(times)[int(len(times) * 0.95)] * 1000, 1),
        },
    }
    print(json.dumps(report, indent=2))


async def burst(designer: Designer, runs: int) -> float:
    """Start so many runs, in bulk; seconds from the first start to the last end."""
    query = """mutation ($items: [RunStart!]!) { startRuns(items: $items) {
        ok: __typename ... on StartedRuns { items { ... on Run { id } ...Failed } } ...Failed } }"""
    began = time.perf_counter()
    for start in range(0, runs, 500):
        items = [{"workflow": "chain3", "input": {"n": n}} for n in range(start, min(start + 500, runs))]
        await designer.mutate(query, items=items)
    while True:
        left = await designer.do(
            "{ queued: runs(filter: {status: [QUEUED, RUNNING, WAITING]}, first: 1) { items { id } } }"
        )
        if not left["queued"]["items"]:
            return time.perf_counter() - began
        await asyncio.sleep(0.02)


async def single(fleet: Fleet, designer: Designer) -> float:
    began = time.perf_counter()
    run_id = await designer.start("chain3", n=1)
    while True:
        run = (await designer.do("query ($id: ID!) { run(id: $id) { status } }", id=run_id))["run"]
        if run["status"] in ENDED:
            assert run["status"] == "SUCCESS"
            return time.perf_counter() - began


async def bare_loop(url: str) -> Any:
    process = await asyncio.create_subprocess_exec(
        sys.executable, HERE / "bare.py", url, str(RUNS), str(AT_ONCE), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return json.loads(out)


def cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
