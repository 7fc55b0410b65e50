"""The supervisor with real child processes: what they write is heard, crashes are mended, none is left."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from headrace_cli.dev.supervisor import Gate, Patience, Service, Supervisor

IMPATIENT = Patience(grace=1.0, first_pause=0.02)


class Heard:
    """What the supervisor announced, and a way to wait for it."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self._changed = asyncio.Event()

    def __call__(self, name: str, line: str) -> None:
        self.lines.append((name, line))
        self._changed.set()

    async def until(self, wanted: Callable[[list[tuple[str, str]]], bool]) -> None:
        while not wanted(self.lines):
            self._changed.clear()
            await self._changed.wait()

    def count(self, text: str) -> int:
        return sum(text in line for _, line in self.lines)


def python(name: str, code: str) -> Service:
    return Service(name, [sys.executable, "-uc", code], {"PATH": os.environ["PATH"]})


FOREVER = "import signal, time; print('up'); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(600)"
SAYS_BYE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print('bye'), sys.exit(0)))
print('up'); time.sleep(600)
"""
WITH_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
print(child.pid); time.sleep(600)
"""


async def gone(pid: int) -> None:
    """Wait for the end of a process that may be nobody's child any more."""
    await asyncio.to_thread(psutil.wait_procs, [psutil.Process(pid)] if psutil.pid_exists(pid) else [], 20)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_lines_are_announced_and_kept(tmp_path: Path) -> None:
    heard = Heard()
    supervisor = Supervisor(heard, tmp_path, IMPATIENT)
    kept = await supervisor.start(
        python("talker", "import sys, time; print('one'); print('two', file=sys.stderr); time.sleep(600)")
    )
    assert await kept.first_line == "one"
    await heard.until(lambda _: heard.count("two") == 1)
    await supervisor.stop()
    assert sorted((tmp_path / "talker.log").read_text().splitlines()) == ["one", "two"]


async def test_a_line_without_end_stops_nothing(tmp_path: Path) -> None:
    heard = Heard()
    supervisor = Supervisor(heard, tmp_path, IMPATIENT)
    await supervisor.start(
        python("talker", "import time; print('x' * 3_000_000); print('after'); time.sleep(600)")
    )
    await heard.until(lambda _: heard.count("after") == 1)
    await supervisor.stop()


async def test_what_crashes_is_started_again(tmp_path: Path) -> None:
    heard = Heard()
    supervisor = Supervisor(heard, tmp_path, IMPATIENT)
    await supervisor.start(python("victim", FOREVER))
    await heard.until(lambda _: heard.count("up") == 1)
    first = supervisor.pids()["victim"]
    os.kill(first, signal.SIGKILL)
    await heard.until(lambda _: heard.count("up") == 2)
    assert supervisor.pids()["victim"] != first
    assert heard.count("ended with -9; started again") == 1
    await supervisor.stop()
    assert supervisor.pids() == {}


async def test_what_crashes_at_once_again_and_again_is_given_up(tmp_path: Path) -> None:
    heard = Heard()
    supervisor = Supervisor(heard, tmp_path, Patience(grace=1, first_pause=0.001))
    await supervisor.start(python("broken", "raise SystemExit(3)"))
    assert await supervisor.gave_up == "broken"
    assert heard.count("started again") == 5
    await supervisor.stop()


async def test_what_has_a_wrong_setting_is_not_started_again(tmp_path: Path) -> None:
    heard = Heard()
    supervisor = Supervisor(heard, tmp_path, IMPATIENT)
    await supervisor.start(python("wrong", "print('once'); raise SystemExit(2)"))
    assert await supervisor.gave_up == "wrong"
    await supervisor.stop()
    assert (heard.count("once"), heard.count("a setting is wrong")) == (1, 1)


async def test_the_last_started_ends_first(tmp_path: Path) -> None:
    heard = Heard()
    supervisor = Supervisor(heard, tmp_path)
    for name in ("base", "top"):
        await supervisor.start(python(name, SAYS_BYE))
    await heard.until(lambda _: heard.count("up") == 2)
    await supervisor.stop()
    assert [name for name, line in heard.lines if line == "bye"] == ["top", "base"]
    assert heard.count("started again") == 0


async def test_what_does_not_end_is_killed(tmp_path: Path) -> None:
    heard = Heard()
    supervisor = Supervisor(heard, tmp_path, Patience(grace=0.1))
    await supervisor.start(python("stubborn", STUBBORN))
    await heard.until(lambda _: heard.count("up") == 1)
    pid = supervisor.pids()["stubborn"]
    await supervisor.stop()
    await gone(pid)


@pytest.mark.parametrize("end", ["stop", "crash"])
async def test_what_a_service_started_goes_with_it(tmp_path: Path, end: str) -> None:
    supervisor = Supervisor(Heard(), tmp_path, IMPATIENT)
    kept = await supervisor.start(python("parent", WITH_CHILD))
    grandchild = int(await kept.first_line)
    if end == "crash":
        os.kill(supervisor.pids()["parent"], signal.SIGKILL)
    else:
        await supervisor.stop()
    await gone(grandchild)
    await supervisor.stop()


async def test_a_stop_during_the_pause_before_a_restart_is_final(tmp_path: Path) -> None:
    heard = Heard()
    supervisor = Supervisor(heard, tmp_path, Patience(grace=1, first_pause=600))
    await supervisor.start(python("broken", "raise SystemExit(3)"))
    await heard.until(lambda _: heard.count("started again") == 1)
    await supervisor.stop()
    assert supervisor.pids() == {}


ORPHANS = """
import asyncio, os, sys
from pathlib import Path
from headrace_cli.dev.supervisor import Service, Supervisor
async def main():
    supervisor = Supervisor(lambda name, line: None, Path(sys.argv[1]))
    kept = await supervisor.start(Service("s", [sys.executable, "-uc", %r], {}))
    await kept.first_line
    print(supervisor.pids()["s"], flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's word to orphans is Linux's")
async def test_services_end_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ORPHANS % FOREVER, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    service = int(await process.stdout.readline())
    process.kill()
    await process.wait()
    await gone(service)


AT_A_GATE = """
import sys, time
print('loaded'); sys.stdin.read()
print('running since', time.monotonic()); time.sleep(600)
"""


async def test_who_waits_at_a_gate_goes_on_when_it_is_opened_and_at_once_when_started_again(
    tmp_path: Path,
) -> None:
    heard = Heard()
    supervisor = Supervisor(heard, tmp_path, IMPATIENT)
    with contextlib.closing(Gate()) as gate:
        kept = await supervisor.start(replace(python("held", AT_A_GATE), gate=gate))
        await heard.until(lambda _: heard.count("loaded") == 1)
        opened = time.monotonic()
        gate.open()
        await heard.until(lambda _: heard.count("running") == 1)
        [since] = [float(line.split()[-1]) for _, line in heard.lines if "running" in line]
        assert since >= opened
        assert kept.pid is not None
        os.kill(kept.pid, signal.SIGKILL)
        await heard.until(lambda _: heard.count("running") == 2)
        await supervisor.stop()


async def test_who_waits_at_a_gate_is_ended_there(tmp_path: Path) -> None:
    heard = Heard()
    supervisor = Supervisor(heard, tmp_path, IMPATIENT)
    with contextlib.closing(Gate()) as gate:
        held = await supervisor.start(replace(python("held", AT_A_GATE), gate=gate))
        await held.first_line
        await supervisor.stop()
    assert heard.count("running") == 0
