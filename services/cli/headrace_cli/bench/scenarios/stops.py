"""`stops`: by the clock a runner is stopped each second, as long as there are runs to do."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson

from headrace_cli.bench.percentiles import percentile
from headrace_cli.bench.report import Check
from headrace_cli.bench.scenario import Scenario
from headrace_cli.bench.scene import Scene, ids
from headrace_cli.bench.telling import Telling
from headrace_cli.bench.work import chain3

_RUNNERS, _EVERY_SECONDS = 6, 1
_DELAY_MS = 300
_CAPACITY = 20
_HANDED_BACK = "SELECT count(*) FROM events WHERE kind = 'parked'"
_TAKEN_OVER = "SELECT count(*) FROM events WHERE kind = 'claimed'"
# Each claim but a run's first follows a hand-back.
_CLAIMED_OTHERWISE = """SELECT coalesce(sum(epoch), 0)::bigint - count(*)
    - (SELECT count(*) FROM events WHERE kind = 'parked') FROM runs"""
_FRUITLESS = "SELECT coalesce(sum(fruitless_claims), 0)::bigint FROM runs"


async def play(scene: Scene, sizes: Mapping[str, int]) -> None:
    work, tenant = chain3(delay_ms=_DELAY_MS), await scene.tenant("bench")
    runners = await _started(scene)
    try:
        await runners.until(_is_stop, scene.watch.seconds)
        await scene.prepared(tenant, work)
        scene.meter = scene.meter.also({"runner": runners.process.pid})
        begin = len(runners.told)
        async with scene.measured("a runner stopped each second") as phase:
            since = await scene.start_all([tenant], work, sizes["runs"])
            await scene.watch.all_ended(ids([tenant]), since)
            phase.count = sizes["runs"]
            told = runners.told[begin:]
    finally:
        await runners.stop()
    stopped = [line for line in told if _is_stop(line)]
    scene.latency(await scene.watch.latency(ids([tenant]), since))
    # Those of the end do not count: the last of them has hardly begun.
    names = {line["runner"] for line in runners.told if _is_stop(line)}
    left = [line for line in runners.told if line["event"] == "left" and line["runner"] in names]
    scene.figure("runnersStopped", len(stopped))
    scene.figure("secondsWithoutAStop", sum(line["event"] == "none stopped" for line in told))
    scene.figure("longestBetweenTwoSeconds", _longest_between(stopped))
    scene.figure("stoppedWithRunsInHand", sum(1 for line in stopped if line["held"]))
    scene.figure("runsInHandWhenStopped", sum(line["held"] for line in stopped))
    scene.figure("runsHandedBack", await scene.db.fetchval(_HANDED_BACK))
    leaving = [line["seconds"] for line in left]
    scene.figure("medianLeavingSeconds", percentile(leaving, 50))
    scene.figure("slowestLeavingSeconds", max(leaving))
    found = {
        "runners that did not drain": sum(line["status"] != 0 for line in left),
        "runs taken over": await scene.db.fetchval(_TAKEN_OVER),
        "claims that follow no hand-back": await scene.db.fetchval(_CLAIMED_OTHERWISE),
        "claims without progress": await scene.db.fetchval(_FRUITLESS),
        "dispatches swept": await asyncio.to_thread(_swept, scene.deployment.logs),
    }
    scene.checks += [Check(name=name, expected=0, found=count) for name, count in found.items()]


async def _started(scene: Scene) -> Telling:
    deployment = scene.deployment
    return await Telling.started(
        (
            *("headrace_cli.bench.stopped_runners", "--logs", str(deployment.logs)),
            *("--runners", str(_RUNNERS), "--every", str(_EVERY_SECONDS)),
        ),
        deployment.runner_environment,
    )


def _is_stop(line: Mapping[str, Any]) -> bool:
    return bool(line["event"] == "stopped")


def _longest_between(stopped: Sequence[Mapping[str, Any]]) -> float:
    """Seconds; 0 for fewer than two."""
    return max((after["second"] - before["second"] for before, after in pairwise(stopped)), default=0.0)


def _swept(logs: Path) -> int:
    """By what the control planes have written."""
    lines = [line for log in logs.glob("control-plane-*.log") for line in log.read_bytes().splitlines()]
    return sum(
        entry["dispatches"]
        for line in lines
        if b'"swept"' in line and (entry := orjson.loads(line))["event"] == "swept"
    )


SCENARIO = Scenario(
    "stops",
    f"Runs on a target that takes {_DELAY_MS} ms, and {_RUNNERS} runners of which one gets SIGTERM each second and is "
    "replaced at once",
    play,
    {"runs": 3_000},
    settings={"HEADRACE_CAPACITY": str(_CAPACITY)},
    own_runners=True,
)
