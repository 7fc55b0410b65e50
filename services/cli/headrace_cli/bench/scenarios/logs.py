"""`logs`: records on their way into the store, and pages of them read back."""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

from headrace.bus.open import open_bus
from headrace.bus.port import LOGS, Outgoing
from headrace.ids import new_id
from headrace.logstore.open import open_log_store
from headrace.messages import LogBatch, LogLevel, LogRecord

from headrace_cli.bench.scenario import Scenario
from headrace_cli.bench.scene import Scene, latency_of
from headrace_cli.bench.servers import PARTITIONS

_BATCH = 500  # records in a message, as many as a busy runner puts into one
_WINDOW = 20  # messages in a publish
_SEARCHES = {
    "newest": {},
    "words": {"words": "timeout order17"},
    "level": {"level": "ERROR"},
    "a word that is rare": {"words": "needle"},
}
_SEARCH = "query ($filter: LogFilter) { logs(filter: $filter, first: 50) { items { id message } } }"


async def play(scene: Scene, sizes: Mapping[str, int]) -> None:
    tenant = await scene.tenant("bench")
    await _fill(scene, UUID(tenant.id), sizes["stored"])
    async with scene.measured("ingest") as phase:
        await _publish(scene, UUID(tenant.id), sizes["records"])
        scene.truth.wrote(sizes["records"])
        await scene.truth.stored()
        phase.count, phase.unit = sizes["records"], "record"
    for name, wanted in _SEARCHES.items():
        clock = asyncio.get_running_loop().time
        took = []
        async with scene.measured(f"search: {name}") as phase:
            for _ in range(sizes["searches"]):
                began = clock()
                await tenant.driver.execute(_SEARCH, {"filter": wanted})
                took.append(clock() - began)
            phase.count, phase.unit, phase.latency = len(took), "page", latency_of(took)


async def _fill(scene: Scene, tenant: UUID, count: int) -> None:
    """What was stored before, by the store's own port."""
    scene.tell(f"  {count:,} records in the store ...")
    store = await open_log_store(scene.servers.log_store_url, retention=timedelta(days=30))
    try:
        for batch in _batches(tenant, count):
            await store.append(batch)
    finally:
        await store.close()
    scene.truth.wrote(count)


async def _publish(scene: Scene, tenant: UUID, count: int) -> None:
    """What runners would publish, as messages of the bus."""
    bus = await open_bus(
        scene.servers.bus_url, partitions=PARTITIONS, namespace=scene.servers.namespace, name="bench"
    )
    try:
        window: list[Outgoing] = []
        for batch in _batches(tenant, count):
            window.append(Outgoing(LOGS, LogBatch(batch).encode()))
            if len(window) == _WINDOW:
                await bus.publish(window, timeout=60)
                window = []
        if window:
            await bus.publish(window, timeout=60)
    finally:
        await bus.close()


def _batches(tenant: UUID, count: int) -> Iterator[list[LogRecord]]:
    """Records of many runs over the last hour, the newest last."""
    begun, levels = (
        datetime.now(UTC) - timedelta(hours=1),
        (LogLevel.INFO, LogLevel.INFO, LogLevel.WARN, LogLevel.ERROR),
    )
    run = new_id()
    for first in range(0, count, _BATCH):
        batch = []
        for n in range(first, min(first + _BATCH, count)):
            if n % 20 == 0:
                run = new_id()
            needle = " needle" if n % 50_000 == 0 else ""
            text = f"call of order{n % 1000} took {n % 97} ms, timeout in {n % 31} s{needle}"
            at = begun + timedelta(seconds=3600 * n / count)
            batch.append(
                LogRecord(new_id(), tenant, run, at, levels[n % 4], text, f"step{n % 9}", 1, {"n": n})
            )
        yield batch


SCENARIO = Scenario(
    "logs",
    "Log records through the bus into a store that holds a million, and pages of a search over them.",
    play,
    {"stored": 1_000_000, "records": 100_000, "searches": 50},
)
