"""The end of a tenant: everything of it goes, and nothing of its neighbour."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
import pytest
from headrace.errors import DatabaseUnavailable
from headrace.ids import new_id
from headrace.logstore.open import open_log_store
from headrace.logstore.port import LogQuery, LogStore
from headrace.messages import Event
from headrace.postgres.pool import API, AUDIT, WORKER, open_pool
from headrace.workflow.state import EventKind
from headrace_control.audit.sealer import Sealer
from headrace_control.tenant_deletion import ending
from headrace_control.tenant_deletion.ending import Endings
from headrace_control.tenants.service import bootstrap
from prometheus_client import CollectorRegistry

from tests.consenting_provider import ConsentingProvider
from tests.integration.control_plane_runs.acting import Client, Fleet, orders, publish, started
from tests.integration.control_plane_runs.audit_examples import (
    EXAMPLES,
    MUTATIONS,
    OF_THE_PLATFORM,
    Stage,
    mutate,
)
from tests.integration.control_plane_runs.ending_tenants import (
    ask,
    id_of,
    in_each_state,
    passes,
    record_of,
    rows_of,
    what_no_mutation_writes,
)
from tests.leftovers import holding
from tests.target import Target


@pytest.fixture
def egress(tmp_path: Path) -> Path:
    """To where a connection is authorized."""
    policy = tmp_path / "egress.yaml"
    policy.write_text("allow: [127.0.0.0/8]")
    return policy


@pytest.fixture
async def platform(http: httpx.AsyncClient, database: str) -> Client:
    async with await open_pool(database) as owner:
        return Client(http, (await bootstrap(owner, "platform", new_key=True)).key.text)


@pytest.fixture
async def endings(database: str, log_store: LogStore) -> AsyncIterator[Endings]:
    async with await open_pool(database, WORKER) as worker, await open_pool(database, API) as api:
        yield Endings(worker, api, log_store)


async def test_everything_of_it_goes_and_nothing_of_its_neighbour(
    acme: Client,
    stranger: Client,
    platform: Client,
    fleet: Fleet,
    admin: asyncpg.Connection,
    target: Target,
    database: str,
    log_store: LogStore,
    endings: Endings,
) -> None:
    stage = Stage(acme, platform, fleet, ConsentingProvider(target))
    for field in MUTATIONS:
        if field not in OF_THE_PLATFORM:
            await mutate(acme, field, await EXAMPLES[field](stage))
    tenant_id, other_id = await id_of(admin, "acme"), await id_of(admin, "stranger")
    runs, others = await in_each_state(acme, admin), await in_each_state(stranger, admin)
    await what_no_mutation_writes(admin, tenant_id, runs[0])
    async with await open_pool(database, AUDIT) as audit:
        await Sealer(audit, CollectorRegistry()).seal_all()
    await log_store.append([record_of(tenant_id, runs[0]), record_of(other_id, others[0])])
    await admin.execute(
        """INSERT INTO bus_messages (queue, body, origin, reason)
           SELECT 'dead', convert_to('{"tenant": "' || id || '"}', 'UTF8'), 'jobs', 'x' FROM tenants
           WHERE name IN ('acme', 'stranger')"""
    )
    asked = await ask(platform)
    before, neighbours = await rows_of(admin, tenant_id), await rows_of(admin, other_id)
    assert [name for name, rows in before.items() if not rows] == []
    words = [str(tenant_id), "acme", "a@b.c", *map(str, runs)]
    assert {*before, "tenants", "logins", "bus_messages"} <= await holding(admin, words)
    assert await endings.end_due() == 0
    assert await rows_of(admin, tenant_id) == before

    await passes(admin, tenant_id, 30)
    assert await endings.end_due() == 1
    assert {name: rows for name, rows in (await rows_of(admin, tenant_id)).items() if rows} == {
        "tenant_deletions": 1
    }
    assert await admin.fetchval("SELECT count(*) FROM tenants WHERE id = $1", tenant_id) == 0
    # Only the platform's admins' acts still name it.
    assert await holding(admin, words) <= {"tenant_deletions", "audit_inbox", "audit_log"}
    assert await rows_of(admin, other_id) == neighbours
    assert not (await log_store.search(LogQuery(tenant_id))).records
    assert len((await log_store.search(LogQuery(other_id))).records) == 1
    assert await admin.fetchval("SELECT count(*) FROM bus_messages") == 1
    # The neighbour's run goes on, and the key of the one that is gone opens nothing.
    await fleet.finish(str(others[0]))
    assert await admin.fetchval("SELECT status FROM runs WHERE id = $1", others[0]) == "SUCCESS"
    assert (await acme.error("{ me { role } }"))["extensions"]["code"] == "UNAUTHENTICATED"

    # What is left says when and how much, and nothing of what it was.
    stone = dict(await admin.fetchrow("SELECT * FROM tenant_deletions WHERE tenant_id = $1", tenant_id))
    counts = orjson.loads(stone["counts"])
    went = {name: rows for name, rows in before.items() if name not in ("tenant_deletions", "audit_inbox")}
    assert {name: counts[name] for name in went} == went
    assert (counts["tenants"], counts["bus_messages"]) == (1, 1)
    assert "acme" not in str(stone)
    (shown,) = (await platform("{ tenantDeletions { items { tenantId tenant doneAt counts } } }"))["items"]
    assert (shown["tenantId"], shown["tenant"], shown["counts"]) == (asked["tenantId"], None, counts)
    assert shown["doneAt"]
    done = await admin.fetch("SELECT tenant_id, target FROM audit_inbox WHERE action = 'tenant.deleted'")
    assert [tuple(row) for row in done] == [(await id_of(admin, "platform"), f"tenant/{tenant_id}")]
    # The name may be given again.
    made = await mutate(platform, "createTenant", {"name": "acme"})
    assert made["__typename"] == "NewTenant"


async def ended_row(admin: asyncpg.Connection, tenant_id: UUID) -> Any:
    return await admin.fetchrow("SELECT * FROM tenant_deletions WHERE tenant_id = $1", tenant_id)


async def due(platform: Client, acme: Client, admin: asyncpg.Connection) -> UUID:
    """A tenant with runs in each state whose time is over."""
    tenant_id = await id_of(admin, "acme")
    await in_each_state(acme, admin)
    await ask(platform)
    await passes(admin, tenant_id, 31)
    return tenant_id


async def test_who_dies_in_the_middle_is_followed_by_another(
    acme: Client,
    platform: Client,
    admin: asyncpg.Connection,
    database: str,
    endings: Endings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ending, "MOST", 10)
    await mutate(acme, "setSecret", {"name": "token", "value": "sealed under a key"})
    tenant_id = await due(platform, acme, admin)
    before = await rows_of(admin, tenant_id)
    assert before["data_keys"] == 1
    # Somebody holds a run: whoever deletes has got as far as that, and its lot is lost with its session.
    holder = await asyncpg.connect(database)
    lock = holder.transaction()
    await lock.start()
    await holder.execute("SELECT id FROM runs WHERE tenant_id = $1 FOR UPDATE", tenant_id)
    first = asyncio.create_task(endings.end_due())
    waits = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%headrace_end_tenant%'"
    async with asyncio.timeout(60):
        while (pid := await admin.fetchval(waits)) is None:
            await asyncio.sleep(0.02)
    await admin.execute("SELECT pg_terminate_backend($1)", pid)
    with pytest.raises(DatabaseUnavailable):
        await first
    await lock.rollback()
    await holder.close()
    begun = await ended_row(admin, tenant_id)
    assert begun["begun_at"] is not None
    assert begun["done_at"] is None
    left = await rows_of(admin, tenant_id)
    assert left["data_keys"] == 0, "keys go first"
    assert await admin.fetchval("SELECT keys_shredded_at FROM tenants WHERE id = $1", tenant_id), (
        "none is made"
    )
    assert left["runs"] == before["runs"]
    # Nobody takes it back any more, and two others go on at once.
    kept = await mutate(platform, "keepTenant", {"tenant": "acme"})
    assert kept["code"] == "CONFLICT"
    async with asyncio.timeout(60):
        while (await ended_row(admin, tenant_id))["done_at"] is None:
            await asyncio.gather(endings.end_due(), endings.end_due())
    assert not any(
        rows for name, rows in (await rows_of(admin, tenant_id)).items() if name != "tenant_deletions"
    )
    counts = orjson.loads((await ended_row(admin, tenant_id))["counts"])
    assert counts["runs"] == before["runs"]
    assert counts["workflow_versions"] == before["workflow_versions"]


async def test_a_log_store_that_is_away_holds_up_nobodys_rows(
    acme: Client,
    stranger: Client,
    platform: Client,
    admin: asyncpg.Connection,
    database: str,
    endings: Endings,
) -> None:
    tenants = [await id_of(admin, name) for name in ("acme", "stranger")]
    for name, tenant_id in zip(("acme", "stranger"), tenants, strict=True):
        await ask(platform, name)
        await passes(admin, tenant_id, 31)
    store = await open_log_store("mongodb://127.0.0.1:1/logs?timeoutMS=200", retention=timedelta(days=1))
    async with await open_pool(database, WORKER) as worker, await open_pool(database, API) as api:
        assert await Endings(worker, api, store).end_due() == 0
    await store.close()
    for tenant_id in tenants:
        assert {name for name, rows in (await rows_of(admin, tenant_id)).items() if rows} == {
            "tenant_deletions"
        }
        assert (await ended_row(admin, tenant_id))["done_at"] is None
    assert await endings.end_due() == 2
    assert (await ended_row(admin, tenants[1]))["done_at"] is not None


async def test_what_comes_late_is_kept_by_nobody(
    acme: Client,
    stranger: Client,
    platform: Client,
    fleet: Fleet,
    admin: asyncpg.Connection,
    log_store: LogStore,
    endings: Endings,
) -> None:
    await publish(stranger, orders())
    other = await started(stranger)
    await fleet.claim(other)
    other_id = await id_of(admin, "stranger")
    tenant_id = await due(platform, acme, admin)
    held = await admin.fetchval(
        "SELECT id FROM runs WHERE tenant_id = $1 AND claimed_by IS NOT NULL", tenant_id
    )
    assert await endings.end_due() == 1
    # Of one batch: what the runner of the run that is gone still says, and the end of a neighbour's.
    finished = {"status": "SUCCESS", "result": None}
    now = datetime.now(UTC)
    await fleet.applier.apply(
        [
            Event(tenant_id, held, 1, 1, EventKind.FINISHED, now, None, finished),
            Event(other_id, UUID(other), 1, 1, EventKind.FINISHED, now, None, finished),
        ]
    )
    assert await admin.fetchval("SELECT status FROM runs WHERE id = $1", UUID(other)) == "SUCCESS"
    assert await admin.fetchval("SELECT count(*) FROM dead_letters") == 0
    # Log records and records of the audit that were on their way.
    await log_store.append([record_of(tenant_id, held), record_of(other_id, UUID(other))])
    await admin.execute(
        """INSERT INTO audit_inbox (tenant_id, id, actor_kind, actor_id, actor_name, action, target, outcome)
           VALUES ($1, $2, 'SERVICE', $2, 'runner', 'connection.use', 'x', 'DONE')""",
        tenant_id,
        new_id(),
    )
    assert await endings.end_due() == 0, "it was ended before"
    assert (await rows_of(admin, tenant_id))["log_records"] == 1
    done_at = (await ended_row(admin, tenant_id))["done_at"]
    await endings.end_due(ending.LATE)
    assert {name for name, rows in (await rows_of(admin, tenant_id)).items() if rows} == {"tenant_deletions"}
    assert (await ended_row(admin, tenant_id))["done_at"] == done_at
    assert (await rows_of(admin, other_id))["log_records"] == 1
    told = "SELECT count(*) FROM audit_inbox WHERE action = 'tenant.deleted'"
    assert await admin.fetchval(told) == 1


async def test_runs_end_by_themselves_until_half_a_day_before_or_are_canceled_at_once(
    acme: Client, stranger: Client, platform: Client, admin: asyncpg.Connection, endings: Endings
) -> None:
    patient, hasty = await id_of(admin, "acme"), await id_of(admin, "stranger")
    for client in (acme, stranger):
        await in_each_state(client, admin)
    await ask(platform, "acme", graceDays=2)
    await ask(platform, "stranger", graceDays=2, cancelRuns=True)
    canceled = "SELECT array_agg(status ORDER BY status) FROM runs WHERE tenant_id = $1 AND cancel_requested"
    # A paused one waits for its end, and what is being undone goes on with that.
    asked = ["QUEUED", "RUNNING", "WAITING", "WAITING"]
    assert await endings.cancel_runs() == 4
    assert await admin.fetchval(canceled, patient) is None
    assert await admin.fetchval(canceled, hasty) == asked
    assert await endings.cancel_runs() == 0
    await admin.execute(
        """UPDATE tenant_deletions SET asked_at = asked_at - interval '37 hours',
           cancel_at = cancel_at - interval '37 hours', due_at = due_at - interval '37 hours'"""
    )
    assert await endings.cancel_runs() == 4
    assert await admin.fetchval(canceled, patient) == asked
    assert await endings.end_due() == 0
