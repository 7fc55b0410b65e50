"""Searching and following logs through the API; what a store finds is its own suite's matter."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from headrace.ids import new_id
from headrace.logstore.port import LogStore
from headrace.messages import LogLevel, LogRecord

from tests.integration.control_plane_runs.acting import Client, orders, publish, started, with_role

_NOW = datetime.now(UTC)


@pytest.fixture
async def tenant(admin: asyncpg.Connection) -> UUID:
    found: UUID = await admin.fetchval("SELECT id FROM tenants WHERE name = 'acme'")
    return found


def record(tenant: UUID, run: str | UUID, message: str, seconds: float = 0, **other: Any) -> LogRecord:
    at = _NOW + timedelta(seconds=seconds)
    other.setdefault("level", LogLevel.INFO)
    return LogRecord(id=new_id(), tenant_id=tenant, run_id=UUID(str(run)), at=at, message=message, **other)


async def search(client: Client, **wanted: Any) -> Any:
    page = {name: wanted.pop(name) for name in ("first", "after") if name in wanted}
    return await client(
        """query($filter: LogFilter, $first: Int! = 50, $after: String) {
             logs(filter: $filter, first: $first, after: $after) {
               items { id runId at level message step attempt context } pageInfo { hasNextPage endCursor } } }""",
        filter=wanted,
        **page,
    )


async def messages(client: Client, **wanted: Any) -> list[str]:
    return [found["message"] for found in (await search(client, **wanted))["items"]]


async def test_logs_are_searched_newest_first(acme: Client, log_store: LogStore, tenant: UUID) -> None:
    await publish(acme, orders())
    run, other = await started(acme), await started(acme)
    await log_store.append(
        [
            record(tenant, run, "order 17 fetched", 0, step="fetch", attempt=1, context={"ms": 3}),
            record(tenant, run, "order 17 refused", 1, step="refund", level=LogLevel.ERROR),
            record(tenant, other, "order 18 fetched", 2, step="fetch", level=LogLevel.WARN),
        ]
    )
    assert await messages(acme) == ["order 18 fetched", "order 17 refused", "order 17 fetched"]
    assert await messages(acme, words="fetched ORDER") == ["order 18 fetched", "order 17 fetched"]
    assert await messages(acme, level="WARN") == ["order 18 fetched", "order 17 refused"]
    assert await messages(acme, run=run, step="fetch") == ["order 17 fetched"]
    since, until = (_NOW + timedelta(seconds=n) for n in (1, 2))
    assert await messages(acme, since=since.isoformat(), until=until.isoformat()) == ["order 17 refused"]
    (found,) = (await search(acme, run=run, step="fetch"))["items"]
    assert (found["runId"], found["attempt"], found["context"], found["level"]) == (run, 1, {"ms": 3}, "INFO")


async def test_pages_stay_the_same_while_records_arrive(
    acme: Client, log_store: LogStore, tenant: UUID
) -> None:
    run = new_id()
    await log_store.append([record(tenant, run, f"line {n}", n) for n in range(5)])
    seen: list[str] = []
    after = None
    while True:
        page = await search(acme, first=2, after=after, words="line")
        seen += [found["message"] for found in page["items"]]
        await log_store.append([record(tenant, run, "line later", 100)])
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert seen == [f"line {n}" for n in (4, 3, 2, 1, 0)]


async def test_a_search_that_can_not_be_made_is_refused(acme: Client) -> None:
    query = "query($f: LogFilter, $n: Int! = 5, $a: String) { logs(filter: $f, first: $n, after: $a) { items { id } } }"
    for wrong in ({"f": {"words": "w " * 600}}, {"n": 0}, {"a": "nonsense"}):
        assert (await acme.error(query, **wrong))["extensions"]["code"] == "INVALID_INPUT"
    assert (await acme.error(query, f={"run": "no id"}))["extensions"]["code"] == "NOT_FOUND"


async def test_logs_are_followed_as_they_come(acme: Client, log_store: LogStore, tenant: UUID) -> None:
    run = new_id()
    await log_store.append([record(tenant, run, "before", -60), record(tenant, run, "lately", -1)])
    query = "subscription($f: LogFilter) { logTail(filter: $f) { message level } }"
    wanted = {"run": str(run), "since": (_NOW - timedelta(seconds=30)).isoformat(), "level": "INFO"}
    async with acme.subscribe(query, f=wanted) as tail:
        assert await tail.next() == {"message": "lately", "level": "INFO"}
        await log_store.append(
            [
                record(tenant, run, "too fine", 1, level=LogLevel.DEBUG),
                record(tenant, new_id(), "another run's", 1),
                record(tenant, run, "now", 1, level=LogLevel.ERROR),
            ]
        )
        assert await tail.next() == {"message": "now", "level": "ERROR"}


async def test_another_tenants_logs_are_not_there(
    acme: Client, stranger: Client, log_store: LogStore, tenant: UUID
) -> None:
    run = new_id()
    await log_store.append([record(tenant, run, "secret matters")])
    assert await messages(stranger) == []
    assert await messages(stranger, run=str(run), words="secret") == []
    assert await messages(await with_role(acme, "VIEWER"), words="secret") == ["secret matters"]
