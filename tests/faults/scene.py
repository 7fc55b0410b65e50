"""A deployment in which things go wrong: runs begin, a service fails at a place, another takes its place."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from designer import Designer
from fleet import Fleet, Service
from target import Target

from tests.faults import ledger
from tests.faults.fault import Armed, Fault, Name, carrying
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
}
STEPS = ("one", "two", "three")
_START = """mutation ($workflow: String!, $key: String) {
    startRun(workflow: $workflow, idempotencyKey: $key) { ... on Run { id } ... on Failure { code message } } }"""


def chain(workflow: str, unsafe: str | None = None, **of_two: Any) -> dict[str, Any]:
    """Three calls, one after another, each of which names its run. `unsafe`: the one without idempotency."""
    return {
        "workflow": workflow,
        "steps": [
            {
                "key": key,
                "action": f"shop/{key}-unsafe" if key == unsafe else f"shop/{key}",
                "input": {"run": "{{ run.id }}"},
                **(of_two if key == "two" else {}),
            }
            for key in STEPS
        ],
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
        self.designer = Designer(self.fleet)
        await self.designer.app("shop", self.target.url)
        for key in STEPS:
            keyed, never = {"mode": "KEY"}, {"mode": "NONE"}
            await self.designer.action("shop", key, "POST", f"/{key}", idempotency=keyed)
            await self.designer.action("shop", f"{key}-unsafe", "POST", f"/{key}", idempotency=never)
        retry = {"strategy": "FIXED", "maxAttempts": 3, "initialDelayMs": 1000}
        for document in (chain("three"), chain("unsafe", "two"), chain("later", retry=retry)):
            await self.designer.publish(document)

    async def begin(self, name: Name) -> Service:
        """Start one service more, which has all the faults of its kind; it becomes the one of its kind."""
        settings = carrying(armed for armed in self.faults.values() if armed.fault.service is name)
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
            self.target.answers.clear()
            for armed in self.faults.values():
                armed.disarm()
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

    async def struck(self, armed: Armed) -> None:
        """Wait until the fault has happened; a service that it killed is gone."""
        await armed.happened()
        service = self.scene.services.get(armed.fault.service)
        if service and armed.fault.what == "kill":
            assert await service.process.wait() == -9
            del self.scene.services[armed.fault.service]
        await self.now_under_way()

    async def now_under_way(self) -> None:
        """The fault happens now: whoever has not ended yet has to come through it."""
        accounts = await ledger.read(self.scene.fleet.backends.database_url, self.runs, ())
        self._under_way = {run_id for run_id, account in accounts.items() if not account.arrived}
        self._asked = {task for task in self._starting if not task.done()}

    async def settle(self, seconds: float = 60) -> Tally:
        """Wait until every run has arrived; count, print what is wrong, and fail if something is."""
        await self.begun()
        self._under_way |= {task.result() for task in self._asked}
        accounts = await self._arrived(seconds)
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
            [*wrong, str(tally), self.scene.fleet.process_logs()[-6000:]]
        )
        return tally

    async def _arrived(self, seconds: float) -> dict[str, ledger.Account]:
        deadline = time.monotonic() + seconds
        while True:
            accounts = await ledger.read(
                self.scene.fleet.backends.database_url, self.runs, self.scene.target.calls
            )
            if all(a.arrived for a in accounts.values()) or time.monotonic() > deadline:
                return accounts
            await asyncio.sleep(0.1)  # asked from outside: nothing tells of the last run's end

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
