"""A server as a child process: started, waited for, and ended by its id."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import stopping

START_SECONDS = 60.0
STOP_SECONDS = 20.0


@contextlib.contextmanager
def running(
    command: Sequence[str], end: Callable[[subprocess.Popen[bytes]], None], **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """`command` as a child of this process, with `subprocess.Popen`'s options; `end` ends and reaps it on leaving."""
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        end(process)


def end_in_order(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to one that still runs, and SIGKILL to one that is still there after `STOP_SECONDS`."""
    process.terminate()
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def listening(command: Sequence[str], port: int, folder: Path) -> Iterator[None]:
    """`command` runs, and listens on the loopback's `port`; its output goes to `folder`/console.log.

    Its standard input ends when we do, however that comes about. Raises `RuntimeError` with its output's end
    when it does not start.
    """
    log = folder / "console.log"
    with (
        log.open("ab") as console,
        running(
            command,
            _end_with_input,
            stdin=subprocess.PIPE,
            stdout=console,
            stderr=console,
            start_new_session=True,
        ) as process,
    ):
        _wait_until_ready(process, port, log)
        yield


def spare_port() -> int:
    """A port of the loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end_with_input(process: subprocess.Popen[bytes]) -> None:
    end_in_order(process)
    if process.stdin:
        process.stdin.close()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        stopping.check()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    end = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    raise RuntimeError(f"the server did not start:\n{end}")
