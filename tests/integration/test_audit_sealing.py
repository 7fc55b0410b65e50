"""Sealing: what was recorded comes into its tenant's chain, once, and stays there as it is."""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest
from headrace.audit_chain import Misfit
from headrace.postgres.pool import API, AUDIT, WORKER, open_pool, tenant_transaction
from headrace_control.audit import sealer as sealing
from headrace_control.audit.record import Act, Part, record
from headrace_control.audit.sealer import Sealer
from prometheus_client import CollectorRegistry

from tests.integration.sealing import SOMEBODY, Audit, verified


def targets(entries: Sequence[Any]) -> list[str]:
    return sorted(entry["target"] for entry in entries)


async def test_concurrent_acts_and_two_sealers_make_one_whole_chain_each(audit: Audit) -> None:
    tenants = [await audit.tenant(f"tenant-{n}") for n in range(3)]
    acts = [audit.act(t, *(f"app/{n}-{k}" for k in range(15))) for t in tenants for n in range(6)]
    done = asyncio.Event()

    async def seal(sealer: Sealer) -> int:
        count = 0
        while not done.is_set():
            count += await sealer.seal_all()
        return count + await sealer.seal_all()

    sealers = [asyncio.create_task(seal(one)) for one in (audit.sealer, audit.other)]
    await asyncio.gather(*acts)
    done.set()
    await asyncio.gather(*sealers)
    await audit.sealer.seal_all()
    assert await audit.waiting() == 0
    for tenant in tenants:
        entries = await audit.entries(tenant)
        assert targets(entries) == sorted(f"app/{n}-{k}" for n in range(6) for k in range(15))
        verdict = verified(entries)
        assert (verdict.finding, verdict.records, verdict.seq) == (None, 90, 90)


async def test_what_waits_is_measured_while_it_can_not_be_sealed(audit: Audit, database: str) -> None:
    registry = CollectorRegistry()
    await audit.admin.execute("REVOKE INSERT ON audit_log FROM headrace_audit")
    async with await open_pool(database, AUDIT, max_size=2) as pool:
        sealer = Sealer(pool, registry)
        working = asyncio.create_task(sealer.run())
        await audit.act(await audit.tenant("acme"), "app/one", "app/two")
        async with asyncio.timeout(20):
            while registry.get_sample_value("headrace_audit_unsealed") != 2:
                await asyncio.sleep(0.05)  # nothing tells of a pass
        working.cancel()


async def test_a_tenant_with_much_to_seal_does_not_hold_up_the_others(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "TENANTS", 2)
    monkeypatch.setattr(sealing, "RECORDS", 6)
    busy = await audit.tenant("busy")
    await audit.act(busy, *(f"app/{n}" for n in range(20)))
    quiet = [await audit.tenant(f"quiet-{n}") for n in range(4)]
    for tenant in quiet:
        await audit.act(tenant, "app/1")
    assert await audit.sealer.seal_all() == 24
    # Each pass takes a few of each: the quiet ones' come long before the busy one's last.
    order = await audit.admin.fetch("SELECT tenant_id FROM audit_log ORDER BY xmin::text::bigint, tenant_id")
    places = [row["tenant_id"] for row in order]
    assert max(places.index(tenant) for tenant in quiet) < 12
    assert verified(await audit.entries(busy)).finding is None


class Killed(Exception):
    pass


async def test_a_sealer_killed_half_way_loses_and_doubles_nothing(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = await audit.tenant("acme")
    await audit.act(tenant, *(f"app/{n}" for n in range(12)))
    monkeypatch.setattr(sealing, "RECORDS", 5)
    passes = 0
    whole = sealing.columns

    def columns(sealed: Any) -> Any:
        nonlocal passes
        passes += 1
        if passes == 2:
            raise Killed  # taken from the inbox, and not yet in the chain
        return whole(sealed)

    monkeypatch.setattr(sealing, "columns", columns)
    with pytest.raises(Killed):
        await audit.sealer.seal_all()
    assert (await audit.waiting(), len(await audit.entries(tenant))) == (7, 5)
    assert await audit.other.seal_all() == 7
    entries = await audit.entries(tenant)
    assert targets(entries) == sorted(f"app/{n}" for n in range(12))
    assert verified(entries).finding is None


async def test_a_session_that_dies_in_a_pass_gives_back_what_it_took(audit: Audit, database: str) -> None:
    tenant = await audit.tenant("acme")
    await audit.act(tenant, "app/1", "app/2")
    victim = await asyncpg.connect(database, server_settings={"role": AUDIT})
    held = victim.transaction()
    await held.start()
    assert await victim.fetchval("SELECT pg_try_advisory_xact_lock(hashtext('headrace_audit_sealer'))")
    await victim.execute("DELETE FROM audit_inbox")
    assert await audit.sealer.seal_all() == 0  # somebody is at it
    victim.terminate()
    while not await audit.sealer.seal_all():
        await audit.admin.execute("SELECT pg_sleep(0.01)")
    assert targets(await audit.entries(tenant)) == ["app/1", "app/2"]


async def test_an_act_that_is_rolled_back_is_not_recorded(audit: Audit) -> None:
    tenant = await audit.tenant("acme")

    async def fail_late() -> None:
        async with tenant_transaction(audit.api, tenant) as db:
            await record(db, Part(tenant, SOMEBODY), Act("app.create", "app/1"))
            raise Killed

    with pytest.raises(Killed):
        await fail_late()
    assert await audit.sealer.seal_all() == 0


async def test_nobody_changes_the_log_by_the_way(audit: Audit, database: str) -> None:
    """Not the owner, not a superuser, not a replica's apply; and no role is allowed to try."""
    tenant = await audit.tenant("acme")
    await audit.act(tenant, "app/1")
    await audit.sealer.seal_all()
    changes = ("UPDATE {} SET target = 'x'", "DELETE FROM {}", "TRUNCATE {}")
    for replica in ("origin", "replica"):
        await audit.admin.execute(f"SET session_replication_role = {replica}")
        for change in changes:
            with pytest.raises(asyncpg.RaiseError, match="audit_log is immutable"):
                await audit.admin.execute(change.format("audit_log"))
    for role in (API, WORKER, AUDIT):
        connection = await asyncpg.connect(database, server_settings={"role": role})
        for change in changes:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(change.format("audit_log"))
            if role != AUDIT or not change.startswith("DELETE"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(change.format("audit_inbox"))
        await connection.close()
    assert targets(await audit.entries(tenant)) == ["app/1"]


async def test_who_records_can_neither_read_nor_forge_for_others(audit: Audit) -> None:
    mine, other = await audit.tenant("acme"), await audit.tenant("other")
    await audit.act(mine, "app/1")
    await audit.sealer.seal_all()
    for statement in ("SELECT * FROM audit_inbox", "INSERT INTO audit_log (tenant_id) VALUES (NULL)"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with tenant_transaction(audit.api, mine) as db:
                await db.execute(statement)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with tenant_transaction(audit.api, mine) as db:
            await record(db, Part(other, SOMEBODY), Act("app.create", "app/forged"))
    async with tenant_transaction(audit.api, other) as db:
        assert await db.fetch("SELECT * FROM audit_log") == []


# What somebody who owns the database can do when the triggers are off, and what is said of it.
_COLUMNS = (
    "target = 'app/other'",
    "detail = '{}'",
    "at = at + interval '1 microsecond'",
    "actor_kind = 'MEMBER'",
    "actor_id = gen_random_uuid()",
    "actor_name = ''",
    "action = 'app.delete'",
    "id = gen_random_uuid()",
    "outcome = 'REFUSED'",
    "before_digest = ''",
    "after_digest = NULL",
    "origin = NULL",
    "correlation_id = ''",
    "hash = sha256('x')",
    "previous = sha256('x')",
)
# Two that changed places.
_SWAPPED = """
UPDATE audit_log SET seq = 9 WHERE seq = 3;
UPDATE audit_log SET seq = 3 WHERE seq = 4;
UPDATE audit_log SET seq = 4 WHERE seq = 9;
"""
# One written behind the end by somebody who does not know how to link it.
_APPENDED = """
CREATE TEMP TABLE forged ON COMMIT DROP AS SELECT * FROM audit_log WHERE seq = 6;
UPDATE forged SET seq = 7;
INSERT INTO audit_log SELECT * FROM forged;
"""
_TAMPERING: list[tuple[str, int, Misfit]] = [
    *((f"UPDATE audit_log SET {change} WHERE seq = 3", 3, Misfit.CHANGED) for change in _COLUMNS),
    ("DELETE FROM audit_log WHERE seq = 2", 2, Misfit.MISSING),
    ("DELETE FROM audit_log WHERE seq = 1", 1, Misfit.MISSING),
    ("DELETE FROM audit_log WHERE seq > 4", 5, Misfit.CUT_OFF),
    ("DELETE FROM audit_log", 1, Misfit.CUT_OFF),
    # One taken out, and those behind it moved up.
    (
        "DELETE FROM audit_log WHERE seq = 2; UPDATE audit_log SET seq = seq - 1 WHERE seq = 3",
        2,
        Misfit.CHANGED,
    ),
    (_SWAPPED, 3, Misfit.CHANGED),
    (_APPENDED, 7, Misfit.CHANGED),
]


async def test_what_somebody_did_to_the_log_is_found_and_named(audit: Audit) -> None:
    tenant = await audit.tenant("acme")
    await audit.act(tenant, *(f"app/{n}" for n in range(6)))
    await audit.sealer.seal_all()
    whole = verified(await audit.entries(tenant))
    assert (whole.finding, whole.seq) == (None, 6)
    await audit.admin.execute("ALTER TABLE audit_log DISABLE TRIGGER USER")
    await audit.admin.execute("ALTER TABLE audit_log DROP CONSTRAINT audit_log_tenant_id_previous_key")
    for statements, seq, misfit in _TAMPERING:
        undone = audit.admin.transaction()
        await undone.start()
        await audit.admin.execute(statements)
        finding = verified(await audit.entries(tenant), {whole.seq: whole.head}).finding
        assert finding is not None, statements
        assert (finding.seq, finding.misfit) == (seq, misfit), statements
        await undone.rollback()
    assert verified(await audit.entries(tenant)).finding is None
