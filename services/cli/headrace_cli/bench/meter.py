"""What processes use: CPU seconds by group, and the most memory by group, watched while something runs."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psutil

DRIVER, TARGET = "driver", "target"
OTHERS = frozenset({"postgres", "rabbitmq", "log-store", TARGET})
_SAMPLE_SECONDS = 0.5
# Looking through all processes of a machine costs more than looking at the few that matter.
_LOOKS_PER_GROUPING = 10


@dataclass(slots=True)
class Usage:
    """Of one measured time: CPU seconds, the most megabytes of memory, the most that stood in a queue."""

    cpu: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    depth: dict[str, int] = field(default_factory=dict)


Depths = Callable[[], Awaitable[Mapping[str, int]]]


class Meter:
    """Watches groups of processes, each named by what it is and led by one process, whose descendants count too.

    Of this process, the driver, descendants do not count: they are the services.
    """

    def __init__(self, leaders: Mapping[str, int], depths: Depths) -> None:
        self._leaders = {name: psutil.Process(pid) for name, pid in leaders.items()}
        self._depths = depths

    def beside(self, leaders: Mapping[str, int]) -> "Meter":
        """One for these groups and the servers and the target of this one, without Headrace's own."""
        kept = {name: leader.pid for name, leader in self._leaders.items() if name in OTHERS}
        return Meter({**kept, **leaders}, self._depths)

    def also(self, leaders: Mapping[str, int]) -> "Meter":
        """One for the groups of this one and these."""
        known = {name: leader.pid for name, leader in self._leaders.items()}
        return Meter({**known, **leaders}, self._depths)

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[Usage]:
        """What is used inside; complete when left."""
        usage = Usage()
        before = self.cpu()
        enough = asyncio.Event()
        # Told to end rather than cancelled: a question to the broker that is broken off closes its channel.
        sampling = asyncio.create_task(self._sample(usage, enough))
        try:
            yield usage
        finally:
            enough.set()
            await sampling
        after = self.cpu()
        usage.cpu = {name: after[name] - before[name] for name in after}

    def cpu(self) -> dict[str, float]:
        """CPU seconds since each group began; of children that have ended too, once their parent has waited for them
        (cutime in proc(5))."""
        groups = self._groups()
        used = {name: _cpu(leader, groups[name]) for name, leader in self._leaders.items()}
        own = os.times()
        return {**used, DRIVER: own.user + own.system}

    async def _sample(self, usage: Usage, enough: asyncio.Event) -> None:
        """Megabytes by group: what each process has to itself, and the largest of what they share."""
        looks, groups = 0, self._groups()
        while True:
            last = enough.is_set()
            if looks % _LOOKS_PER_GROUPING == 0:
                groups = self._groups()
            looks += 1
            for name, leader in self._leaders.items():
                usage.memory[name] = max(usage.memory.get(name, 0.0), _memory(leader, groups[name]))
            for queue, waiting in (await self._depths()).items():
                usage.depth[queue] = max(usage.depth.get(queue, 0), waiting)
            if last:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SAMPLE_SECONDS):
                    await enough.wait()

    def _groups(self) -> dict[str, list[psutil.Process]]:
        """The descendants of each leader, from one look at all processes."""
        children: dict[int, list[psutil.Process]] = {}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                children.setdefault(process.ppid(), []).append(process)
        return {name: list(_descendants(leader.pid, children)) for name, leader in self._leaders.items()}


def listener(url: str) -> int | None:
    """The process that listens at the URL's port on this machine; None when it is elsewhere, or not to be seen."""
    parts = urlsplit(url)
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (parts.port,):
                return connection.pid
    except psutil.AccessDenied:
        return None
    return None


def _descendants(pid: int, children: Mapping[int, Sequence[psutil.Process]]) -> Iterator[psutil.Process]:
    for child in children.get(pid, ()):
        yield child
        yield from _descendants(child.pid, children)


def _cpu(leader: psutil.Process, descendants: Sequence[psutil.Process]) -> float:
    total = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        own = leader.cpu_times()
        total = own.user + own.system + own.children_user + own.children_system
        for child in descendants:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = child.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total


def _memory(leader: psutil.Process, descendants: Sequence[psutil.Process]) -> float:
    own, shared = 0, 0
    for process in (leader, *descendants):
        with contextlib.suppress(psutil.NoSuchProcess):
            found = process.memory_info()
            together = getattr(found, "shared", 0)
            own, shared = own + found.rss - together, max(shared, together)
    return (own + shared) / 2**20
