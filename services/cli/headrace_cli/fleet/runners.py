"""The runner processes: started, counted, and drained one by one."""

import asyncio
import itertools
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from headrace_cli.dev.supervisor import Announce, Kept, Patience, Service, Supervisor

# Beyond what a runner gives its steps: its last events are confirmed and its lease is given up.
GRACE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A runner that was told to leave. `status` 0: drained, it finished or handed back all that it held. None: it did
    not run at that moment, having crashed before."""

    runner: str
    status: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class _Runner:
    number: int
    kept: Kept


class Runners:
    """Keeps as many runners as `scale` said last. One that crashes is started again, after a pause that doubles.

    `environment` is what each sees; with a `health_port` they get that port and those after it. `ended` is told of each
    that was told to leave. `drain_seconds` is how long a runner's steps may take then.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        logs: Path,
        announce: Announce,
        ended: Callable[[Ended], None],
        *,
        drain_seconds: float,
        health_port: int | None = None,
    ) -> None:
        self._environment, self._health_port, self._told = environment, health_port, ended
        patience = Patience(grace=drain_seconds + GRACE_SECONDS, crashes=None)
        self._supervisor = Supervisor(announce, logs, patience)
        self._working: list[_Runner] = []
        self._leaving: dict[asyncio.Task[None], int] = {}

    @property
    def gave_up(self) -> asyncio.Future[str]:
        """Done when a runner ended that would end again: a setting is wrong."""
        return self._supervisor.gave_up

    @property
    def count(self) -> int:
        """Those that take runs."""
        return len(self._working)

    @property
    def draining(self) -> int:
        """Those that were told to leave, and are still there."""
        return len(self._leaving)

    async def scale(self, wanted: int) -> None:
        """Start what is missing; tell the youngest of those that are too many to leave, without waiting for it."""
        while self.count < wanted:
            await self._start()
        while self.count > wanted:
            self._leave(self._working.pop())

    async def stop(self) -> None:
        """Tell all to leave at once, and wait until none is there."""
        await self.scale(0)
        while self._leaving:
            await asyncio.wait(self._leaving)
        await self._supervisor.stop()

    async def _start(self) -> None:
        taken = {runner.number for runner in self._working} | set(self._leaving.values())
        number = next(n for n in itertools.count(1) if n not in taken)
        environment = dict(self._environment)
        if self._health_port is not None:
            environment["HEADRACE_HEALTH_PORT"] = str(self._health_port + number - 1)
        service = Service(f"runner-{number}", [sys.executable, "-m", "headrace_runner"], environment)
        self._working.append(_Runner(number, await self._supervisor.start(service)))

    def _leave(self, runner: _Runner) -> None:
        task = asyncio.create_task(self._drained(runner))
        self._leaving[task] = runner.number
        task.add_done_callback(self._leaving.pop)

    async def _drained(self, runner: _Runner) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        status = await self._supervisor.end(runner.kept)
        self._told(Ended(runner.kept.service.name, status, clock() - began))
