"""Runners of which one is stopped each second, by the clock, and replaced at once. A process of its own.

`python -m headrace_cli.bench.stopped_runners --runners 5 --every 1 --logs FOLDER` passes its environment on to them. It
writes a line of JSON for each runner that is told to leave, for each second in which none was, and for each runner that
has left; SIGTERM stops all.

A runner is forked from a process that has loaded its code already: to load it anew each second would take a core, and
what is looked at is how runners leave.
"""

import argparse
import asyncio
import contextlib
import itertools
import multiprocessing
import os
import sys
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import httpx
import orjson
from headrace_runner.main import main as run_runner
from headrace_runner.settings import RunnerSettings

from headrace_cli.bench.gauges import told
from headrace_cli.dev.deployment import HOST, spare_port
from headrace_cli.dev.supervisor import die_with_parent
from headrace_cli.ending import cancelled_by_signals
from headrace_cli.fleet.runners import GRACE_SECONDS

_HELD = "headrace_runs_held"
_ASK_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class _Runner:
    name: str
    process: ForkServerProcess
    port: int


class StoppedRunners:
    """`count` runners; with each `stop_oldest` the first of those that serve is told to leave, and another starts."""

    def __init__(self, context: ForkServerContext, http: httpx.AsyncClient, count: int, logs: Path) -> None:
        self._context, self._http, self._count, self._logs = context, http, count, logs
        self._grace = RunnerSettings().drain_seconds + GRACE_SECONDS
        self._numbers = itertools.count(1)
        self._working: list[_Runner] = []
        self._leaving: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Start those that are missing."""
        while len(self._working) < self._count:
            name, port = f"runner-{next(self._numbers)}", spare_port()
            environment = {**os.environ, "HEADRACE_HEALTH_PORT": str(port)}
            process = self._context.Process(target=_serve, args=(environment, self._logs / f"{name}.log"))
            process.start()
            self._working.append(_Runner(name, process, port))

    async def stop_oldest(self, at: float) -> None:
        """At that time of the loop's clock; what each holds is asked just before. One that does not answer is passed
        over: nearly always it still begins, carries no run, and a signal to it would show how Python begins."""
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(at - _ASK_SECONDS - clock())
        held = await asyncio.gather(*(self._held(runner) for runner in self._working))
        await asyncio.sleep(at - clock())
        for runner, runs in zip(list(self._working), held, strict=True):
            if runs is not None:
                self._working.remove(runner)
                self._leave(runner)
                _tell("stopped", runner=runner.name, held=runs)
                self.start()
                return
        _tell("none stopped")

    async def stop(self) -> None:
        while self._working:
            self._leave(self._working.pop())
        await asyncio.gather(*self._leaving)

    def _leave(self, runner: _Runner) -> None:
        runner.process.terminate()
        task = asyncio.create_task(self._left(runner))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _held(self, runner: _Runner) -> int | None:
        """The runs that it holds; None while it does not tell."""
        with contextlib.suppress(httpx.HTTPError):
            return told((await self._http.get(f"http://{HOST}:{runner.port}/metrics")).text, _HELD)
        return None

    async def _left(self, runner: _Runner) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        await asyncio.to_thread(runner.process.join, self._grace)
        if runner.process.exitcode is None:
            runner.process.kill()
            await asyncio.to_thread(runner.process.join)
        seconds = round(clock() - began, 3)
        _tell("left", runner=runner.name, status=runner.process.exitcode, seconds=seconds)


def _serve(environment: dict[str, str], log: Path) -> None:
    """A runner, in the forked process."""
    die_with_parent()
    with log.open("wb") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["headrace_runner"]
    run_runner()


def _tell(event: str, **told: Any) -> None:
    second = round(asyncio.get_running_loop().time(), 3)
    sys.stdout.buffer.write(orjson.dumps({"event": event, "second": second, **told}) + b"\n")
    sys.stdout.flush()


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m headrace_cli.bench.stopped_runners")
    parser.add_argument("--runners", type=int, required=True)
    parser.add_argument("--every", type=float, required=True)
    parser.add_argument("--logs", type=Path, required=True)
    options = parser.parse_args()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["headrace_cli.bench.stopped_runners"])
    clock = asyncio.get_running_loop().time
    http = httpx.AsyncClient(trust_env=False, timeout=_ASK_SECONDS)
    runners = StoppedRunners(context, http, options.runners, options.logs)
    with cancelled_by_signals(), contextlib.suppress(asyncio.CancelledError):
        try:
            runners.start()
            due = clock()
            while True:
                due += options.every
                await runners.stop_oldest(due)
        finally:
            await runners.stop()
            await http.aclose()


if __name__ == "__main__":
    asyncio.run(main())
