"""`python deploy/local` leaves no child behind, whenever a signal comes."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

LOCAL = Path(__file__).resolve().parents[2] / "deploy" / "local"

# Each way, the signal comes while nobody but Popen knows of the child: before its fork, and before its exec.
COMMAND = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[1])
import child, stopping

def signal_parent():
    os.kill(os.getppid(), signal.SIGINT)

stopping.listen()
ways = {"before the exec": {"preexec_fn": signal_parent}, "before the fork": {}}
way = ways[sys.argv[2]]
if not way:
    os.kill(os.getpid(), signal.SIGINT)
ended_by = []

def end(process):
    child.end_in_order(process)
    ended_by.append(-process.returncode)

try:
    with child.running(["sleep", "600"], end, **way):
        while True:
            stopping.check()
            time.sleep(0.01)
except stopping.Stopped as stopped:
    # A child that ignores signals, as one does that inherits it, has to be killed.
    sys.exit(128 + stopped.number if ended_by == [signal.SIGTERM] else 1)
"""


@pytest.mark.parametrize("way", ["before the fork", "before the exec"])
async def test_a_signal_ends_what_is_just_being_started(way: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, LOCAL, way, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        # Its end comes when nobody holds the output any more, the child included.
        assert await process.stdout.read() == b""
    assert await process.wait() == 128 + signal.SIGINT
