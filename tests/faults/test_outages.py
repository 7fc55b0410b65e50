"""A server of the deployment goes away for a while and comes back; the services are not touched."""

import asyncio
import contextlib
import os
import signal
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit, urlunsplit

import pytest
import servers
from fixtures_rabbitmq import delete_queues
from fleet import Backends, Fleet, free_port
from headrace.bus.names import Names
from headrace_cli.embedded_postgres import running_postgres
from target import Target

from tests.faults.kills import ONCE
from tests.faults.ledger import Tally, Wanted
from tests.faults.scene import Scene, settings


class Outage:
    """A server of deploy/local on a fixed port and folder, stopped or killed and started in its order."""

    def __init__(self, name: str, folder: Path) -> None:
        self._module: ModuleType = servers.local(name)
        if self._module.program() is None:
            servers.missing(f"no {name} server of our own to stop: python deploy/local install {name}")
        self._folder, self._port = folder, free_port()
        self._stack = contextlib.ExitStack()

    async def start(self) -> str:
        running = self._module.running(self._port, self._folder)
        return str(await asyncio.to_thread(self._stack.enter_context, running))

    async def stop(self) -> None:
        await asyncio.to_thread(self._stack.close)

    async def kill(self) -> None:
        """SIGKILL to the broker, whose process writes its id beside its data."""
        (file,) = (self._folder / "data").glob("*.pid")
        os.kill(int(file.read_text()), signal.SIGKILL)
        await self.stop()


@contextlib.asynccontextmanager
async def outage(name: str, folder: Path) -> AsyncIterator[tuple[Outage, str]]:
    server = Outage(name, folder)
    try:
        yield server, await server.start()
    finally:
        await server.stop()


@contextlib.asynccontextmanager
async def deployed(backends: Backends, folder: Path, tallies: list[Tally]) -> AsyncIterator[Scene]:
    """A scene of its own, on servers of its own."""
    async with Fleet(backends, folder, settings()) as fleet, Target() as target:
        scene = Scene(fleet, target, tallies, {})
        await scene.prepare()
        yield scene


async def comes_through(
    scene: Scene, name: str, away: Callable[[], Awaitable[object]], back: Callable[[], Awaitable[object]]
) -> None:
    """Ten runs are in a call when it goes away, and have their answers while it is."""
    async with scene.scenario(name) as scenario:
        scenario.hold("two")
        scenario.begin(count=10, wanted=Wanted(calls={"one": 1, "three": 1}))
        await scenario.called("two", 10)
        await scenario.begun()
        await scenario.now_under_way()
        await away()
        scenario.release("two")  # what they answer can be reported to nobody
        scenario.begin(count=3, wanted=Wanted(calls=ONCE))
        await back()
        await scenario.settle()
        assert all(service.process.returncode is None for service in scene.services.values())


@pytest.mark.rabbitmq
@pytest.mark.mongodb
async def test_runs_go_on_when_the_broker_is_back(
    database: str, mongodb_database: str, tmp_path: Path, tallies: list[Tally]
) -> None:
    async with outage("rabbitmq", tmp_path / "broker") as (broker, url):
        backends = Backends("production", database, url, mongodb_database)
        async with deployed(backends, tmp_path, tallies) as scene:
            await comes_through(scene, "broker restarted", broker.stop, broker.start)
            await comes_through(scene, "broker killed", broker.kill, broker.start)


@pytest.mark.parametrize("profile", ["production", "embedded"])
async def test_services_come_through_an_immediate_restart_of_postgres(
    profile: str, request: pytest.FixtureRequest, tmp_path: Path, tallies: list[Tally]
) -> None:
    """Under the embedded profile it is the database, the bus and the log store."""
    with tempfile.TemporaryDirectory(prefix="headrace-postgres-") as folder, contextlib.ExitStack() as stack:

        async def start() -> str:
            # In this thread: the server takes the end of the thread that started it for ours.
            return stack.enter_context(running_postgres(Path(folder)))

        async def end_at_once() -> None:
            """SIGQUIT is Postgres's immediate shutdown: nobody is waited for, and nothing written back."""
            os.kill(int((Path(folder) / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
            stack.close()

        dsn = await start()
        namespace = f"outage-{uuid.uuid4().hex[:12]}."
        backends = Backends("embedded", dsn, dsn, dsn)
        if profile == "production":
            bus, logs = request.getfixturevalue("rabbitmq_url"), request.getfixturevalue("mongodb_database")
            backends = Backends("production", dsn, bus, logs, namespace)
        async with deployed(backends, tmp_path, tallies) as scene:
            await comes_through(scene, "Postgres restarted at once", end_at_once, start)
        if profile == "production":
            await delete_queues(backends.bus_url, Names(2, namespace))


@pytest.mark.rabbitmq
@pytest.mark.mongodb
async def test_runs_do_not_wait_for_the_log_store_and_its_records_do(
    database: str, rabbitmq_url: str, tmp_path: Path, tallies: list[Tally]
) -> None:
    namespace = f"outage-{uuid.uuid4().hex[:12]}."
    async with outage("mongodb", tmp_path / "logs") as (store, url):
        logs = urlunsplit(urlsplit(url)._replace(path="/logs"))
        backends = Backends("production", database, rabbitmq_url, logs, namespace)
        async with (
            deployed(backends, tmp_path, tallies) as scene,
            scene.scenario("log store away") as scenario,
        ):
            await store.stop()
            scenario.begin(count=5, wanted=Wanted(calls=ONCE))
            await scenario.begun()
            await scenario.now_under_way()
            await scenario.settle()
            assert await searched(scene.fleet, scenario.first) is None
            await store.start()
            for run_id in scenario.runs:
                async with asyncio.timeout(30):
                    while not await searched(scene.fleet, run_id):
                        await asyncio.sleep(0.2)  # nothing tells of a record's arrival
    await delete_queues(rabbitmq_url, Names(2, namespace))


async def searched(fleet: Fleet, run_id: str) -> list[str] | None:
    """The messages that a search for a run's end finds; None while searching says that the store is away."""
    response = await fleet.http.post(
        "/graphql",
        json={
            "query": 'query ($run: ID!) { logs(filter: {run: $run, words: "run finished"}) { items { message } } }',
            "variables": {"run": run_id},
        },
        headers={"authorization": f"Bearer {fleet.api_key}"},
    )
    body = response.json()
    if errors := body.get("errors"):
        assert errors[0]["extensions"]["code"] == "LOG_STORE_UNAVAILABLE", body
        return None
    return [item["message"] for item in body["data"]["logs"]["items"]]
