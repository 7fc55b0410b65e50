"""Keys that were refused: told to whom they concern, by their prefix, and bounded."""

from typing import Any

import asyncpg
import httpx
import orjson
import pytest
from headrace.postgres.pool import Pool
from headrace.refusals import tally
from headrace_control.compose import Composed

from tests.integration.control_plane.conftest import Client

OTHER = "hr_00000000_" + "A" * 43


async def shown(http: httpx.AsyncClient, *keys: str) -> None:
    for key in keys:
        refused = await Client(http, key).post("{ tenant { name } }")
        assert refused.status_code == 401


async def recorded(owner: Pool) -> dict[tuple[str, str], Any]:
    """By tenant and target."""
    rows = await owner.fetch(
        """SELECT t.name AS tenant, a.* FROM audit_inbox a JOIN tenants t ON t.id = a.tenant_id
           WHERE outcome = 'REFUSED'"""
    )
    return {(row["tenant"], row["target"]): row for row in rows}


async def test_a_refused_key_is_told_to_the_tenant_whose_prefix_it_has(
    composed: Composed, admin: Client, owner: Pool
) -> None:
    forged = admin.key[:12] + "A" * 43
    await shown(admin.http, forged, forged, OTHER, "hs_" + "A" * 43, "rubbish")
    await composed.refused_logins.tally.write()
    found = await recorded(owner)
    key_id = await owner.fetchval("SELECT id FROM api_keys WHERE prefix = $1", admin.key[:11])
    assert set(found) == {
        ("acme", f"api_key/{key_id}"),
        ("platform", "api_key/hr_00000000"),
        ("platform", "session"),
        ("platform", "api_key"),
    }
    mine = found["acme", f"api_key/{key_id}"]
    detail = orjson.loads(mine["detail"]) if isinstance(mine["detail"], str) else mine["detail"]
    assert (mine["action"], mine["actor_name"], mine["origin"]) == ("api_key.use", "first admin", "127.0.0.1")
    assert (detail["prefix"], detail["times"]) == (admin.key[:11], 2)
    for row in found.values():
        assert "AAAA" not in str(dict(row))


async def test_a_key_that_was_revoked_is_refused_and_recorded(
    composed: Composed, admin: Client, owner: Pool
) -> None:
    await owner.execute("UPDATE api_keys SET revoked_at = now() WHERE prefix = $1", admin.key[:11])
    await shown(admin.http, admin.key)
    await composed.refused_logins.tally.write()
    assert [tenant for tenant, _ in await recorded(owner)] == ["acme"]


async def test_guessing_fills_neither_the_memory_nor_the_log(
    composed: Composed, platform: Client, owner: Pool
) -> None:
    tries = 3 * tally.MOST
    for n in range(tries):
        composed.refused_logins.note(f"hr_{n:08x}_" + "A" * 43, f"192.0.2.{n % 250}")
    await composed.refused_logins.tally.write()
    await composed.refused_logins.tally.write()  # nothing is left
    rows = await owner.fetch(
        "SELECT (detail ->> 'times')::int AS times FROM audit_inbox WHERE outcome = 'REFUSED'"
    )
    assert len(rows) <= tally.MOST + 1
    assert sum(row["times"] for row in rows) == tries


async def test_what_could_not_be_written_is_kept(composed: Composed, platform: Client, owner: Pool) -> None:
    function = "FUNCTION headrace_record_refused_logins"
    composed.refused_logins.note(OTHER, "192.0.2.1")
    await owner.execute(f"REVOKE EXECUTE ON {function} FROM headrace_api")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await composed.refused_logins.tally.write()
    await owner.execute(f"GRANT EXECUTE ON {function} TO headrace_api")
    composed.refused_logins.note(OTHER, "192.0.2.1")
    await composed.refused_logins.tally.write()
    query = "SELECT (detail ->> 'times')::int AS times FROM audit_inbox WHERE outcome = 'REFUSED'"
    assert [row["times"] for row in await owner.fetch(query)] == [2]
