"""Suspects: a run whose last holders have all died is advanced in a process of its own.

A run that takes its runner down with it takes the runner's other runs down too, and those that are in a long
call make no more progress than it does: by counting deaths alone nobody can tell them apart. So whoever has
seen several holders die is tried where nothing else can die with it. An innocent one goes on from there; a
poisonous one is soon a dead letter. A process, and not merely a pause of all other work: the runner would have
to wait for its longest call before it were alone.
"""

import asyncio
import contextlib
import sys

import structlog
from headrace.messages import Job

_log = structlog.get_logger(__name__)

# Processes side by side. Suspects beyond that are let go, and come again with the sweeper.
MOST = 2


class Isolation:
    """Starts the processes of this runner's suspects. They read the settings from the same environment."""

    def __init__(self, draining: asyncio.Event) -> None:
        self._draining = draining
        self._running = 0

    async def advance(self, job: Job) -> None:
        """Return when the run ended, parked or was left, or when it ended its process; never because of it."""
        if self._running >= MOST:
            return
        self._running += 1
        try:
            await self._advance(job)
        finally:
            self._running -= 1

    async def _advance(self, job: Job) -> None:
        _log.warning("run is tried alone", run_id=str(job.run_id), tenant_id=str(job.tenant_id))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headrace_runner.alone", stdin=asyncio.subprocess.PIPE
        )
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        leaving = asyncio.create_task(self._draining.wait())
        ended = asyncio.create_task(process.wait())
        try:
            with contextlib.suppress(ConnectionError):
                process.stdin.write(job.encode() + b"\n")
                await process.stdin.drain()
            await asyncio.wait({leaving, ended}, return_when=asyncio.FIRST_COMPLETED)
            process.stdin.close()
            status = await ended
        finally:
            # The end of its input asks the process to leave, also when we are cancelled or killed.
            process.stdin.close()
            leaving.cancel()
            ended.cancel()
        if status != 0:
            _log.error("run ended the process that it was alone in", run_id=str(job.run_id), status=status)
