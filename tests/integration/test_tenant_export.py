"""`headrace tenants export`: everything of one tenant, nothing of another, and no secret."""

import asyncio
import io
import json
import stat
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from headrace.ids import new_id
from headrace_cli.main import app
from typer.testing import CliRunner

SECRET = b"never-to-be-seen"
# What a column may be called, and hold no secret: names of things, counts, codes of failures.
_SPEAKING = r"(secret|token|hash|sealed|password|private|credential)"
_HARMLESS = {
    ("connections", name)
    for name in (
        "token_version",
        "token_expires_at",
        "token_error",
        "token_granted_at",
        "token_trouble",
        "token_retry_at",
        "token_failures",
        "token_doubts",
    )
} | {("throttles", "tokens")}


def do(dsn: str, work: Callable[[asyncpg.Connection], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        db = await asyncpg.connect(dsn)
        try:
            return await work(db)
        finally:
            await db.close()

    return asyncio.run(run())


async def fill(db: asyncpg.Connection, name: str) -> None:
    """A tenant with a row in tables of each kind, and secrets in each place that is for one."""
    tenant, key, app_id, connection, run = (new_id() for _ in range(5))
    workflow, version = new_id(), new_id()
    for statement, *arguments in (
        ("INSERT INTO tenants (id, name) VALUES ($1, $2)", tenant, name),
        (
            """INSERT INTO api_keys (tenant_id, id, name, role, prefix, hash)
               VALUES ($1, $2, $3, 'ADMIN', 'hr_1', $4)""",
            tenant,
            new_id(),
            f"key of {name}",
            SECRET + name.encode(),
        ),
        (
            "INSERT INTO data_keys (tenant_id, id, provider, wrapped_by, wrapped) VALUES ($1, $2, 'own', 'k', $3)",
            tenant,
            key,
            SECRET,
        ),
        (
            "INSERT INTO secrets (tenant_id, id, name, key_id, sealed) VALUES ($1, $2, 'smtp', $3, $4)",
            tenant,
            new_id(),
            key,
            SECRET,
        ),
        (
            "INSERT INTO apps (tenant_id, id, name, base_url, auth) VALUES ($1, $2, 'shop', $3, '{}')",
            tenant,
            app_id,
            f"https://{name}.example.com",
        ),
        (
            "INSERT INTO connections (tenant_id, id, app_id, name) VALUES ($1, $2, $3, 'main')",
            tenant,
            connection,
            app_id,
        ),
        (
            """INSERT INTO connection_secrets (tenant_id, connection_id, field, key_id, sealed)
               VALUES ($1, $2, 'apiKey', $3, $4)""",
            tenant,
            connection,
            key,
            SECRET,
        ),
        ("INSERT INTO workflows (tenant_id, id, name) VALUES ($1, $2, 'w')", tenant, workflow),
        (
            """INSERT INTO workflow_versions (tenant_id, id, workflow_id, version, status, document)
               VALUES ($1, $2, $3, 1, 'DRAFT', '{"steps": []}')""",
            tenant,
            version,
            workflow,
        ),
        (
            """INSERT INTO runs (id, tenant_id, workflow_id, version_id, dispatch_id, input, claim_token)
               VALUES ($1, $2, $3, $4, $5, $6, $7)""",
            run,
            tenant,
            workflow,
            version,
            new_id(),
            json.dumps({"for": f"customer of {name}"}),
            SECRET,
        ),
        (
            """INSERT INTO inbox (tenant_id, run_id, seq, kind, data) VALUES ($1, $2, 1, 'DECISION', $3)""",
            tenant,
            run,
            json.dumps({"decision": "APPROVE", "token": SECRET.decode()}),
        ),
    ):
        await db.execute(statement, *arguments)


def export(dsn: str, *arguments: str) -> Any:
    return CliRunner().invoke(
        app, ["tenants", "export", *arguments, "--json"], env={"HEADRACE_DATABASE_URL": dsn}
    )


@pytest.fixture
def filled(database: str) -> str:
    for name in ("acme", "other"):
        do(database, lambda db, name=name: fill(db, name))
    return database


def test_everything_of_one_tenant_but_its_secrets(filled: str, tmp_path: Path) -> None:
    file = tmp_path / "acme.zip"
    done = export(filled, "acme", str(file))
    assert done.exit_code == 0, done.output
    with zipfile.ZipFile(file) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    whole = b"\n".join(content.values())
    assert b"customer of acme" in whole
    assert b"https://acme.example.com" in whole
    assert b"other" not in whole
    for spelling in (SECRET, SECRET.hex().encode()):
        assert spelling not in whole
    manifest = json.loads(content["manifest.json"])
    assert manifest["tenant"]["name"] == "acme"
    assert {name: rows for name, rows in manifest["rows"].items() if rows} == {
        "api_keys": 1,
        "apps": 1,
        "connection_secrets": 1,
        "connections": 1,
        "data_keys": 1,
        "inbox": 1,
        "runs": 1,
        "secrets": 1,
        "tenants": 1,
        "workflow_versions": 1,
        "workflows": 1,
    }
    for name, rows in manifest["rows"].items():
        assert content[f"tables/{name}.jsonl"].count(b"\n") == rows
    assert manifest["leftOut"]["runs"] == ["claim_token"]
    assert json.loads(content["tables/inbox.jsonl"])["data"] == {"decision": "APPROVE"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    told = do(filled, lambda db: db.fetch("SELECT action, tenant_id FROM audit_inbox"))
    assert [(row["action"], str(row["tenant_id"])) for row in told] == [
        ("tenant.export", manifest["tenant"]["id"])
    ]


def test_every_table_of_a_tenant_is_read_or_said_to_be_left_out(filled: str, tmp_path: Path) -> None:
    export(filled, "acme", str(tmp_path / "a.zip"))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        manifest = json.loads(archive.read("manifest.json"))
    tables = do(
        filled,
        lambda db: db.fetch(
            """SELECT DISTINCT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
               WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
                 AND NOT c.relispartition AND a.attname = 'tenant_id'"""
        ),
    )
    known = manifest["rows"].keys() | manifest["leftOut"].keys()
    assert {row["relname"] for row in tables} <= known
    assert known - manifest["rows"].keys() == {"audit_inbox", "login_codes"}


def test_a_secret_is_bytes_in_our_schema(database: str) -> None:
    """Which is how the export knows one: a column of another type whose name speaks of a secret fails here."""
    columns = do(
        database,
        lambda db: db.fetch(
            """SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
               WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
                 AND NOT c.relispartition AND NOT a.attisdropped AND a.attname ~ $1
                 AND a.atttypid NOT IN ('bytea'::regtype, 'uuid'::regtype)""",
            _SPEAKING,
        ),
    )
    assert {(row["relname"], row["attname"]) for row in columns} - _HARMLESS == set()


def test_an_export_may_go_through_a_pipe(filled: str) -> None:
    """Out of a container, where there is little room for a file."""
    done = export(filled, "acme", "-")
    assert done.exit_code == 0, done.output
    with zipfile.ZipFile(io.BytesIO(done.stdout_bytes)) as archive:
        assert archive.testzip() is None
        manifest = json.loads(archive.read("manifest.json"))
        assert b"customer of acme" in archive.read("tables/runs.jsonl")
    assert done.stderr == f"{sum(manifest['rows'].values())} rows of acme\n"


def test_a_file_that_is_there_is_left_alone(filled: str, tmp_path: Path) -> None:
    file = tmp_path / "there"
    file.write_text("mine")
    done = export(filled, "acme", str(file))
    assert (done.exit_code, json.loads(done.stdout)["error"]["code"]) == (2, "INVALID_INPUT")
    assert file.read_text() == "mine"


def test_a_tenant_that_is_not_there_leaves_no_file(filled: str, tmp_path: Path) -> None:
    done = export(filled, "nobody", str(tmp_path / "a.zip"))
    assert (done.exit_code, json.loads(done.stdout)["error"]["code"]) == (3, "NOT_FOUND")
    assert list(tmp_path.iterdir()) == []
