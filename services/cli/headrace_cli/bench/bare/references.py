"""Measures the bare references beside a scenario, with its target and its servers."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aio_pika
import aiormq
import orjson
from aio_pika.abc import AbstractChannel
from headrace.errors import TimedOut, Unavailable

from headrace_cli.bench.bare import pipeline
from headrace_cli.bench.bare.calls import OUTBOUND, PLAIN
from headrace_cli.bench.meter import Meter
from headrace_cli.bench.report import Latency, Phase
from headrace_cli.bench.scene import Scene, latency_of
from headrace_cli.bench.servers import ProfileName
from headrace_cli.dev.deployment import clean_environment
from headrace_cli.dev.supervisor import Service

PIPELINE_BURST, PIPELINE_SINGLES = "bare pipeline, burst", "bare pipeline, one at a time"
_AT_ONCE = 50
_MOST_PLAIN = 500  # chains of plain httpx, which takes about ten times as long as the others
_CONFIRMS = 100  # jobs published before the broker has confirmed the first of them
_WARM = 200
_QUORUM: dict[str, Any] = {"x-queue-type": "quorum"}
_DONE = "SELECT count(*) FROM bare_steps WHERE run BETWEEN $1 AND $2"
_ENDED = "SELECT EXISTS (SELECT FROM bare_steps WHERE run = $1 AND step = 3)"
_BURST_PAUSE, _LONGEST = 0.1, 120.0


async def measure(scene: Scene, sizes: Mapping[str, int]) -> None:
    """Client loops; on the production profile the pipeline, too. They go to the scene's references."""
    chains, singles = sizes["runs"], sizes["singles"]
    for kind, count in ((PLAIN, min(chains, _MOST_PLAIN)), (OUTBOUND, chains)):
        scene.tell(f"  client loop: {kind} ...")
        scene.references += await _client_loop(scene, kind, count, singles)
    if scene.servers.profile is ProfileName.PRODUCTION:
        async with _running(scene) as (channel, meter):
            await _pipeline(scene, channel, meter, chains, singles)


def ratios(phases: list[Phase], references: list[Phase]) -> dict[str, float]:
    """What a scenario's `burst` and `one at a time` are by the references of the same run."""
    own = {phase.name: phase for phase in phases}
    bare = {phase.name: phase for phase in references}
    found: dict[str, float] = {}
    if burst := own.get("burst"):
        for name in (f"client loop: {OUTBOUND}", f"client loop: {PLAIN}", PIPELINE_BURST):
            if reference := bare.get(name):
                found[f"runs a second by {name}"] = _by(burst.per_second, reference.per_second)
                found[f"CPU by {name}"] = _by(burst.cpu_ms["total"], reference.cpu_ms["total"])
    single, other = own.get("one at a time"), bare.get(PIPELINE_SINGLES)
    if single and other and single.latency and other.latency:
        found[f"p50 by {PIPELINE_SINGLES}"] = _by(single.latency.p50, other.latency.p50)
        found[f"p95 by {PIPELINE_SINGLES}"] = _by(single.latency.p95, other.latency.p95)
    return found


def _by(value: float, reference: float) -> float:
    return round(value / reference, 3) if reference else 0.0


async def _client_loop(scene: Scene, kind: str, chains: int, singles: int) -> list[Phase]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "headrace_cli.bench.bare.calls", scene.deployment.target),
        *(str(chains), str(_AT_ONCE), str(singles), kind),
        env=clean_environment(),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise Unavailable(f"the client loop of {kind} ended with {process.returncode}")
    found = orjson.loads(out)
    name = f"client loop: {kind}"
    cpu = {"total": round(found["cpu"] / chains * 1000, 3)}
    burst = _phase(name, chains, found["seconds"], cpu, None)
    one = _phase(f"{name}, one at a time", singles, sum(found["singles"]), {}, latency_of(found["singles"]))
    return [burst, one]


def _phase(name: str, count: int, seconds: float, cpu: Mapping[str, float], latency: Latency | None) -> Phase:
    rate = round(count / seconds, 1) if seconds else 0.0
    return Phase(
        name=name, count=count, seconds=round(seconds, 3), per_second=rate, cpu_ms=cpu, latency=latency
    )


@contextlib.asynccontextmanager
async def _running(scene: Scene) -> AsyncIterator[tuple[AbstractChannel, Meter]]:
    """The pipeline's queues, table and processes; all gone when left, but the table."""
    supervisor, servers = scene.deployment.supervisor, scene.servers
    names = (servers.namespace + pipeline.JOBS, servers.namespace + pipeline.STATUSES)
    async with await aio_pika.connect(servers.bus_url) as connection:
        channel = await connection.channel()
        for name in names:
            await channel.declare_queue(name, durable=True, arguments=_QUORUM)
        await scene.db.execute(pipeline.TABLE)
        module = [sys.executable, "-m", "headrace_cli.bench.bare.pipeline"]
        places = {"runner": scene.deployment.target, "reporter": servers.database_url}
        started, pids = [], {}
        for role, place in places.items():
            arguments = [*module, role, servers.bus_url, servers.namespace, place]
            kept = await supervisor.start(Service(f"bare-{role}", arguments, clean_environment()))
            await asyncio.wait([kept.first_line, supervisor.gave_up], return_when=asyncio.FIRST_COMPLETED)
            if kept.pid is None or not kept.first_line.done():
                raise Unavailable(f"the bare {role} does not start")
            started.append(kept)
            pids[f"bare-{role}"] = kept.pid
        try:
            yield channel, scene.meter.beside(pids)
        finally:
            for kept in started:
                await kept.stop()
            for name in names:
                with contextlib.suppress(aiormq.exceptions.AMQPError):
                    await channel.queue_delete(name)


async def _pipeline(scene: Scene, channel: AbstractChannel, meter: Meter, runs: int, singles: int) -> None:
    jobs, db, clock = scene.servers.namespace + pipeline.JOBS, scene.db, asyncio.get_running_loop().time

    async def publish(run: int) -> None:
        body = orjson.dumps({"run": run, "n": 1})
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, jobs)

    async def all_of(first: int, last: int) -> None:
        for begin in range(first, last + 1, _CONFIRMS):
            await asyncio.gather(*(publish(run) for run in range(begin, min(begin + _CONFIRMS, last + 1))))
        async with _deadline():
            while True:
                if await db.fetchval(_DONE, first, last) == 3 * (last - first + 1):
                    return
                await asyncio.sleep(_BURST_PAUSE)

    async def one(run: int) -> float:
        began = clock()
        await publish(run)
        await scene.watch.true(_ENDED, run)
        return clock() - began

    await all_of(1, _WARM)
    async with scene.measured(PIPELINE_BURST, meter) as phase:
        await all_of(_WARM + 1, _WARM + runs)
        phase.count = runs
    async with scene.watch.told(pipeline.DONE_CHANNEL), scene.measured(PIPELINE_SINGLES, meter) as phase:
        took = [await one(_WARM + runs + 1 + n) for n in range(singles)]
        phase.count, phase.latency = singles, latency_of(took)


@contextlib.asynccontextmanager
async def _deadline() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_LONGEST):
            yield
    except TimeoutError:
        raise TimedOut(f"the bare pipeline was not done after {_LONGEST:.0f} s") from None
