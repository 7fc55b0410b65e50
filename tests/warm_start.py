"""Services as processes that begin with their modules imported, which is most of what a start costs.

For each service there is a process that has imported it and nothing else; it forks when one is wanted. What a test
gets is what `python -m` gives: a process of its own, with its own environment, folder and output. Linux only, for
its process descriptors; elsewhere, and for what measures a service, processes are started from nothing.
"""

import array
import asyncio
import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

SERVER = Path(__file__).parent / "warm_server.py"
# Idle ones beyond these are ended: each holds a service's modules.
MOST = 9


class Process(Protocol):
    """As much of `asyncio.subprocess.Process` as tests use."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    async def wait(self) -> int: ...

    def send_signal(self, signal: int, /) -> None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


def possible() -> bool:
    return hasattr(os, "pidfd_open")


async def started(module: str, environment: Mapping[str, str], folder: Path, log: Path) -> Process:
    """`python -m module`, with this environment, in this folder; it writes to `log`."""
    server = _server(module, environment)
    server.starting += 1
    start = asyncio.ensure_future(asyncio.to_thread(server.fork, environment, folder, log))
    start.add_done_callback(lambda _: server.has_started())
    try:
        return await asyncio.shield(start)
    except asyncio.CancelledError:
        start.add_done_callback(lambda done: done.exception() or done.result().kill())
        raise


class _Forked:
    """A process that a server forked. Its descriptor names it alone, also when its number is given anew."""

    def __init__(self, server: "_Server", pid: int) -> None:
        self._server, self.pid = server, pid
        # Whoever forked it has not reaped it yet, so the number is still its own.
        self._descriptor = os.pidfd_open(pid)
        self._ended = select.poll()
        self._ended.register(self._descriptor, select.POLLIN)
        self._returncode: int | None = None

    @property
    def returncode(self) -> int | None:
        if self._returncode is None and self._ended.poll(0):
            self._returncode = self._server.reap(self.pid)
            os.close(self._descriptor)
        return self._returncode

    async def wait(self) -> int:
        while (code := self.returncode) is None:
            ended = asyncio.Event()
            # A descriptor of this wait's own: others may wait for the same process.
            descriptor = os.dup(self._descriptor)
            asyncio.get_running_loop().add_reader(descriptor, ended.set)
            try:
                await ended.wait()
            finally:
                asyncio.get_running_loop().remove_reader(descriptor)
                os.close(descriptor)
        return code

    def send_signal(self, signal: int, /) -> None:
        if self.returncode is None:
            _send_signal(self._descriptor, signal)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _send_signal(descriptor: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(descriptor, number)


class _Server:
    """A process that has imported `module` and forks; see warm_server.py, which is what runs there."""

    def __init__(self, module: str, environment: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._living: set[int] = set()
        self.starting = 0  # processes that were asked for and are not there yet
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(SERVER), module, str(theirs.fileno())],
                env=dict(environment),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._answers = self._socket.makefile("r", encoding="utf-8")

    @property
    def idle(self) -> bool:
        return not self._living and not self.starting

    def has_started(self) -> None:
        self.starting -= 1

    def fork(self, environment: Mapping[str, str], folder: Path, log: Path) -> _Forked:
        wanted = {"environment": dict(environment), "folder": str(folder)}
        with log.open("wb") as out, self._lock:
            pid = self._ask(wanted, out.fileno())
            self._living.add(pid)
            return _Forked(self, pid)

    def reap(self, pid: int) -> int:
        """The status of a process that has ended, negative for a signal's."""
        with self._lock:
            self._living.discard(pid)
            return self._ask({"reap": pid})

    def close(self) -> None:
        """Its end takes along what it forked and is still there."""
        self._answers.close()
        self._socket.close()
        self._process.wait()

    def _ask(self, question: Mapping[str, Any], *descriptors: int) -> int:
        rights = (
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        )
        text = (json.dumps(question) + "\n").encode()
        sent = self._socket.sendmsg([text], rights)
        self._socket.sendall(text[sent:])
        answer = self._answers.readline()
        if not answer:
            raise AssertionError(f"what forks services ended with {self._process.wait()}")
        return int(answer)


_servers: dict[str, _Server] = {}


def _server(module: str, environment: Mapping[str, str]) -> _Server:
    """The one for this module, and for what takes effect while modules are imported."""
    early = {
        name: value for name, value in environment.items() if name.startswith(("PYTHON", "HEADRACE_TEST_"))
    }
    key = json.dumps([module, early], sort_keys=True)
    server = _servers.pop(key, None) or _Server(module, {"PATH": environment["PATH"], **early})
    _servers[key] = server
    for other in [k for k, each in _servers.items() if each.idle and k != key][
        : max(0, len(_servers) - MOST)
    ]:
        _servers.pop(other).close()
    return server


@atexit.register
def _close_all() -> None:
    for server in _servers.values():
        server.close()
