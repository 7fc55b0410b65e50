"""What tests of a tenant's end have in common: a full tenant, the time that passes, and what is left."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
from headrace.ids import new_id
from headrace.messages import LogLevel, LogRecord

from tests.integration.control_plane_runs.acting import Client, orders, publish, started
from tests.integration.control_plane_runs.audit_examples import mutate

# Where a row says whose it is, by the catalogue: parents for their partitions.
_TABLES = """
SELECT c.relname AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND a.attname = 'tenant_id' AND NOT a.attisdropped
ORDER BY c.relname
"""


async def rows_of(admin: asyncpg.Connection, tenant_id: UUID) -> dict[str, int]:
    """How many rows of each table are the tenant's."""
    counts = {}
    for table in await admin.fetch(_TABLES):
        counts[table["name"]] = await admin.fetchval(
            f'SELECT count(*) FROM "{table["name"]}" WHERE tenant_id = $1', tenant_id
        )
    return counts


async def id_of(admin: asyncpg.Connection, name: str) -> UUID:
    found = await admin.fetchval("SELECT id FROM tenants WHERE name = $1", name)
    assert isinstance(found, UUID)
    return found


async def passes(admin: asyncpg.Connection, tenant_id: UUID, days: int) -> None:
    """So many days since its deletion was asked for."""
    await admin.execute(
        """UPDATE tenant_deletions SET asked_at = asked_at - $2::int * interval '1 day',
           cancel_at = cancel_at - $2::int * interval '1 day', due_at = due_at - $2::int * interval '1 day'
           WHERE tenant_id = $1""",
        tenant_id,
        days,
    )


async def ask(platform: Client, tenant: str = "acme", **given: Any) -> Any:
    return await mutate(
        platform,
        "deleteTenant",
        {"tenant": tenant, "confirm": tenant, **given},
        "... on TenantDeletion { tenantId askedAt cancelAt dueAt begunAt doneAt }",
    )


async def in_each_state(client: Client, admin: asyncpg.Connection) -> list[UUID]:
    """A run in each of the states; the first one is held by a runner."""
    states = ("RUNNING", "QUEUED", "WAITING", "PAUSED", "COMPENSATING", "SUCCESS", "FAILED", "CANCELED")
    await publish(client, orders())
    runs = [UUID(await started(client)) for _ in states]
    for run_id, status in zip(runs, states, strict=True):
        ended = "now()" if status in ("SUCCESS", "FAILED", "CANCELED") else "NULL"
        holder = new_id() if status == "RUNNING" else None
        await admin.execute(
            f"UPDATE runs SET status = $2, finished_at = {ended}, epoch = 1, claimed_by = $3 WHERE id = $1",
            run_id,
            status,
            holder,
        )
    return runs


def record_of(tenant_id: UUID, run_id: UUID) -> LogRecord:
    return LogRecord(new_id(), tenant_id, run_id, datetime.now(UTC), LogLevel.INFO, "said", None, None, {})


async def what_no_mutation_writes(admin: asyncpg.Connection, tenant_id: UUID, run_id: UUID) -> None:
    """A row of each table that other parts than the API write."""
    key, member = await admin.fetchval("SELECT id FROM data_keys WHERE tenant_id = $1", tenant_id), new_id()
    workflow, schedule, webhook, connection = [
        await admin.fetchval(f"SELECT id FROM {table} WHERE tenant_id = $1 LIMIT 1", tenant_id)
        for table in ("workflows", "schedules", "webhooks", "connections")
    ]
    for statement, *given in (
        ("INSERT INTO callback_keys (tenant_id, key_id, sealed) VALUES ($1, $2, 'x')", key),
        ("INSERT INTO quotas (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING",),
        ("INSERT INTO pool_grants (tenant_id, pool) VALUES ($1, 'default')",),
        ("INSERT INTO start_keys (tenant_id, key, run_id, digest) VALUES ($1, 'k', $2, 'd')", run_id),
        (
            """INSERT INTO approval_tokens (tenant_id, nonce, run_id, step, digest, seq, approved_by,
               approved_by_name, expires_at) VALUES ($1, $2, $3, 's', sha256('x'), 1, $2, 'n', now())""",
            new_id(),
            run_id,
        ),
        (
            """INSERT INTO attempts (tenant_id, run_id, step, number, epoch, outcome, started_at, duration_ms)
               VALUES ($1, $2, 's', 1, 1, 'SUCCESS', now(), 1)""",
            run_id,
        ),
        (
            """INSERT INTO cached_results (tenant_id, slot, action, run_id, step, kept_at, expires_at)
               VALUES ($1, sha256('x'), 'a', $2, 's', now(), now())""",
            run_id,
        ),
        ("INSERT INTO concurrency_slots (tenant_id, workflow_id, key) VALUES ($1, $2, 'x')", workflow),
        (
            """INSERT INTO concurrency_turns (tenant_id, workflow_id, key, run_id, dispatch_id, max_runs)
               VALUES ($1, $2, 'x', $3, $3, 1)""",
            workflow,
            run_id,
        ),
        (
            """INSERT INTO schedule_firings (tenant_id, id, schedule_id, at, outcome)
               VALUES ($1, $2, $3, now(), 'MISSED')""",
            new_id(),
            schedule,
        ),
        (
            """INSERT INTO webhook_deliveries (tenant_id, id, webhook_id, error) VALUES ($1, $2, $3, '{}')""",
            new_id(),
            webhook,
        ),
        ("INSERT INTO throttles (tenant_id, connection_id) VALUES ($1, $2)", connection),
        (
            "INSERT INTO members (tenant_id, id, email, role, invited_by) VALUES ($1, $2, 'a@b.c', 'ADMIN', 'x')",
            member,
        ),
        (
            """INSERT INTO sessions (tenant_id, id, member_id, hash, expires_at)
               VALUES ($1, $2, $3, 'h', now() + interval '1 day')""",
            new_id(),
            member,
        ),
        (
            """INSERT INTO login_codes (tenant_id, hash, member_id, challenge, redirect, expires_at)
               VALUES ($1, 'h', $2, 'c', 'r', now() + interval '1 day')""",
            member,
        ),
        (
            """INSERT INTO logins (state_hash, browser_hash, nonce, verifier, tenant, challenge, redirect, client_state,
               expires_at)
               SELECT sha256('x'), sha256('x'), 'n', 'v', name, 'c', 'r', 's', now() FROM tenants WHERE id = $1""",
        ),
    ):
        await admin.execute(statement, tenant_id, *given)
