"""Runs services as child processes: starts them, restarts what crashes, and leaves none behind."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# A service that lives this long has recovered: its next crash is a first one again.
_SETTLED_SECONDS = 30.0
_LONGEST_PAUSE = 10.0
# How a service ends whose settings are wrong (`headrace.process`): starting it again would not mend them.
_WRONG_SETTING = 2
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Service:
    """What to run. `environment` is all that the process sees; it may hold secrets, so it is not printed. With a
    `gate`, that is its standard input."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    folder: Path | None = None
    gate: "Gate | None" = None


class Gate:
    """A pipe in which nothing is ever written: who reads it goes on once it is opened, and at once from then on."""

    def __init__(self) -> None:
        reader, writer = os.pipe()
        self.reader, self._writer = os.fdopen(reader, "rb"), os.fdopen(writer, "wb")

    def open(self) -> None:
        self._writer.close()

    def close(self) -> None:
        """Let nobody be started at it any more."""
        self._writer.close()
        self.reader.close()


Announce = Callable[[str, str], None]
"""Takes the service's name and one line that it wrote."""


@dataclass(frozen=True, slots=True)
class Patience:
    """In seconds: how long an end may take before it is forced, and the pause before the first restart.

    The pause doubles with each crash in a row; after more than `crashes` in a row it is over, None: never.
    """

    grace: float = 20.0
    first_pause: float = 0.5
    crashes: int | None = 5


class Supervisor:
    """Keeps services running until `stop`. Each is in a process group of its own.

    So Ctrl-C reaches this process alone, which stops the services in an order in which each can still say
    what it has to say: the last started first.
    """

    def __init__(self, announce: Announce, logs: Path, patience: Patience = Patience()) -> None:
        self._announce = announce
        self._logs = logs
        self._patience = patience
        self._kept: list[Kept] = []
        self.gave_up: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def start(self, service: Service) -> "Kept":
        """Start a service and keep it running from now on."""
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{service.name}.log"
        kept = Kept(service, self._announce, log, self.give_up, self._patience)
        self._kept.append(kept)
        await kept.start()
        return kept

    async def stop(self) -> None:
        """End each service, the last started first; kill what takes too long. Idempotent."""
        while self._kept:
            await self._kept.pop().stop()

    async def end(self, kept: "Kept") -> int | None:
        """End one service, as `stop` does; its exit status, None if it was not running."""
        self._kept.remove(kept)
        return await kept.stop()

    def pids(self) -> dict[str, int]:
        """The processes that run now, by service."""
        return {kept.service.name: kept.pid for kept in self._kept if kept.pid is not None}

    def give_up(self, name: str) -> None:
        """Tell those who wait for `gave_up` that this one does not come back."""
        if not self.gave_up.done():
            self.gave_up.set_result(name)


class Kept:
    """One service and its process of the moment."""

    def __init__(
        self,
        service: Service,
        announce: Announce,
        log: Path,
        give_up: Callable[[str], None],
        patience: Patience,
    ) -> None:
        self.service = service
        self._announce = announce
        self._log = log
        self._give_up = give_up
        self._patience = patience
        self._running: _Running | None = None
        self._task: asyncio.Task[int | None] | None = None
        self._stopping = asyncio.Event()
        self.first_line: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """The first line that the service wrote on standard output."""

    @property
    def pid(self) -> int | None:
        process = self._running.process if self._running else None
        return process.pid if process and process.returncode is None else None

    async def start(self) -> None:
        self._running = await _spawn(self.service)
        self._task = asyncio.create_task(self._keep(self._running))

    async def stop(self) -> int | None:
        """The exit status; None if the process had ended before."""
        if self._task is None:
            return None
        self._stopping.set()
        if self._running:
            self._running.signal(signal.SIGTERM)
        _, slow = await asyncio.wait([self._task], timeout=self._patience.grace)
        if slow and self._running:
            self._announce(self.service.name, f"did not end within {self._patience.grace:.0f} s; killed")
            self._running.signal(signal.SIGKILL)
        return await self._task

    async def _keep(self, running: "_Running") -> int | None:
        """Until it is stopped: the exit status then, None if the process was not running."""
        crashes, pause = 0, self._patience.first_pause
        while True:
            began = time.monotonic()
            code = await self._watch(running)
            if self._stopping.is_set():
                return code
            if time.monotonic() - began > _SETTLED_SECONDS:
                crashes, pause = 0, self._patience.first_pause
            crashes += 1
            if code == _WRONG_SETTING:
                self._announce(self.service.name, "does not start again by itself: a setting is wrong")
                self._give_up(self.service.name)
                return None
            if self._patience.crashes is not None and crashes > self._patience.crashes:
                self._announce(self.service.name, f"ended with {code} {crashes} times in a row; giving up")
                self._give_up(self.service.name)
                return None
            self._announce(self.service.name, f"ended with {code}; started again in {pause:.1f} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
                    return None
            pause = min(pause * 2, _LONGEST_PAUSE)
            running = self._running = await _spawn(self.service)
            if self._stopping.is_set():
                running.signal(signal.SIGTERM)

    async def _watch(self, running: "_Running") -> int:
        """Take in what the process writes until it ends; its exit code."""
        reading = asyncio.gather(
            self._lines(running.output, is_output=True), self._lines(running.errors, is_output=False)
        )
        code = await running.process.wait()
        # What a service may have started itself goes with it, and so closes the pipes.
        running.signal(signal.SIGKILL)
        await reading
        return code

    async def _lines(self, stream: asyncio.StreamReader, is_output: bool) -> None:
        with self._log.open("ab") as log:
            while line := await _line(stream):
                log.write(line)
                log.flush()
                text = line.decode(errors="replace").rstrip()
                if is_output and not self.first_line.done():
                    self.first_line.set_result(text)
                self._announce(self.service.name, text)


@dataclass(frozen=True, slots=True)
class _Running:
    """A process and the two streams that it writes."""

    process: asyncio.subprocess.Process
    output: asyncio.StreamReader
    errors: asyncio.StreamReader

    def signal(self, number: signal.Signals) -> None:
        """Signal the process's whole group, if there is still one."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


async def _spawn(service: Service) -> _Running:
    # Pipes of our own: with asyncio's, `wait` does not return while a grandchild holds one of them open.
    (output, output_end), (errors, errors_end) = await _pipe(), await _pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *service.arguments,
            env=dict(service.environment),
            cwd=service.folder,
            stdin=service.gate.reader if service.gate else asyncio.subprocess.DEVNULL,
            stdout=output_end,
            stderr=errors_end,
            process_group=0,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )
    finally:
        os.close(output_end)
        os.close(errors_end)
    return _Running(process, output, errors)


async def _pipe() -> tuple[asyncio.StreamReader, int]:
    """A reader of our end and the descriptor of the other. The reader closes its end at the end."""
    ours, theirs = os.pipe()
    reader = asyncio.StreamReader(limit=1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb", 0)
    )
    return reader, theirs


async def _line(stream: asyncio.StreamReader) -> bytes:
    """The next line, or the beginning of one that is longer than the reader's limit."""
    try:
        return await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as end:
        return end.partial
    except asyncio.LimitOverrunError as overrun:
        return await stream.read(overrun.consumed)


def die_with_parent() -> None:
    """In the child: be ended by the kernel if the supervisor is killed. See prctl(2); Linux alone has it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
