"""The signals as Prometheus's metrics."""

import time
from collections.abc import Callable

from headrace.telemetry.figures import Figures
from prometheus_client import CollectorRegistry, Gauge

from headrace_control.scaling.model import Scaling
from headrace_control.scaling.signals import Signals

PERIOD_SECONDS = 5.0

# A metric, the field of `Scaling` that it shows, and what it means.
_TOTALS = (
    ("headrace_backlog", "backlog", "Jobs ready, and due dispatches that a runner could take now."),
    ("headrace_load", "load", "The backlog and the jobs in runners' hands: what the fleet is scaled by."),
    ("headrace_jobs_ready", "ready", "Jobs ready in the broker."),
    ("headrace_jobs_unacked", "unacked", "Jobs taken by runners and not acknowledged."),
    ("headrace_dispatches_due", "due", "Dispatches that are due and not sent."),
    ("headrace_dispatches_in_flight", "runs_in_flight", "Dispatches sent and not yet parked or ended."),
    ("headrace_dispatches_oldest_seconds", "oldest_seconds", "For how long the oldest waits to be claimed."),
    ("headrace_runners", "runners", "Runners with a live lease."),
    ("headrace_fleet_capacity", "capacity", "Runs that these runners can hold."),
    ("headrace_fleet_held", "held", "Runs that these runners named in their last renewals."),
)


class ScalingGauges:
    """Read anew every few seconds, and not shown while they can not be read; for how long, their age tells. Series by
    queue and by pool are as many as there are, those by tenant are bounded."""

    def __init__(
        self, signals: Signals, shown_in: CollectorRegistry, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._signals = signals
        self._figures = Figures("the fleet", shown_in, clock)
        registry = self._figures.registry
        Gauge(
            "headrace_figures_age_seconds",
            "For how long the figures of the fleet were not read anew.",
            registry=shown_in,
        ).set_function(self._figures.age)
        self._totals = [(Gauge(name, told, registry=registry), field) for name, field, told in _TOTALS]
        self._pools = [
            (Gauge(f"headrace_runner_pool_{name}", told, ["pool"], registry=registry), name)
            for name, told in (
                ("backlog", "Of a runner pool: jobs ready, and due dispatches that a runner could take now."),
                ("load", "Of a runner pool: the backlog and the jobs in runners' hands."),
                ("due", "Of a runner pool: dispatches that are due and not sent."),
                ("oldest_seconds", "Of a runner pool: for how long the oldest waits to be claimed."),
                ("runs_in_flight", "Of a runner pool: dispatches sent and not yet parked or ended."),
                ("runners", "Of a runner pool: runners with a live lease."),
                ("capacity", "Of a runner pool: runs that these runners can hold."),
                ("held", "Of a runner pool: runs that these runners hold."),
            )
        ]
        self._queue = Gauge(
            "headrace_queue_ready", "Messages ready in a queue.", ["queue"], registry=registry
        )
        self._tenants = [
            (Gauge(f"headrace_tenant_{name}", told, ["tenant_id"], registry=registry), field)
            for name, field, told in (
                ("dispatches_due", "due", "Of a tenant with much due: dispatches due and not sent."),
                ("dispatches_in_flight", "in_flight", "Of such a tenant: dispatches sent."),
                ("dispatches_oldest_seconds", "oldest_seconds", "Of such a tenant: age of the oldest due."),
            )
        ]

    async def run(self) -> None:
        """Work until cancelled; what can not be read now is tried again."""
        await self._figures.keep_reading(self.read, PERIOD_SECONDS)

    async def read(self) -> None:
        self.show(await self._signals.current())

    def show(self, scaling: Scaling) -> None:
        for gauge, field in self._totals:
            gauge.set(getattr(scaling, field))
        for gauge, field in self._pools:
            gauge.clear()
            for pool, own in scaling.pools.items():
                gauge.labels(pool).set(getattr(own, field))
        self._queue.clear()
        for queue, depth in scaling.queues.items():
            self._queue.labels(queue).set(depth.ready)
        for gauge, field in self._tenants:
            gauge.clear()
            for tenant in scaling.tenants:
                gauge.labels(str(tenant.tenant_id)).set(getattr(tenant, field))
        self._figures.are_read()
