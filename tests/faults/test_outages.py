"""A server of the deployment goes away for a while and comes back; the services are not touched."""

import asyncio
import contextlib
import tempfile
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit, urlunsplit

import pytest
import servers
from designer import Designer
from fixtures_rabbitmq import delete_queues
from fleet import Backends, Fleet, free_port
from headrace.bus.names import Names
from headrace_cli.embedded_postgres import running_postgres
from target import Target

from tests.faults.test_kills import prepare

PARTITIONS = 2
SETTINGS = {"HEADRACE_PARTITIONS": str(PARTITIONS)}
PATHS = ("/one", "/two", "/three")


class Outage:
    """A server of deploy/local on a fixed port and folder, stopped and started in its order."""

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


@contextlib.asynccontextmanager
async def outage(name: str, folder: Path) -> AsyncIterator[tuple[Outage, str]]:
    server = Outage(name, folder)
    try:
        yield server, await server.start()
    finally:
        await server.stop()


async def all_end_well(designer: Designer, target: Target, runs: list[str]) -> None:
    """Every run succeeds, and none of its steps was called twice."""
    for run_id in runs:
        assert (await designer.ended(run_id))["status"] == "SUCCESS"
    for path in PATHS:
        called = [call.key for call in target.of(path)]
        assert sorted(filter(None, called)) == sorted(f"{run_id}-{path[1:]}" for run_id in runs)


@pytest.mark.rabbitmq
@pytest.mark.mongodb
async def test_runs_go_on_when_the_broker_is_back(
    database: str, mongodb_database: str, target: Target, tmp_path: Path
) -> None:
    async with outage("rabbitmq", tmp_path / "broker") as (broker, url):
        backends = Backends("production", database, url, mongodb_database)
        async with Fleet(backends, tmp_path, SETTINGS) as fleet:
            await fleet.start_all(runners=2, reporters=2)
            designer = await prepare(fleet, target)
            target.hold("/two")
            runs = [await designer.start("three") for _ in range(10)]
            await target.called("/two", times=10)
            await broker.stop()
            target.release("/two")  # what they answer can be reported to nobody
            runs += [await designer.start("three") for _ in range(5)]
            await asyncio.sleep(10)
            assert len(target.of("/three")) == 0
            await broker.start()
            await all_end_well(designer, target, runs)


async def test_services_come_through_a_restart_of_postgres(target: Target, tmp_path: Path) -> None:
    """Under the embedded profile, where it is the database, the bus and the log store."""
    with tempfile.TemporaryDirectory(prefix="headrace-postgres-") as folder, contextlib.ExitStack() as stack:

        def start() -> str:
            # In this thread: the server takes the end of the thread that started it for ours.
            return stack.enter_context(running_postgres(Path(folder)))

        dsn = start()
        async with Fleet(Backends("embedded", dsn, dsn, dsn), tmp_path, SETTINGS) as fleet:
            await fleet.start_all(runners=2, reporters=2)
            designer = await prepare(fleet, target)
            target.hold("/two")
            runs = [await designer.start("three") for _ in range(10)]
            await target.called("/two", times=10)
            stack.close()
            target.release("/two")
            await asyncio.sleep(3)
            assert len(target.of("/three")) == 0
            assert start() == dsn
            runs.append(await started_again(designer))
            await all_end_well(designer, target, runs)
            assert all(service.process.returncode is None for service in fleet.services)


async def started_again(designer: Designer) -> str:
    """A run, as soon as the API takes one: a pool finds out by a failing query that its sessions are gone."""
    async with asyncio.timeout(30):
        while True:
            answer = await designer.do('mutation { startRun(workflow: "three") { ... on Run { id } } }')
            if run_id := answer["startRun"].get("id"):
                return str(run_id)
            await asyncio.sleep(0.2)


@pytest.mark.rabbitmq
@pytest.mark.mongodb
async def test_runs_do_not_wait_for_the_log_store_and_its_records_do(
    database: str, rabbitmq_url: str, target: Target, tmp_path: Path
) -> None:
    namespace = f"outage-{uuid.uuid4().hex[:12]}."
    async with outage("mongodb", tmp_path / "logs") as (store, url):
        logs = urlunsplit(urlsplit(url)._replace(path="/logs"))
        backends = Backends("production", database, rabbitmq_url, logs, namespace)
        async with Fleet(backends, tmp_path, SETTINGS) as fleet:
            await fleet.start_all()
            designer = await prepare(fleet, target)
            await store.stop()
            runs = [await designer.start("three") for _ in range(5)]
            await all_end_well(designer, target, runs)
            assert await searched(fleet, runs[0]) is None
            await store.start()
            for run_id in runs:
                async with asyncio.timeout(30):
                    while not await searched(fleet, run_id):
                        await asyncio.sleep(0.2)  # nothing tells of a record's arrival
    await delete_queues(rabbitmq_url, Names(PARTITIONS, namespace))


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
