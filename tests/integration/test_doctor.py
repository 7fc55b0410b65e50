"""`headrace doctor --deployment` against a real database: each thing that is wrong is found where it is."""

import asyncio
import contextlib
import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from headrace.ids import new_id
from headrace.postgres.release import NEEDED, SCHEMA
from headrace_cli.main import app
from typer.testing import CliRunner

LEASES = """INSERT INTO partition_leases
    SELECT n, gen_random_uuid(), now() + interval '1 hour' FROM generate_series(0, 1) n"""
NO_MONTHS = """DO $$ DECLARE t text; BEGIN
    FOR t IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'waits'::regclass LOOP
        EXECUTE 'DROP TABLE ' || t; END LOOP; END $$"""
BROKEN = """
    INSERT INTO tenants (id, name) VALUES (gen_random_uuid(), 'one');
    INSERT INTO dispatches (id, tenant_id, run_id, due_at)
    SELECT gen_random_uuid(), id, gen_random_uuid(), now() - interval '2 minutes' FROM tenants;
    INSERT INTO bus_messages (queue, body) VALUES ('events.1', ''), ('dead', '');
    INSERT INTO audit_inbox (tenant_id, id, actor_kind, actor_id, actor_name, action, target, outcome, at)
    SELECT id, gen_random_uuid(), 'SERVICE', id, 'a', 'a', 'a', 'DONE', now() - interval '5 minutes' FROM tenants;
    INSERT INTO data_keys (tenant_id, id, provider, wrapped_by, wrapped)
    SELECT id, gen_random_uuid(), 'own', 'another', 'x' FROM tenants;
    INSERT INTO dead_letters (id, source, reason) VALUES (gen_random_uuid(), 'reporter', 'r');
    INSERT INTO tenant_deletions (tenant_id, asked_at, asked_by, asked_in, cancel_at, due_at)
    SELECT id, now() - interval '9 days', id, id, now() - interval '1 day', now() - interval '1 day' FROM tenants"""
NO_RUNNER_OF_A_POOL = """
    INSERT INTO pools (name) VALUES ('eu');
    INSERT INTO tenants (id, name) VALUES (gen_random_uuid(), 'one');
    INSERT INTO dispatches (id, tenant_id, run_id, due_at, pool)
    SELECT gen_random_uuid(), id, gen_random_uuid(), now(), 'eu' FROM tenants;
    INSERT INTO dispatches (id, tenant_id, run_id, due_at, sent_at, pool)
    SELECT gen_random_uuid(), id, gen_random_uuid(), now(), now(), 'eu' FROM tenants;
    INSERT INTO runners (id, lease_until) VALUES (gen_random_uuid(), now() + interval '1 hour')"""
# Two were swept once: the one is claimed, the other has stood in the broker since.
SENT = f"""
    SET session_replication_role = replica;
    INSERT INTO runs (id, tenant_id, workflow_id, version_id, dispatch_id, claimed_by)
    SELECT id, id, id, id, gen_random_uuid(), CASE n WHEN 1 THEN id END
    FROM unnest(ARRAY['{new_id()}', '{new_id()}']::uuid[]) WITH ORDINALITY AS given (id, n);
    INSERT INTO tenants (id, name) SELECT id, id FROM runs;
    INSERT INTO dispatches (id, tenant_id, run_id, due_at, sent_at, waits_since)
    SELECT dispatch_id, tenant_id, id, now(), now(), now() - CASE WHEN claimed_by IS NULL THEN interval '5 minutes' END
    FROM runs"""
A_RUNNER = "INSERT INTO runners (id, lease_until) VALUES (gen_random_uuid(), now() + interval '1 hour')"
FOUND = {
    "partitions": ("WRONG", "nobody reports events.0, events.1"),
    "dispatches": ("WRONG", "due for 12"),
    "runners": ("WRONG", "1 runs wait"),
    "queue events.1": ("WRONG", "1 messages, 0 consumers"),
    "audit": ("WRONG", "1 records wait for 30"),
    "months of runs": ("WRONG", "no tables for this month"),
    "deletions": ("WRONG", "1 tenants should have been deleted, the oldest 24 h ago"),
    "keys": ("WRONG", "data keys do not open of one"),
    "queue dead": ("OPTIONAL", "1 messages"),
    "dead letters": ("OPTIONAL", "1 are open, 1 of them nobody's"),
    "releases": ("OPTIONAL", "1 sessions of headrace_worker (0031)"),
}


class Site:
    """A database, and what a doctor says of it."""

    def __init__(self, dsn: str, key_file: Path) -> None:
        self.dsn = dsn
        self._environment = {
            "HEADRACE_DATABASE_URL": dsn,
            "HEADRACE_BUS_URL": dsn,
            "HEADRACE_LOG_STORE_URL": dsn,
            "HEADRACE_RUNNER_TOKEN": "x" * 20,
            "HEADRACE_KEY_FILE": str(key_file),
            "HEADRACE_PARTITIONS": "2",
        }

    def do(self, statements: str) -> None:
        async def execute() -> None:
            db = await asyncpg.connect(self.dsn)
            await db.execute(statements)
            await db.close()

        asyncio.run(execute())

    @contextlib.contextmanager
    def session_of_the_release_before(self) -> Iterator[None]:
        loop = asyncio.new_event_loop()
        named = {"application_name": "headrace:headrace_worker/31"}
        db = loop.run_until_complete(asyncpg.connect(self.dsn, server_settings=named))
        try:
            yield
        finally:
            loop.run_until_complete(db.close())
            loop.close()

    def look(self, **own: str) -> tuple[int, dict[str, dict[str, str]]]:
        done = CliRunner().invoke(app, ["doctor", "--deployment", "--json"], env={**self._environment, **own})
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        findings = json.loads(done.stdout)
        return done.exit_code, {found["what"]: found for found in findings}


@pytest.fixture
def site(database: str, tmp_path: Path) -> Site:
    key_file = tmp_path / "key"
    key_file.write_text(b64encode(b"k" * 32).decode())
    key_file.chmod(0o600)
    return Site(database, key_file)


def test_a_deployment_that_is_well(site: Site) -> None:
    site.do(LEASES)
    status, found = site.look()
    assert status == 0, found
    assert found["schema"]["detail"] == f"migration {SCHEMA:04}"
    assert {name for name, finding in found.items() if finding["verdict"] != "OK"} == {"runners"}


@pytest.mark.parametrize(
    ("statements", "place", "says"),
    [
        (
            f"DELETE FROM schema_migrations WHERE name LIKE '{NEEDED:04}%'",
            "schema",
            "older than this release",
        ),
        (
            "INSERT INTO schema_migrations (name, digest, phase, needs) VALUES ('9001_x.sql', '', 'contract', 9000)",
            "schema",
            "9000",
        ),
        (
            "INSERT INTO partition_leases VALUES (3, gen_random_uuid(), now())",
            "partitions",
            "HEADRACE_PARTITIONS is 2",
        ),
        (SENT, "runners", "2 runs wait"),
        (f"{SENT}; {A_RUNNER}", "dispatches", "was sent and waits for 30"),
        (NO_RUNNER_OF_A_POOL, "pool eu", "2 runs wait"),
        (NO_RUNNER_OF_A_POOL, "queue jobs.eu", "missing"),
    ],
)
def test_what_is_wrong_from_the_start_is_found(site: Site, statements: str, place: str, says: str) -> None:
    site.do(statements)
    status, found = site.look()
    assert (status, found[place]["verdict"]) == (1, "WRONG")
    assert says in found[place]["detail"]


def test_each_thing_that_is_wrong_is_found_where_it_is(site: Site) -> None:
    site.do(NO_MONTHS)
    site.do(BROKEN)
    with site.session_of_the_release_before():
        status, found = site.look()
    assert status == 1
    for place, (verdict, says) in FOUND.items():
        assert found[place]["verdict"] == verdict, found[place]
        assert says in found[place]["detail"]
        assert found[place]["mend"]


def test_tenants_that_are_to_be_deleted_are_told(site: Site) -> None:
    site.do(
        """INSERT INTO tenant_deletions (tenant_id, asked_by, asked_in, cancel_at, due_at)
           SELECT i, i, i, now(), '2100-01-01Z' FROM gen_random_uuid() AS i"""
    )
    found = site.look()[1]["deletions"]
    assert found["verdict"] == "OPTIONAL"
    assert "1 tenants are to be deleted, the next at 2100-01-01 00:00Z" in found["detail"]


def test_a_clock_that_a_test_has_set_is_found(site: Site) -> None:
    name = urlsplit(site.dsn).path[1:]
    site.do(f"ALTER DATABASE \"{name}\" SET headrace.clock_offset = '2 hours'")
    assert site.look()[1]["clock"]["verdict"] == "WRONG"


def test_what_is_away_is_said_and_the_rest_is_looked_at(site: Site) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/none"
    status, found = site.look(HEADRACE_DATABASE_URL=nowhere)
    assert (status, found["Postgres"]["verdict"], found["log store"]["verdict"]) == (1, "WRONG", "OK")
    status, found = site.look(HEADRACE_LOG_STORE_URL="mongodb://127.0.0.1:1/none?timeoutMS=200")
    assert (found["log store"]["verdict"], found["schema"]["verdict"]) == ("WRONG", "OK")


def test_settings_that_are_missing_are_named(site: Site) -> None:
    done: Any = CliRunner().invoke(app, ["doctor", "--deployment"], env={})
    assert done.exit_code == 2


def test_queues_that_are_another_deployments_are_told(site: Site) -> None:
    assert site.look()[1]["queues"] == {
        "what": "queues",
        "verdict": "OK",
        "detail": "this deployment's",
        "mend": "",
    }
    site.do("UPDATE bus_owners SET deployment = gen_random_uuid()")
    status, found = site.look()
    assert (status, found["queues"]["verdict"], "queue jobs" in found) == (1, "WRONG", False)
    assert "another deployment's" in found["queues"]["detail"]
