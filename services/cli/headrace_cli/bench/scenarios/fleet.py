"""`fleet`: a wave of runs, and runners that come and go with it."""

import asyncio
import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from headrace_cli.bench.report import Check
from headrace_cli.bench.scenario import Scenario
from headrace_cli.bench.scene import Scene, ids
from headrace_cli.bench.telling import Telling
from headrace_cli.bench.work import chain3

MOST = 8
_DELAY_MS = 50
# Few places in each runner, so that eight of them fit a small machine.
_CAPACITY = 3
_RULE = (
    "--min",
    "1",
    "--max",
    str(MOST),
    "--target",
    str(_CAPACITY),
    "--stabilisation",
    "10",
    "--every",
    "1",
)
# A claim that follows no hand-back has taken the run from a holder that had not left.
_TAKEN_OVER = """SELECT (SELECT coalesce(sum(epoch), 0) - count(*) FROM runs WHERE finished_at IS NOT NULL)
    - (SELECT count(*) FROM events WHERE kind = 'parked')"""
_HANDED_BACK = "SELECT count(*) FROM events WHERE kind = 'parked'"


async def play(scene: Scene, sizes: Mapping[str, int]) -> None:
    work, tenant = chain3(delay_ms=_DELAY_MS), await scene.tenant("bench")
    fleet = await _started(scene)
    try:
        await scene.prepared(tenant, work)
        await fleet.until(_rests, scene.watch.seconds)
        scene.meter = scene.meter.also({"runner": fleet.process.pid})
        begin = len(fleet.told)
        async with scene.measured("wave") as phase:
            since = await scene.now()
            for runs in _wave(sizes["runs"], sizes["seconds"]):
                await asyncio.gather(scene.start_all([tenant], work, runs), asyncio.sleep(1))
            await scene.watch.all_ended(ids([tenant]), since)
            await fleet.until(_rests, scene.watch.seconds)
            phase.count = sizes["runs"]
            phase.series = _series(fleet.told[begin:])
        ended = [told for told in fleet.told[begin:] if told["event"] == "ended"]
    finally:
        await fleet.stop()
    scene.latency(await scene.watch.latency(ids([tenant]), since))
    scene.figure("mostRunners", max(phase.series["runners"]))
    scene.figure("scaleDowns", len(ended))
    scene.figure("slowestDrainSeconds", max((told["seconds"] for told in ended), default=0.0))
    scene.figure("runsHandedBack", await scene.db.fetchval(_HANDED_BACK))
    scene.checks += [
        Check(name="runners that did not drain", expected=0, found=sum(t["status"] != 0 for t in ended)),
        Check(name="runs taken over", expected=0, found=int(await scene.db.fetchval(_TAKEN_OVER))),
        Check(name="runners at the end", expected=1, found=int(phase.series["runners"][-1])),
    ]


async def _started(scene: Scene) -> Telling:
    deployment = scene.deployment
    command = ("headrace_cli.main", "fleet", "--json", "--signals", deployment.operators[0])
    return await Telling.started(
        (*command, "--logs", str(deployment.logs), *_RULE), deployment.runner_environment
    )


def _rests(told: Mapping[str, Any]) -> bool:
    if told["event"] != "moment" or told["figures"] is None:
        return False
    return (told["runners"], told["draining"], told["figures"]["load"]) == (1, 0, 0)


def _wave(runs: int, seconds: int) -> list[int]:
    """How many runs begin in each second: few, many, few, and `runs` in all."""
    so_far = [
        runs * (n / seconds - math.sin(2 * math.pi * n / seconds) / (2 * math.pi)) for n in range(seconds + 1)
    ]
    return [round(after) - round(before) for before, after in pairwise(so_far)]


def _series(told: list[dict[str, Any]]) -> dict[str, tuple[float, ...]]:
    """By second of the wave: the fleet, and what it followed."""
    moments = [each for each in told if each["event"] == "moment" and each["figures"]]
    return {
        "seconds": tuple(round(each["second"] - moments[0]["second"], 1) for each in moments),
        "runners": tuple(each["runners"] for each in moments),
        "draining": tuple(each["draining"] for each in moments),
        "load": tuple(each["figures"]["load"] for each in moments),
        "backlog": tuple(each["figures"]["backlog"] for each in moments),
        "oldestSeconds": tuple(round(each["figures"]["oldest_seconds"], 2) for each in moments),
    }


SCENARIO = Scenario(
    "fleet",
    f"A wave of runs on a target that takes {_DELAY_MS} ms, and `headrace fleet` that follows it from 1 runner to "
    f"{MOST} and back",
    play,
    {"runs": 5_000, "seconds": 100},
    settings={"HEADRACE_CAPACITY": str(_CAPACITY)},
    own_runners=True,
)
