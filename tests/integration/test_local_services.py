"""`python deploy/local`: services without Docker."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest
import servers
from loopback import listens

pytestmark = pytest.mark.rabbitmq

LOCAL = Path(__file__).resolve().parents[2] / "deploy" / "local"
SAY_ADDRESS = "import os; print(os.environ['HEADRACE_TEST_RABBITMQ_URL'], flush=True)"


@pytest.fixture(autouse=True)
def installed() -> None:
    if not servers.local("rabbitmq").program():
        servers.missing("no RabbitMQ on this machine: python deploy/local install rabbitmq")


async def started(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, LOCAL, *arguments, stdout=asyncio.subprocess.PIPE
    )


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


async def test_run_gives_the_command_an_address_and_ends_with_its_status() -> None:
    process = await started(
        "run", "--only", "rabbitmq", "--", sys.executable, "-c", f"{SAY_ADDRESS}; raise SystemExit(7)"
    )
    url = await line(process)
    assert url.startswith("amqp://")
    assert await process.wait() == 7
    assert not await listens(port_of(url))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_command_and_the_server(number: signal.Signals) -> None:
    process = await started(
        "run",
        "--only",
        "rabbitmq",
        "--",
        sys.executable,
        "-c",
        f"{SAY_ADDRESS}; import time; time.sleep(600)",
    )
    url = await line(process)
    assert await listens(port_of(url))
    process.send_signal(number)
    assert await process.wait() == 128 + number
    assert not await listens(port_of(url))
