"""Which queues there are, and what they are called where several Headraces share a bus."""

from dataclasses import dataclass, replace

from headrace.bus.port import DEAD, JOBS, LOGS, events_queue, jobs_queue
from headrace.pools import DEFAULT_POOL


@dataclass(frozen=True, slots=True)
class Names:
    """`namespace` stands before each name on the bus; inside, names are without it."""

    partitions: int
    namespace: str = ""
    pools: tuple[str, ...] = ()  # beside the default pool

    @property
    def mark(self) -> str:
        """What stands on a broker for the deployment whose queues they are."""
        return f"{self.namespace}headrace.deployment"

    def outside(self, queue: str) -> str:
        """What our queue is called on the bus."""
        return self.namespace + queue

    def inside(self, name: str) -> str:
        """Which queue of ours a name on the bus means."""
        return name.removeprefix(self.namespace)

    def queues(self) -> tuple[str, ...]:
        """All, without the namespace; `dead` first, for the others point at it."""
        events = (events_queue(n) for n in range(self.partitions))
        return (DEAD, JOBS, LOGS, *events, *map(jobs_queue, self.pools))

    def with_pool(self, pool: str) -> "Names":
        """The same, with the queue of this pool's jobs."""
        if pool == DEFAULT_POOL or pool in self.pools:
            return self
        return replace(self, pools=(*self.pools, pool))
