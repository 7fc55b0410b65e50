"""A burst of runs through the services, event by event: what rate the measured costs lead to.

Each service is a queue with one worker, the stores with one for each core. Who is at work shares the cores evenly, as
an operating system does it. A run holds a place on its runner from its claim to its end; while the target takes its
time, nobody works on it. Nothing is drawn by lot: the same question has the same answer.
"""

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headrace_cli.capacity.coefficients import ONE_CORE

_BEFORE = ("driver", "control-plane", "postgres", "rabbitmq")
_AFTER = ("target", "reporter", "postgres", "log-store")


@dataclass(frozen=True, slots=True)
class Site:
    """How many cores there are, how many processes of each service share them, and how many runs a runner holds."""

    cores: int
    processes: Mapping[str, int]
    in_flight: int = 200


def runs_per_second(
    cpu_ms: Mapping[str, float], calls: int, delay_ms: float, site: Site, runs: int = 600
) -> float:
    """Of a burst of so many runs: `cpu_ms` is each run's by service, `calls` are made one after another, and the target
    takes `delay_ms` over each. What comes after a run's end, its way into the database, counts, too."""
    model = _Site(cpu_ms, calls, delay_ms / 1000, site)
    return runs / model.play(runs)


class _Site:
    def __init__(self, cpu_ms: Mapping[str, float], calls: int, delay: float, site: Site) -> None:
        self._cores = site.cores
        self._workers = {
            name: site.processes.get(name, 1) if name in ONE_CORE else site.cores for name in cpu_ms
        }
        self._places = site.in_flight * site.processes.get("runner", 1)
        self._queues: dict[str, deque[tuple[int, float]]] = {name: deque() for name in cpu_ms}
        # What is being worked on: [seconds left, run], by service.
        self._working: dict[str, list[list[float]]] = {name: [] for name in cpu_ms}
        self._stages = _stages(cpu_ms, calls, delay)

    def play(self, runs: int) -> float:
        """Seconds until the last of them has passed every stage."""
        now, left = 0.0, runs
        waiting, holding = deque(range(runs)), 0
        at = [0] * runs
        delayed: list[tuple[float, int]] = []
        release = self._release()

        def proceed(run: int) -> None:
            nonlocal left, holding
            if at[run] == release:
                holding -= 1
            if at[run] == len(self._stages):
                left -= 1
                return
            service, seconds = self._stages[at[run]]
            at[run] += 1
            if service is None:
                heapq.heappush(delayed, (now + seconds, run))
            else:
                self._queues[service].append((run, seconds))

        while left:
            while waiting and holding < self._places:
                holding += 1
                proceed(waiting.popleft())
            self._fill()
            busy = sum(len(working) for working in self._working.values())
            speed = min(1.0, self._cores / busy) if busy else 1.0
            ends = [job[0] / speed for working in self._working.values() for job in working]
            step = min([*ends, *([delayed[0][0] - now] if delayed else [])])
            now += step
            done: list[int] = []
            for working in self._working.values():
                for job in working:
                    job[0] -= step * speed
                done += [int(job[1]) for job in working if job[0] <= 1e-12]
                working[:] = [job for job in working if job[0] > 1e-12]
            while delayed and delayed[0][0] <= now + 1e-12:
                done.append(heapq.heappop(delayed)[1])
            for run in done:
                proceed(run)
        return now

    def _fill(self) -> None:
        for name, queue in self._queues.items():
            working = self._working[name]
            while queue and len(working) < self._workers[name]:
                run, seconds = queue.popleft()
                working.append([seconds, run])

    def _release(self) -> int:
        """The stage before which a run leaves its place on the runner."""
        return max((place + 1 for place, (name, _) in enumerate(self._stages) if name == "runner"), default=0)


def _stages(cpu_ms: Mapping[str, float], calls: int, delay: float) -> Sequence[tuple[str | None, float]]:
    """A run's way: half of what the stores do is done before it, half behind it; the runner's part in as many pieces as
    there are waits for the target, and one more."""
    seconds = {name: used / 1000 for name, used in cpu_ms.items()}
    both = set(_BEFORE) & set(_AFTER)

    def share(name: str) -> float:
        return seconds.get(name, 0.0) / (2 if name in both else 1)

    stages: list[tuple[str | None, float]] = [(name, share(name)) for name in _BEFORE if name in seconds]
    pieces = calls + 1
    for piece in range(pieces):
        if piece and delay:
            stages.append((None, delay))
        if "runner" in seconds:
            stages.append(("runner", seconds["runner"] / pieces))
    return [*stages, *((name, share(name)) for name in _AFTER if name in seconds)]
