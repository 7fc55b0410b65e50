"""What the services' metrics share: bounded labels, buckets, and figures that are read when they are asked for.

Names are OpenTelemetry's way (`headrace.run.duration`, in seconds) as Prometheus writes it:
`headrace_run_duration_seconds`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from headrace.postgres.pool import Pool

# Of calls: OpenTelemetry's buckets for durations of HTTP requests, and some above for what takes long.
CALL_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 300, 600)
# Of what lasts: from a run that calls nothing to one that waits for months.
RUN_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300, 900, 3600, 21_600, 86_400, 604_800, 2_592_000)
# Of what is to be done at once.
LAG_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

OTHER = "other"

Family = TypeVar("Family", bound=MetricWrapperBase)


class Bounded(Generic[Family]):
    """A metric whose first labels are names that tenants choose, of which there may be any number.

    `most` different sets of them get series of their own, the first to come; of the others the names are `other`.
    `names` is how many of the labels are such; the rest have few values.
    """

    def __init__(self, family: Family, names: int, most: int) -> None:
        self._family = family
        self._names, self._most = names, most
        self._known: set[tuple[str, ...]] = set()
        self._children: dict[tuple[str, ...], Family] = {}

    def of(self, *values: str) -> Family:
        child = self._children.get(values)
        if child is not None:
            return child
        name = values[: self._names]
        if name not in self._known:
            if len(self._known) >= self._most:
                others = (OTHER,) * self._names + values[self._names :]
                return self._family.labels(*others)
            self._known.add(name)
        made = self._children[values] = self._family.labels(*values)
        return made


class Read(Collector):
    """Shows what `read` answers whenever it is asked."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        return self._read()


def process_registry() -> CollectorRegistry:
    """A registry with what the process itself uses: CPU, memory, open files."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def count_from(
    registry: CollectorRegistry, name: str, words: str, label: str, counts: Callable[[], Mapping[str, int]]
) -> None:
    """A counter whose values somebody else keeps, by the values of one label."""

    def read() -> Iterable[Metric]:
        family = CounterMetricFamily(name, words, labels=[label])
        for value, count in sorted(counts().items()):
            family.add_metric([value], count)
        yield family

    registry.register(Read(read))


def watch_pools(registry: CollectorRegistry, pools: Mapping[str, Pool]) -> None:
    """Sessions with Postgres, by pool: used, idle, and how many there may be."""

    def read() -> Iterable[Metric]:
        sessions = GaugeMetricFamily(
            "headrace_pool_connections", "Sessions with Postgres.", labels=["pool", "state"]
        )
        most = GaugeMetricFamily("headrace_pool_connections_max", "Sessions at most.", labels=["pool"])
        for name, pool in pools.items():
            idle = pool.get_idle_size()
            _add(sessions, {(name, "idle"): idle, (name, "used"): pool.get_size() - idle})
            _add(most, {(name,): pool.get_max_size()})
        yield from (sessions, most)

    registry.register(Read(read))


def _add(family: GaugeMetricFamily, values: Mapping[Sequence[str], int]) -> None:
    for labels, value in values.items():
        family.add_metric(labels, value)
