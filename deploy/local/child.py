"""A server as a child process: started, waited for, and ended by its id. And where it is installed to."""

import contextlib
import ctypes
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import stopping

START_SECONDS = 60.0
STOP_SECONDS = 20.0
_PR_SET_PDEATHSIG = 1


@contextlib.contextmanager
def running(
    command: Sequence[str], end: Callable[[subprocess.Popen[bytes]], None], **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """`command` as a child of this process, with `subprocess.Popen`'s options; `end` ends and reaps it on leaving.

    On Linux it is told to leave by the kernel where this process is killed, and nobody is left to end it.
    """
    if sys.platform == "linux":
        options.setdefault("preexec_fn", _leave_with_parent)
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

    Its standard input ends when we do, however that comes about. Raises `RuntimeError` when the port is taken, and
    with its output's end when it does not start.
    """
    require_free(port)
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


def keep(made: Path, place: Path) -> None:
    """Put the folder `made` in its place, unless another installation was quicker: what it made is the same."""
    try:
        made.rename(place)
    except OSError:
        if not place.exists():
            raise


def spare_port() -> int:
    """A port of the loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require_free(port: int) -> None:
    """Raises `RuntimeError` when somebody listens on that port of the loopback: who waits for a server of its own to
    listen there would take that one for it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as why:
            raise RuntimeError(
                f"port {port} can not be had ({why.strerror}): end what listens there, or choose another by --port"
            ) from None


def _leave_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


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
