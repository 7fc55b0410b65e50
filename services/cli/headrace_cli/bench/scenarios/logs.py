"""`logs`: records on their way into the store, and pages of them read back."""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import aiohttp
from headrace.bus.open import open_bus
from headrace.bus.port import LOGS, Outgoing
from headrace.errors import TimedOut, Unavailable
from headrace.ids import new_id
from headrace.logstore.open import open_log_store
from headrace.messages import LogBatch, LogLevel, LogRecord

from headrace_cli.bench.gauges import told
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
_STORED, _ASK_SECONDS = "headrace_log_records_stored_total", 0.05
_SEARCH = "query ($filter: LogFilter) { logs(filter: $filter, first: 50) { items { id message } } }"


async def play(scene: Scene, sizes: Mapping[str, int]) -> None:
    tenant = await scene.tenant("bench")
    await _fill(scene, UUID(tenant.id), sizes["stored"])
    async with scene.measured("ingest") as phase:
        await _publish(scene, UUID(tenant.id), sizes["records"])
        await _told_stored(scene, sizes["records"])
        phase.count, phase.unit = sizes["records"], "record"
    scene.truth.wrote(sizes["records"])
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


async def _told_stored(scene: Scene, count: int) -> None:
    """Wait until the reporters say that so many are stored. The store itself is asked when all is done: one that counts
    by reading all would spend the phase on that. Raises `TimedOut`, and `Unavailable` when a reporter does not say."""
    try:
        async with asyncio.timeout(scene.watch.seconds), aiohttp.ClientSession() as http:
            while True:
                if sum([await _stored_by(http, url) for url in scene.deployment.reporters]) >= count:
                    return
                await asyncio.sleep(_ASK_SECONDS)
    except TimeoutError:
        raise TimedOut(
            f"after {scene.watch.seconds:.0f} s there are log records that are not stored"
        ) from None


async def _stored_by(http: aiohttp.ClientSession, reporter: str) -> int:
    try:
        async with http.get(f"{reporter}/metrics") as answer:
            return told(await answer.text(), _STORED) or 0
    except aiohttp.ClientError as error:
        raise Unavailable(f"{reporter} can not be reached ({type(error).__name__})") from error


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
    # What a few messages take is told by how long they are gathered.
    least={"records": 20_000},
)
