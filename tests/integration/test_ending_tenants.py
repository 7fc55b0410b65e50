"""The end of a tenant, as the owner of the tables and the runners see it."""

import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import pytest
from fixtures_claims import World
from headrace.ids import new_id
from headrace.postgres.migrate import migrate
from headrace.postgres.pool import WORKER, open_pool

from tests.databases import with_database

_END = "SELECT headrace_end_tenant($1, 1000)"


async def over(admin: Any, tenant: UUID) -> None:
    """Its deletion was asked for, and its time is over."""
    await admin.execute(
        """INSERT INTO tenant_deletions (tenant_id, asked_at, asked_by, asked_in, cancel_at, due_at)
           VALUES ($1, now() - interval '2 days', $1, $1, now() - interval '1 day', now() - interval '1 day')""",
        tenant,
    )


async def delete(worker: asyncpg.Pool, tenant: UUID) -> None:
    while await worker.fetchval(_END, tenant):
        pass


async def test_a_runner_that_holds_a_run_loses_it_and_its_job_is_refused(world: World) -> None:
    tenant, other = await world.tenant("one"), await world.tenant("other")
    runner = new_id()
    held, kept = await world.queued(tenant), await world.queued(other)
    claims = (await world.claim(runner, held, kept))["claims"]
    assert [claim["outcome"] for claim in claims] == ["GRANTED", "GRANTED"]
    await over(world.admin, tenant)
    await delete(world.pool, tenant)
    assert (await world.beat(runner, held[0], kept[0]))["lost"] == [str(held[0])]
    assert await world.outcome(new_id(), held) == "REFUSED"
    runs = [{"run_id": str(held[0]), "epoch": 1}]
    answer = await world.post("checkpoints", runner, runs=runs, wait=0)
    assert answer["runs"][0]["outcome"] == "CLOSED"


@pytest.fixture
async def plain_owner(postgres: str) -> AsyncIterator[str]:
    """A database of a login that is no superuser, as production's should be, with the newest schema."""
    name = f"plain_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(postgres)
    await admin.execute(f"CREATE ROLE {name} LOGIN CREATEROLE")
    for role in ("headrace_api", "headrace_worker", "headrace_bus", "headrace_audit"):
        with contextlib.suppress(asyncpg.DuplicateObjectError):
            await admin.execute(f"CREATE ROLE {role} NOLOGIN NOBYPASSRLS")
        await admin.execute(f"GRANT {role} TO {name}")
    await admin.execute(f"CREATE DATABASE {name} OWNER {name}")
    parts = urlsplit(with_database(postgres, name))
    host = parts.netloc.rpartition("@")[2]
    dsn = urlunsplit(parts._replace(netloc=f"{name}:@{host}"))
    await migrate(dsn, "headrace_control.migrations")
    yield dsn
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.execute(f"DROP ROLE {name}")
    await admin.close()


async def test_an_owner_that_bypasses_nothing_deletes_that_tenant_alone(
    plain_owner: str, postgres: str
) -> None:
    everything = await asyncpg.connect(with_database(postgres, urlsplit(plain_owner).path[1:]))
    try:
        tenants = [new_id(), new_id()]
        for n, tenant in enumerate(tenants):
            workflow, version = new_id(), new_id()
            for statement, *given in (
                ("INSERT INTO tenants (id, name) VALUES ($1, $2)", f"tenant-{n}"),
                ("INSERT INTO workflows (tenant_id, id, name) VALUES ($1, $2, 'w')", workflow),
                (
                    """INSERT INTO workflow_versions (tenant_id, id, workflow_id, version, status, document, resolved,
                       digest, published_at) VALUES ($1, $2, $3, 1, 'PUBLISHED', '{}', '{}', 'd', now())""",
                    version,
                    workflow,
                ),
                (
                    """INSERT INTO runs (id, tenant_id, workflow_id, version_id, dispatch_id)
                       VALUES ($2, $1, $3, $4, $2)""",
                    new_id(),
                    workflow,
                    version,
                ),
                (
                    """INSERT INTO logins (state_hash, browser_hash, nonce, verifier, tenant, challenge, redirect,
                       client_state, expires_at)
                       SELECT sha256(name::bytea), sha256('x'), 'n', 'v', name, 'c', 'r', 's', now() FROM tenants
                       WHERE id = $1""",
                ),
                (
                    """INSERT INTO bus_messages (queue, body, origin, reason)
                       VALUES ('dead', convert_to($1::uuid::text, 'UTF8'), 'jobs', 'x')""",
                ),
                (
                    """INSERT INTO audit_log (tenant_id, seq, id, at, actor_kind, actor_id, actor_name, action, target,
                       outcome, detail, correlation_id, previous, hash)
                       VALUES ($1, 1, $1, now(), 'SERVICE', $1, 'n', 'a', 't', 'DONE', '{}', '', sha256(''),
                       sha256(''))""",
                ),
            ):
                await everything.execute(statement, tenant, *given)
        counted = """SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM workflow_versions)
            + (SELECT count(*) FROM workflows) + (SELECT count(*) FROM audit_log) + (SELECT count(*) FROM tenants)
            + (SELECT count(*) FROM logins) + (SELECT count(*) FROM bus_messages)"""
        assert await everything.fetchval(counted) == 14
        await over(everything, tenants[0])
        async with await open_pool(plain_owner, WORKER) as worker:
            await delete(worker, tenants[0])
        assert await everything.fetchval(counted) == 7
        assert await everything.fetchval("SELECT id FROM tenants") == tenants[1]
    finally:
        await everything.close()
