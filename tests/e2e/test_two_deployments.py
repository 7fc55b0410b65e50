"""Two deployments, each with a database of its own, that are led to the same queues by mistake."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from databases import fresh_database
from designer import Designer
from fleet import Backends, Fleet, free_port
from headrace.bus.names import Names
from rabbitmq_queues import delete_queues
from target import Target

SETTINGS = {"HEADRACE_PARTITIONS": "2"}


@pytest.fixture
async def other(postgres: str, backends: Backends, tmp_path: Path) -> AsyncIterator[Fleet]:
    """Another deployment, whose database was made for itself, on the bus of the first."""
    folder = tmp_path / "other"
    folder.mkdir()
    async with (
        fresh_database(postgres) as database,
        Fleet(replace(backends, database_url=database), folder, SETTINGS, warm=False) as other,
    ):
        yield other


async def ended(fleet: Fleet, *command: str, **settings: str) -> tuple[int, str, str]:
    """The exit status of a process of `fleet` that ends by itself, and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *command),
        env={**fleet.environment, **settings},
        cwd=fleet.folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def refused(fleet: Fleet, module: str, **settings: str) -> None:
    """The service ends, and says which setting is wrong and how to mend it."""
    status, _, said = await ended(fleet, module, **settings)
    (line,) = [line for line in said.splitlines() if line.startswith("setting ")]
    assert (status, line.split(":")[0]) == (2, "setting HEADRACE_BUS_NAMESPACE"), said
    assert "headrace own-queues" in line


async def own_queues(fleet: Fleet) -> tuple[int, dict[str, object]]:
    status, out, said = await ended(fleet, "headrace_cli.main", "own-queues", "--json")
    assert out, said
    return status, json.loads(out)


async def designer_of(fleet: Fleet, target: Target) -> Designer:
    designer = Designer(fleet)
    await designer.app("shop", target.url)
    await designer.action("shop", "read", "GET", "/read")
    await designer.publish({"workflow": "calls", "steps": [{"key": "read", "action": "shop/read"}]})
    return designer


async def test_the_second_one_is_refused_until_the_first_is_gone(
    fleet: Fleet, other: Fleet, target: Target
) -> None:
    await fleet.start_all()
    designer = await designer_of(fleet, target)
    target.hold("/read")
    run = await designer.start("calls")
    await target.called("/read")
    await asyncio.gather(*(refused(other, module) for module in ("headrace_control", "headrace_reporter")))
    status, answer = await own_queues(other)
    assert (status, answer["error"]["code"]) == (2, "CONFLICT")  # type: ignore[index]
    target.release("/read")
    assert (await designer.ended(run))["status"] == "SUCCESS"

    control_plane, *takers = fleet.services
    for service in takers:
        assert await service.stop() == 0
    assert await own_queues(other) == (0, {"left": {}})
    ready = await fleet.http.get("/ready")
    assert (ready.status_code, ready.json()["checks"]["bus"]) == (503, "failing (ForeignQueues)")
    await other.start_all()
    run = await (designer := await designer_of(other, target)).start("calls")
    assert (await designer.ended(run))["status"] == "SUCCESS"
    await refused(fleet, "headrace_reporter")
    assert await control_plane.stop() == 0


@pytest.fixture
async def own_namespace(backends: Backends) -> AsyncIterator[str]:
    namespace = f"{backends.namespace}other."
    yield namespace
    if backends.bus_url.startswith("amqp"):
        await delete_queues(backends.bus_url, Names(2, namespace))


async def test_a_runner_of_the_second_one_takes_no_job_of_the_first(
    fleet: Fleet, other: Fleet, own_namespace: str, target: Target
) -> None:
    """Only its runner was led to the wrong queues."""
    await fleet.control_plane()
    await fleet.reporter()
    await other.control_plane(HEADRACE_BUS_NAMESPACE=own_namespace)
    run = await (designer := await designer_of(fleet, target)).start("calls")
    await refused(other, "headrace_runner", HEADRACE_HEALTH_PORT=str(free_port()))
    await fleet.runner()
    assert (await designer.ended(run))["status"] == "SUCCESS"
