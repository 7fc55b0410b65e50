"""A restored database that holds tenants which were deleted after its backup was taken: they go again."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fixtures_claims import World
from headrace.ids import new_id
from headrace_cli.main import app
from typer.testing import CliRunner

_HOURS = "interval '1 hour'"


async def headrace(dsn: str, *words: str, code: int = 0) -> Any:
    env = {"HEADRACE_DATABASE_URL": dsn}
    done = await asyncio.to_thread(CliRunner().invoke, app, [*words, "--json"], env=env)
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


async def asked(world: World, tenant: UUID, due_in_hours: int) -> None:
    await world.admin.execute(
        f"""INSERT INTO tenant_deletions (tenant_id, asked_at, asked_by, asked_in, cancel_at, due_at)
            VALUES ($1, now() - 30 * {_HOURS}, $2, $2, now() + ($3 - 5) * {_HOURS}, now() + $3 * {_HOURS})""",
        tenant,
        new_id(),
        due_in_hours,
    )


async def test_what_was_deleted_goes_again_before_its_runs_go_on(
    world: World, database: str, tmp_path: Path
) -> None:
    gone, other = await world.tenant("gone"), await world.tenant("other")
    # As it is when the tenant has been deleted: the list is made.
    await asked(world, gone, -1)
    while await world.pool.fetchval("SELECT headrace_end_tenant($1, 1000)", gone):
        pass
    (listed,) = await headrace(database, "tenants", "deleted", "--file", str(tmp_path / "deleted"))
    assert listed["tenantId"] == str(gone)
    # The backup from before: the tenant is there, with a run that is due, and nothing says that it was deleted.
    await world.admin.execute("DELETE FROM tenant_deletions")
    workflow, version = world.versions[gone]
    await world.admin.execute("INSERT INTO tenants (id, name) VALUES ($1, 'gone')", gone)
    await world.admin.execute(
        "INSERT INTO workflows (tenant_id, id, name) VALUES ($1, $2, 'w')", gone, workflow
    )
    await world.admin.execute(
        """INSERT INTO workflow_versions (tenant_id, id, workflow_id, version, status, document)
           VALUES ($1, $2, $3, 1, 'DRAFT', '{}')""",
        gone,
        version,
        workflow,
    )
    await world.queued(gone)
    await world.queued(other)
    done = await headrace(database, "restored", "--deleted", str(tmp_path / "deleted"))
    assert done == {"runs": 1, "deletedAgain": 1, "toBeDeleted": []}
    assert [row["tenant_id"] for row in await world.admin.fetch("SELECT tenant_id FROM runs")] == [other]
    assert await world.admin.fetchval("SELECT count(*) FROM tenants WHERE id = $1", gone) == 0
    again = await headrace(database, "restored", "--deleted", str(tmp_path / "deleted"))
    assert again == {"runs": 1, "deletedAgain": 0, "toBeDeleted": []}
    assert [one["tenantId"] for one in await headrace(database, "tenants", "deleted")] == [str(gone)]


async def test_what_was_asked_for_in_the_backup_waits_a_week_at_least(world: World, database: str) -> None:
    over, soon, late = [await world.tenant(name) for name in ("over", "soon", "late")]
    for tenant, hours in ((over, -1), (soon, 2), (late, 24 * 20)):
        await asked(world, tenant, hours)
    done = await headrace(database, "restored")
    assert {one["tenantId"] for one in done["toBeDeleted"]} == {str(over), str(soon), str(late)}
    left = {
        row["tenant_id"]: (row["due"], row["cancel"])
        for row in await world.admin.fetch(
            """SELECT tenant_id, round(extract(epoch FROM due_at - now()) / 3600)::int AS due,
                      round(extract(epoch FROM cancel_at - now()) / 3600)::int AS cancel FROM tenant_deletions"""
        )
    }
    assert left == {over: (168, 156), soon: (168, 156), late: (480, 475)}
    # Nobody deletes one of them meanwhile.
    assert await world.pool.fetchval("SELECT headrace_end_tenant($1, 1000)", over) is None


@pytest.mark.parametrize("content", ["not json\n", '{"tenantId": "x"}\n'])
async def test_a_list_that_is_none_is_named_by_its_line(database: str, tmp_path: Path, content: str) -> None:
    (tmp_path / "list").write_text(content)
    refused = await headrace(database, "restored", "--deleted", str(tmp_path / "list"), code=2)
    assert refused["error"]["problems"][0]["path"] == "line 1"
