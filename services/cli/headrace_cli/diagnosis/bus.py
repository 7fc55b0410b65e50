"""A look at the bus and the log store: whether they answer, and whether somebody takes what is in the queues."""

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from headrace.bus.port import DEAD, JOBS, LOGS, Bus, events_queue, jobs_queue
from headrace.errors import ForeignQueues, NotFound, Unavailable
from headrace.logstore.port import LogStore

from headrace_cli.diagnosis.finding import Finding, note, ok, wrong

# More than what reporters take in some seconds.
MANY = 10_000


async def examine_bus(
    bus: Bus, partitions: int, pools: Sequence[str] = (), deployment: UUID | None = None
) -> AsyncIterator[Finding]:
    """`pools` are the runner pools beside the default one, `deployment` is whose the queues should be."""
    try:
        if deployment is not None:
            yield await _whose(bus, deployment)
        of_pools = [(jobs_queue(pool), f"runner with HEADRACE_POOL={pool}") for pool in pools]
        for queue, whose in ((JOBS, "runner"), *of_pools, (LOGS, "reporter")):
            try:
                depth = await bus.depth(queue)
            except NotFound:
                yield wrong(f"queue {queue}", "it is missing", "a control plane makes it: see its log")
                continue
            said = f"{depth.ready} messages, {depth.consumers} consumers"
            if depth.ready and not depth.consumers:
                yield wrong(f"queue {queue}", said, f"start a {whose}; see its log")
            elif queue == LOGS and depth.ready > MANY:
                yield wrong(f"queue {queue}", said, "see whether the log store is away, or add reporters")
            else:
                yield ok(f"queue {queue}", said)
        for partition in range(partitions):
            queue = events_queue(partition)
            depth = await bus.depth(queue)
            said = f"{depth.ready} messages, {depth.consumers} consumers"
            if depth.ready and not depth.consumers:
                yield wrong(f"queue {queue}", said, "start a reporter; never purge it")
            elif depth.ready > MANY:
                yield wrong(f"queue {queue}", said, "see whether Postgres is slow or away; add reporters")
            else:
                yield ok(f"queue {queue}", said)
        if dead := (await bus.depth(DEAD)).ready:
            yield note(
                f"queue {DEAD}",
                f"{dead} messages that nobody could read",
                "docs/guides/recovery.md#dead-letters",
            )
    except ForeignQueues:
        detail = "they are another deployment's, which has another database"
        yield wrong("queues", detail, "another HEADRACE_BUS_NAMESPACE; or docs/runbook.md, to take them over")
    except Unavailable as error:
        yield wrong("bus", error.message, "see whether the broker runs, and HEADRACE_BUS_URL")


async def _whose(bus: Bus, deployment: UUID) -> Finding:
    if not await bus.own(deployment):
        detail = "not marked as this deployment's: another one on them would not be noticed"
        return wrong(
            "queues", detail, "give the broker's users their permissions: docs/operations.md#what-runs"
        )
    return ok("queues", "this deployment's")


async def examine_log_store(store: LogStore) -> Finding:
    try:
        await store.ping()
    except Unavailable as error:
        return wrong(
            "log store",
            error.message,
            "see whether it runs, and HEADRACE_LOG_STORE_URL; runs do not wait for it",
        )
    return ok("log store", "answers")
