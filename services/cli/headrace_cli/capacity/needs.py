"""What a load needs: rates, cores, processes, storage, by the measured coefficients."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from headrace_cli.capacity.coefficients import DATABASE_KB, ONE_CORE, WAL_KB, Coefficients

_DAY = 86_400
# The runner's own time with a run, beside the target's: what a run waits for turns, confirms and flushes.
_OVERHEAD_MS = 200.0
_PER_RUNNER = 200


@dataclass(frozen=True, slots=True)
class Load:
    """`peak` is how many times the day's mean the busiest minute has; processes are planned for `share` of a core. The
    target takes `target_ms` over a call and answers `kilobytes`; `waits` for days are in each run on average, of
    `wait_days`. Ended runs are kept for `kept_days`."""

    runs_per_day: float
    calls: float = 3.0
    steps: float = 3.0
    kilobytes: float = 1.0
    target_ms: float = 200.0
    waits: float = 0.0
    wait_days: float = 3.0
    peak: float = 3.0
    share: float = 0.6
    kept_days: float = 30.0

    @property
    def features(self) -> Mapping[str, float]:
        """Of one run."""
        return {
            "run": 1.0,
            "step": self.steps,
            "call": self.calls,
            "kilobyte": self.calls * self.kilobytes,
            "wait": self.waits,
        }


@dataclass(frozen=True, slots=True)
class Need:
    """Of one service at the peak: CPU milliseconds per run, cores that are busy, processes of it (for the stores: cores
    to give them)."""

    service: str
    cpu_ms: float
    busy: float
    processes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What the load comes to. Rates are of the peak; `parked` runs wait at any time."""

    runs_per_second: float
    in_flight: float
    parked: float
    needs: tuple[Need, ...]
    wal_mb_per_second: float
    database_gb: float
    database_gb_per_day: float

    @property
    def cores(self) -> float:
        return sum(need.busy for need in self.needs)


def plan(load: Load, measured: Coefficients) -> Plan:
    """For this load on machines like the measured one; a core that is twice as quick needs half of it."""
    rate = load.runs_per_day / _DAY * load.peak
    in_flight = rate * (load.calls * load.target_ms + _OVERHEAD_MS) / 1000
    needs = []
    for service, used in measured.cpu_ms(load.features).items():
        busy = rate * used / 1000
        processes = max(1, math.ceil(busy / load.share))
        if service == "runner":
            processes = max(processes, math.ceil(in_flight / (_PER_RUNNER * load.share)))
        if service in ONE_CORE and load.runs_per_day:
            processes = max(processes, 2)  # one may be down or be replaced
        needs.append(Need(service, used, busy, processes))
    kilobytes = {name: measured.by[name].of(load.features) for name in (DATABASE_KB, WAL_KB)}
    per_day = load.runs_per_day * kilobytes[DATABASE_KB] / 1e6
    return Plan(
        runs_per_second=rate,
        in_flight=in_flight,
        parked=load.runs_per_day * load.waits * load.wait_days,
        needs=tuple(needs),
        wal_mb_per_second=rate * kilobytes[WAL_KB] / 1e3,
        database_gb=per_day * load.kept_days,
        database_gb_per_day=per_day,
    )
