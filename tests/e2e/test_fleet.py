"""`headrace fleet` over a whole deployment, and runners that come and go while runs go on."""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import asyncpg
import psutil
import pytest
from aiohttp import web
from designer import Designer
from fixtures_fleet import backends_of
from fleet import Backends, Fleet
from target import Call, Target

# Slow enough that runs are held while the fleet changes.
STEP_SECONDS = 0.5
STEPS = ("one", "two")
_START = """mutation ($items: [RunStart!]!) {
    startRuns(items: $items) { ... on StartedRuns { items { ... on Run { id } } } } }"""


@pytest.fixture
async def backends(request: pytest.FixtureRequest, database: str) -> AsyncIterator[Backends]:
    """Production where a broker is given, else embedded."""
    profile = "production" if "HEADRACE_TEST_RABBITMQ_URL" in os.environ else "embedded"
    async with backends_of(request, profile, database) as found:
        yield found


@pytest.fixture
async def deployment(fleet: Fleet, target: Target) -> Fleet:
    """All but runners, and a workflow of two slow steps."""

    async def slow(_: Call) -> web.StreamResponse:
        await asyncio.sleep(STEP_SECONDS)
        return web.json_response({})

    await fleet.start_all(runners=0)
    designer = Designer(fleet)
    await designer.app("shop", target.url)
    for name in STEPS:
        target.answers[f"/{name}"] = slow
        await designer.action("shop", name, "POST", f"/{name}", idempotency={"mode": "KEY"})
    steps = [{"key": name, "action": f"shop/{name}"} for name in STEPS]
    await designer.publish({"workflow": "slow", "steps": steps})
    return fleet


@dataclass
class Scaled:
    """`headrace fleet` as a process; `told` are its lines of JSON."""

    deployment: Fleet
    arguments: tuple[str, ...]
    told: list[dict[str, Any]] = field(default_factory=list)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def __aenter__(self) -> Self:
        environment = {**self.deployment.environment, "HEADRACE_CAPACITY": "20"}
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "headrace_cli.main", "fleet", "--json", "--every", "0.2"),
            *("--signals", self.deployment.operators, *self.arguments),
            env=environment,
            cwd=self.deployment.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.terminate()
        await self.process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self.process.stdout
        while line := await self.process.stdout.readline():
            self.told.append(json.loads(line))
            async with self._news:
                self._news.notify_all()

    async def until(self, **wanted: Any) -> None:
        """Wait for a moment that has these, from now on."""
        seen = len(self.told)

        def came() -> bool:
            return any(wanted.items() <= moment.items() for moment in self.told[seen:])

        try:
            async with asyncio.timeout(60), self._news:
                await self._news.wait_for(came)
        except TimeoutError:
            raise AssertionError(f"{wanted} never came: {self.told[-5:]}") from None

    def moments(self) -> list[dict[str, Any]]:
        return [told for told in self.told if told["event"] == "moment"]

    def ended(self) -> list[dict[str, Any]]:
        return [told for told in self.told if told["event"] == "ended"]

    def runners(self) -> list[psutil.Process]:
        """The processes of runners that are there."""
        return psutil.Process(self.process.pid).children()


async def started(deployment: Fleet, runs: int) -> list[str]:
    items = [{"workflow": "slow"}] * runs
    answer = await Designer(deployment).do(_START, items=items)
    return [run["id"] for run in answer["startRuns"]["items"]]


async def all_succeeded(deployment: Fleet, runs: list[str], target: Target) -> None:
    """Every run is in SUCCESS, every call was made once, and no run was taken from a holder that had not left."""
    db = await asyncpg.connect(deployment.backends.database_url)
    try:
        async with asyncio.timeout(60):
            while await db.fetchval("SELECT count(*) FROM runs WHERE finished_at IS NULL"):
                await asyncio.sleep(0.1)  # asked from outside; nobody tells when the last of many has ended
        rows = await db.fetch(
            """SELECT r.id, r.status, r.epoch, r.fruitless_claims,
                      (SELECT count(*) FROM events e WHERE e.run_id = r.id AND e.kind = 'parked') AS handed_back,
                      (SELECT count(*) FROM events e WHERE e.run_id = r.id AND e.kind = 'claimed') AS taken_over
               FROM runs r"""
        )
    finally:
        await db.close()
    assert {str(row["id"]) for row in rows} == set(runs)
    assert {(row["status"], row["fruitless_claims"], row["taken_over"]) for row in rows} == {
        ("SUCCESS", 0, 0)
    }
    # Each further claim follows a hand-back: nothing was swept.
    assert all(row["epoch"] == row["handed_back"] + 1 for row in rows)
    made = Counter(call.key for call in target.calls)
    assert made == dict.fromkeys((f"{run}-{name}" for run in runs for name in STEPS), 1)


async def test_the_fleet_grows_with_a_burst_and_shrinks_again(deployment: Fleet, target: Target) -> None:
    rule = ("--min", "1", "--max", "3", "--target", "20", "--stabilisation", "1")
    async with Scaled(deployment, rule) as scaled:
        await scaled.until(runners=1, draining=0)
        runs = await started(deployment, 200)
        await scaled.until(runners=3)
        await scaled.until(runners=1, draining=0)
        await all_succeeded(deployment, runs, target)
    assert scaled.process.returncode == 0
    counts = [moment["runners"] for moment in scaled.moments()]
    assert (counts[0], max(counts), counts[-1]) == (1, 3, 1)
    assert [ended["status"] for ended in scaled.ended()] == [0, 0, 0]


async def test_with_nothing_to_do_there_is_no_runner_and_one_comes_for_the_first_run(
    deployment: Fleet, target: Target
) -> None:
    rule = ("--min", "0", "--target", "20", "--stabilisation", "0.5", "--cool-down", "0.5")
    async with Scaled(deployment, rule) as scaled:
        await scaled.until(runners=0)
        runs = await started(deployment, 1)
        await all_succeeded(deployment, runs, target)
        await scaled.until(runners=0, draining=0)
        assert scaled.runners() == []
        # One that dies is replaced; one that is killed together with the fleet leaves nothing behind.
        target.hold("/one")
        await started(deployment, 1)
        await target.called("/one", times=2)
        (runner,) = scaled.runners()
        runner.kill()
        await scaled.until(event="said", runner="runner-1")
        while runner in (left := scaled.runners()) or not left:
            await asyncio.sleep(0.05)  # nothing tells of another's child
        scaled.process.kill()
        gone, alive = await asyncio.to_thread(psutil.wait_procs, left, 40)
        assert (len(gone), alive) == (1, [])
        target.release("/one")


async def test_a_runner_stopped_each_second_fails_no_run(
    deployment: Fleet, target: Target, tmp_path: Path
) -> None:
    """By the clock, as `headrace bench stops` does for thousands of runs: a second is what is promised here."""
    runs = await started(deployment, 100)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "headrace_cli.bench.stopped_runners"),
        *("--runners", "4", "--every", "1", "--logs", str(tmp_path)),
        env={**deployment.environment, "HEADRACE_CAPACITY": "5"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await all_succeeded(deployment, runs, target)
    finally:
        process.terminate()
        told, _ = await process.communicate()
    lines = [json.loads(line) for line in told.splitlines()]
    stopped = {line["runner"]: line["held"] for line in lines if line["event"] == "stopped"}
    assert any(stopped.values())
    left = {line["runner"]: line["status"] for line in lines if line["event"] == "left"}
    assert {left[runner] for runner in stopped} == {0}
