"""python -m headrace_runner.alone: a runner for the one job on its standard input; see `isolation`."""

import asyncio
import resource
import sys

from headrace.bus.port import Delivery, jobs_queue
from headrace.process import configure_logging, read_settings, run

from headrace_runner.main import serve
from headrace_runner.settings import RunnerSettings

# To report the last events and to give up the lease.
LEAVE_SECONDS = 4.0


async def serve_alone(settings: RunnerSettings, stopping: asyncio.Event) -> None:
    """Advance the run; leave when it is done, on a signal, or at the end of the input: the runner is leaving."""
    reader = asyncio.StreamReader()
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    job = await reader.readline()
    watching = asyncio.create_task(_until_the_end(reader, stopping))
    try:
        await serve(settings, stopping, Delivery(jobs_queue(settings.pool), job))
    finally:
        watching.cancel()
        pipe.close()


async def _until_the_end(reader: asyncio.StreamReader, stopping: asyncio.Event) -> None:
    await reader.read()
    stopping.set()


def _bound_memory(mebibytes: int) -> None:
    """Have what is asked for beyond that refused: a `MemoryError`. Linux counts all private memory (RLIMIT_DATA in
    getrlimit(2)), other systems less.

    Where a container ends as a whole at its limit (`memory.oom.group` of cgroup v2, which Kubernetes sets),
    the runner beside us would end with us.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = mebibytes * 2**20
    resource.setrlimit(
        resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
    )


def main() -> None:
    given = read_settings(RunnerSettings)
    _bound_memory(given.suspect_memory_mb)
    # The health port is the runner's; and it should see us leave before it stops waiting.
    drain_seconds = max(given.drain_seconds - LEAVE_SECONDS, 0)
    settings = given.model_copy(update={"capacity": 1, "health_port": None, "drain_seconds": drain_seconds})
    configure_logging("runner", settings.log_level)
    run(lambda stopping: serve_alone(settings, stopping))


if __name__ == "__main__":
    main()
