"""What is kept for a time, and not for ever: records of the audit, keys of starts, tokens of approvals."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
from fixtures_claims import World
from headrace.ids import new_id
from headrace.postgres.pool import AUDIT, Pool, open_pool
from headrace_control.audit import pruning
from headrace_control.audit.pruning import Pruning
from headrace_control.expiry import expire as expiry
from headrace_control.expiry.expire import expire

from tests.integration.test_audit_sealing import Audit, audit, verified  # noqa: F401

KEPT = timedelta(days=90)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with await open_pool(database, AUDIT, max_size=4) as opened:
        yield opened


async def old_and_new(audit: Audit, name: str, old: int, new: int = 3) -> UUID:  # noqa: F811
    """A tenant's chain with so many records of a hundred days ago, and so many of now."""
    tenant = await audit.tenant(name)
    await audit.act(tenant, *(f"app/old-{n}" for n in range(old)))
    await audit.admin.execute(
        "UPDATE audit_inbox SET at = at - interval '100 days' WHERE tenant_id = $1", tenant
    )
    await audit.act(tenant, *(f"app/new-{n}" for n in range(new)))
    await audit.sealer.seal_all()
    return tenant


async def test_old_records_go_and_the_rest_proves_itself(audit: Audit, pool: Pool) -> None:  # noqa: F811
    mine, other = await old_and_new(audit, "mine", 5), await old_and_new(audit, "other", 0)
    whole = await audit.entries(mine)
    assert await Pruning(pool, KEPT).prune_all() == 5
    left = await audit.entries(mine)
    assert [one["seq"] for one in left] == [6, 7, 8, 9]
    assert left[:3] == whole[5:]
    said = left[3]
    assert (said["action"], said["actorName"]) == ("audit.prune", "control-plane")
    assert said["detail"] == {"seq": 5, "hash": whole[4]["hash"], "records": 5}
    assert verified(left).finding is None
    assert len(await audit.entries(other)) == 3
    # An export of before still proves itself, and what was recorded since follows.
    assert verified(whole).finding is None
    await audit.act(mine, "app/after")
    await audit.sealer.seal_all()
    assert verified(await audit.entries(mine)).seq == 10
    assert await Pruning(pool, KEPT).prune_all() == 0


async def test_a_chain_is_pruned_again_when_its_records_come_of_age(
    audit: Audit,  # noqa: F811
    pool: Pool,
    database: str,
) -> None:
    tenant = await old_and_new(audit, "mine", 5, 0)
    # Within a day of its age a record stays.
    assert await Pruning(pool, timedelta(days=99, hours=12)).prune_all() == 0
    assert await Pruning(pool, KEPT).prune_all() == 5
    assert [one["seq"] for one in await audit.entries(tenant)] == [6]  # nothing else is left of it
    async with await open_pool(database, AUDIT, **{"headrace.clock_offset": "92 days"}) as later:
        assert await Pruning(later, KEPT).prune_all() == 1
        assert await Pruning(later, KEPT).prune_all() == 0
    left = await audit.entries(tenant)
    assert [(one["seq"], one["detail"]["seq"]) for one in left] == [(7, 6)]
    assert verified(left).finding is None


async def test_much_goes_piece_by_piece_and_many_may_prune_at_once(
    audit: Audit,  # noqa: F811
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pruning, "MOST", 4)
    tenant = await old_and_new(audit, "mine", 10)
    await audit.act(tenant, "app/meanwhile")
    gone = await asyncio.gather(*(Pruning(pool, KEPT).prune_all() for _ in range(3)), audit.sealer.seal_all())
    assert sum(gone[:3]) == 10
    left = await audit.entries(tenant)
    assert sum(one["action"] == "audit.prune" for one in left) == 3
    assert left[0]["seq"] == 11
    assert verified(left).finding is None


async def test_nothing_goes_that_no_record_stands_for(audit: Audit, pool: Pool, database: str) -> None:  # noqa: F811
    tenant = await old_and_new(audit, "mine", 5)
    for statement in ("SELECT headrace_prune_audit($1, 2)", "DELETE FROM audit_log WHERE tenant_id = $1"):
        with pytest.raises(asyncpg.RaiseError, match="audit_log is immutable"):
            await audit.admin.execute(statement, tenant)
    with pytest.raises(asyncpg.RaiseError, match="audit_log is immutable"):
        await pool.execute("SELECT headrace_prune_audit($1, 2)", tenant)
    assert await Pruning(pool, KEPT).prune_all() == 5
    # Nor more than it stands for; nor by anybody else.
    with pytest.raises(asyncpg.RaiseError, match="audit_log is immutable"):
        await pool.execute("SELECT headrace_prune_audit($1, 6)", tenant)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await audit.api.execute("SELECT headrace_prune_audit($1, 5)", tenant)
    assert len(await audit.entries(tenant)) == 4


async def test_start_keys_and_tokens_of_ended_runs_expire(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "MOST", 2)
    tenant = await world.tenant("one")
    runs = {name: (await world.queued(tenant))[0] for name in ("old", "older", "oldest", "going-on", "new")}
    for name, run in runs.items():
        age = timedelta(days=29 if name == "new" else 31)
        await world.admin.execute(
            """INSERT INTO start_keys (tenant_id, key, run_id, digest, created_at)
               VALUES ($1, $2, $3, '', now() - $4::interval)""",
            tenant,
            name,
            run,
            age,
        )
        await world.admin.execute(
            """INSERT INTO approval_tokens (tenant_id, nonce, run_id, step, digest, seq, approved_by, approved_by_name,
               expires_at) VALUES ($1, $2, $3, $4, sha256('x'), 1, $2, 'kim', now() - $5::interval)""",
            tenant,
            new_id(),
            run,
            name,
            age,
        )
        if name != "going-on":
            await world.admin.execute(
                "UPDATE runs SET status = 'CANCELED', finished_at = now() WHERE id = $1", run
            )
    # Of a run that is not kept any more.
    await world.admin.execute(
        "INSERT INTO start_keys (tenant_id, key, run_id, digest, created_at) VALUES ($1, 'gone', $2, '', '2020-01-01')",
        tenant,
        new_id(),
    )
    assert await expire(world.pool, timedelta(days=30), timedelta(days=90)) == 7
    for column, table in (("key", "start_keys"), ("step", "approval_tokens")):
        left = await world.admin.fetch(f"SELECT {column} AS name FROM {table}")
        assert {row["name"] for row in left} == {"going-on", "new"}, table
    assert await expire(world.pool, timedelta(days=30), timedelta(days=90)) == 0


async def test_dead_letters_of_ended_runs_expire_whatever_became_of_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "MOST", 2)
    tenant = await world.tenant("one")
    ended, going_on = [(await world.queued(tenant))[0] for _ in range(2)]
    await world.admin.execute("UPDATE runs SET status = 'CANCELED', finished_at = now() WHERE id = $1", ended)
    for reason, run, status, days in (
        ("old", ended, "OPEN", 91),
        ("older", ended, "REPLAYED", 92),
        ("of nobody", None, "DISCARDED", 93),
        ("new", ended, "OPEN", 89),
        ("still going on", going_on, "OPEN", 91),
    ):
        await world.admin.execute(
            """INSERT INTO dead_letters (id, tenant_id, run_id, source, reason, status, created_at, closed_at)
               VALUES ($1, $2, $3, 'step', $4, $5::text, now() - make_interval(days => $6),
                       CASE WHEN $5::text <> 'OPEN' THEN now() END)""",
            new_id(),
            tenant if run else None,
            run,
            reason,
            status,
            days,
        )
    assert await expire(world.pool, timedelta(days=30), timedelta(days=90)) == 3
    left = await world.admin.fetch("SELECT reason FROM dead_letters")
    assert {row["reason"] for row in left} == {"new", "still going on"}
