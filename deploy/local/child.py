"""A server as a child process: started, waited for, and ended by its id."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

START_SECONDS = 60.0
STOP_SECONDS = 20.0


@contextlib.contextmanager
def listening(command: Sequence[str], port: int, folder: Path) -> Iterator[None]:
    """`command` runs, and listens on the loopback's `port`; its output goes to `folder`/console.log.

    Its standard input ends when we do, however that comes about. Raises `RuntimeError` with its output's end
    when it does not start.
    """
    log = folder / "console.log"
    with log.open("ab") as console:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=console, stderr=console, start_new_session=True
        )
    try:
        _wait_until_ready(process, port, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin:
            process.stdin.close()


def spare_port() -> int:
    """A port of the loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    end = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    raise RuntimeError(f"the server did not start:\n{end}")
