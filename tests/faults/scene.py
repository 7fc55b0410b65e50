"""A deployment in which things go wrong: runs begin, a service fails at a place, another takes its place."""

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from designer import Designer
from fleet import Fleet, Service
from target import Target

from tests.faults import ledger
from tests.faults.fault import Armed, Fault, Name, What, carrying, injected
from tests.faults.ledger import Tally, Wanted

# A lease is as short as a machine that is busy with other things can keep; sweeps and the shares of reporters follow.
SETTINGS = {
    "HEADRACE_PARTITIONS": "2",
    "HEADRACE_LEASE_SECONDS": "2",
    "HEADRACE_UNCLAIMED_AFTER_SECONDS": "3",
    "HEADRACE_PARK_RETRIES_AFTER_SECONDS": "0.5",
    "HEADRACE_DRAIN_SECONDS": "5",
}
CONSTANTS = {
    "headrace_control.dispatch.sweeper:PERIOD_SECONDS": 0.2,
    "headrace_reporter.partitions:LEASE": 2.0,
    "headrace_reporter.partitions:RENEW_SECONDS": 0.3,
    "headrace_runner.claims:BARRIER_WAIT_SECONDS": 1.0,
    "headrace_runner.claims:MARK_AGAIN_SECONDS": 2.0,
    "headrace.postgres.pool:STALLED_SECONDS": 3.0,
}


def settings() -> dict[str, str]:
    """What every fleet of this suite is started with. HEADRACE_TEST_WITHOUT names a rule to leave out."""
    return {**SETTINGS, **injected(CONSTANTS, os.environ.get("HEADRACE_TEST_WITHOUT"))}


STEPS = ("one", "two", "three")
_START = """mutation ($workflow: String!, $key: String) {
    startRun(workflow: $workflow, idempotencyKey: $key) { ... on Run { id } ... on Failure { code message } } }"""


def chain(workflow: str, unsafe: str = "", **more: Mapping[str, Any]) -> dict[str, Any]:
    """Three calls, one after another, each of which names its run. `unsafe`: the one without idempotency. `more`:
    what else is written of a step."""
    return {
        "workflow": workflow,
        "steps": [
            {
                "key": key,
                "action": f"shop/{key}-unsafe" if key == unsafe else f"shop/{key}",
                "input": {"run": "{{ run.id }}"},
                **more.get(key, {}),
            }
            for key in STEPS
        ],
    }


def retried(seconds: int) -> dict[str, Any]:
    return {
        "retry": {
            "strategy": "FIXED",
            "maxAttempts": 3,
            "initialDelayMs": 1000 * seconds,
            "maxDelayMs": 3_600_000,
        }
    }


@dataclass
class Scene:
    """A fleet of one service of each kind, a target, and workflows of three calls."""

    fleet: Fleet
    target: Target
    tallies: list[Tally]
    faults: dict[Fault, Armed]
    services: dict[Name, Service] = field(default_factory=dict)

    async def prepare(self) -> None:
        await self.begin(Name.CONTROL_PLANE)
        await asyncio.gather(self.begin(Name.RUNNER), self.begin(Name.REPORTER))
        await self.design()

    async def design(self) -> None:
        """The app of the target, and the workflows."""
        self.designer = Designer(self.fleet)
        await self.designer.app("shop", self.target.url)
        for key in STEPS:
            keyed, never = {"mode": "KEY"}, {"mode": "NONE"}
            await self.designer.action("shop", key, "POST", f"/{key}", idempotency=keyed)
            await self.designer.action("shop", f"{key}-unsafe", "POST", f"/{key}", idempotency=never)
        for document in (
            chain("three"),
            chain("unsafe", unsafe="two"),
            chain("later", two=retried(seconds=1)),
            chain("in-an-hour", three=retried(seconds=3600)),
        ):
            await self.designer.publish(document)
        nothing = {"key": "a", "type": "transform", "input": {"x": 1}}
        await self.designer.publish({"workflow": "later-on", "steps": [nothing]})

    async def begin(self, name: Name, **own: str) -> Service:
        """Start one service more, which has all the faults of its kind; it becomes the one of its kind."""
        faults = carrying(armed for armed in self.faults.values() if armed.fault.service is name)
        settings = {**faults, **own}
        match name:
            case Name.CONTROL_PLANE:
                service = await self.fleet.control_plane(**settings)
            case Name.RUNNER:
                service = await self.fleet.runner(**settings)
            case Name.REPORTER:
                service = await self.fleet.reporter(**settings)
        self.services[name] = service
        return service

    @asynccontextmanager
    async def scenario(self, name: str) -> AsyncIterator["Scenario"]:
        scenario = Scenario(self, name)
        try:
            yield scenario
        finally:
            await scenario.close()
            for step in STEPS:
                self.target.release(f"/{step}")
            self.target.answers.clear()
            for armed in self.faults.values():
                armed.disarm()
            for service in self.fleet.services:
                if service.process.returncode is None and service not in self.services.values():
                    await service.kill()
            for kind in Name:
                service = self.services.get(kind)
                if service is None or service.process.returncode is not None:
                    await self.begin(kind)


class Scenario:
    """One scenario, from its first run to its tally."""

    def __init__(self, scene: Scene, name: str) -> None:
        self.scene, self.name = scene, name
        self.runs: dict[str, Wanted] = {}
        self._starting: list[asyncio.Task[str]] = []
        self._under_way: set[str] = set()
        self._asked: set[asyncio.Task[str]] = set()
        self._began = time.monotonic()
        self._calls_before = {step: len(scene.target.of(f"/{step}")) for step in STEPS}

    def hold(self, step: str) -> None:
        """Keep the calls of a step open until `release`."""
        self.scene.target.hold(f"/{step}")

    def release(self, step: str) -> None:
        self.scene.target.release(f"/{step}")

    async def called(self, step: str, times: int = 1) -> None:
        """Wait until runs of this scenario have called the step so often."""
        await self.scene.target.called(f"/{step}", self._calls_before[step] + times, seconds=45)

    async def in_the_call(self, workflow: str = "three", wanted: Wanted | None = None) -> str:
        """A run that is in the call of its second step, which is held."""
        self.hold("two")
        self.begin(workflow, wanted=wanted)
        await self.called("two")
        return (await self.begun())[-1]

    async def kill(self, name: Name) -> None:
        await self.scene.services.pop(name).kill()
        await self.now_under_way()

    def begin(self, workflow: str = "three", count: int = 1, wanted: Wanted | None = None) -> None:
        """Start runs, as a client does that tries again with the same key until it has an answer."""
        for _ in range(count):
            self._starting.append(asyncio.create_task(self._start(workflow, wanted or Wanted())))

    async def begun(self) -> list[str]:
        """The ids of all runs so far, once every start was answered."""
        await asyncio.gather(*self._starting)
        return list(self.runs)

    async def close(self) -> None:
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)

    def arm(self, fault: Fault) -> None:
        self.scene.faults[fault].arm()

    async def struck(self, fault: Fault) -> None:
        """Wait until the fault has happened; a service that it killed is gone."""
        await self.scene.faults[fault].happened()
        if fault.what is What.KILL:
            assert await self.scene.services.pop(fault.service).process.wait() == -9
        await self.now_under_way()

    async def now_under_way(self) -> None:
        """The fault happens now: whoever has not ended yet has to come through it."""
        accounts = await self.accounts()
        self._under_way = {run_id for run_id, account in accounts.items() if not account.arrived}
        self._asked = {task for task in self._starting if not task.done()}

    async def settle(self, seconds: float = 60) -> Tally:
        """Wait until every run has arrived; count, and fail if one is not what it should be."""
        accounts = await self.arrived(seconds)
        self._under_way |= {task.result() for task in self._asked}
        wrong: list[str] = []
        ok, lost, twice = set(), 0, 0
        for run_id, wanted in self.runs.items():
            account = accounts[run_id]
            problems = account.done_twice(wanted)
            twice += bool(problems)
            lost += not account.arrived
            if not account.arrived or not account.is_ok(wanted):
                problems.append(f"is {account.run['status']} {account.run['wait_reason']}, not {wanted}")
            problems += account.unsound()
            if not problems:
                ok.add(run_id)
            wrong += [f"{run_id}: {problem}" for problem in problems]
        tally = Tally(
            self.name,
            self.scene.fleet.backends.profile,
            len(self.runs),
            len(ok),
            lost,
            twice,
            len(ok & self._under_way),
            time.monotonic() - self._began,
        )
        self.scene.tallies.append(tally)
        assert (tally.lost, tally.duplicated, tally.ok) == (0, 0, tally.attempted), "\n".join(
            [*wrong, str(tally), self.scene.fleet.last_words()]
        )
        return tally

    @property
    def first(self) -> str:
        return next(iter(self.runs))

    async def accounts(self) -> dict[str, ledger.Account]:
        journal = self.scene.target.calls
        return await ledger.read(self.scene.fleet.backends.database_url, self.runs, journal)

    async def arrived(self, seconds: float = 60) -> dict[str, ledger.Account]:
        """The accounts of all runs, when the last one has arrived, or when the time is over."""
        await self.begun()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if await ledger.all_arrived(self.scene.fleet.backends.database_url, self.runs):
                break
            await asyncio.sleep(0.1)  # asked from outside: nothing tells of the last run's end
        return await self.accounts()

    async def _start(self, workflow: str, wanted: Wanted) -> str:
        key = uuid.uuid4().hex
        async with asyncio.timeout(45):
            while (run_id := await self._ask(workflow, key)) is None:
                await asyncio.sleep(0.1)
        self.runs[run_id] = wanted
        return run_id

    async def _ask(self, workflow: str, key: str) -> str | None:
        fleet = self.scene.fleet
        try:
            response = await fleet.http.post(
                "/graphql",
                json={"query": _START, "variables": {"workflow": workflow, "key": key}},
                headers={"authorization": f"Bearer {fleet.api_key}"},
            )
        except httpx.TransportError:
            return None
        body = response.json()
        if body.get("errors"):
            return None
        return str(body["data"]["startRun"]["id"])
