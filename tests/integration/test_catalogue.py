"""Every table, view and function of the schema, as the database itself lists them: who may reach what.

A table that is added and not confined, a key that does not name its tenant, or a function that acts as its owner and
does not say where it looks names up, fails here without anybody having to think of it.
"""

import asyncpg
import pytest

# Tables of the deployment, not of a tenant, and who may touch them.
OF_THE_DEPLOYMENT = {
    "bus_consumers": {"headrace_bus"},
    "bus_messages": {"headrace_bus"},
    "bus_owners": {"headrace_bus"},
    "bus_queues": {"headrace_bus"},
    "deployment": {"headrace_worker"},
    "pools": {"headrace_api", "headrace_worker"},
    "schema_migrations": {"headrace_worker"},
    "logins": set(),  # reached by two functions alone, before anybody knows whose they are
    "partition_leases": {"headrace_worker"},
    "reporters": {"headrace_worker"},
    "runner_sessions": {"headrace_worker"},
    "runners": {"headrace_worker"},
}
# Tables whose rows may have no tenant: they are nobody's to see through the API then.
PERHAPS_WITHOUT_TENANT = {"dead_letters"}
ROLES = {"headrace_api", "headrace_worker", "headrace_bus", "headrace_audit"}
# What a role that is made for one thing reaches, and nothing else.
CONFINED_ROLES = {"headrace_bus": OF_THE_DEPLOYMENT.keys(), "headrace_audit": {"audit_inbox", "audit_log"}}

_TABLES = """
SELECT c.oid, c.relname AS name, c.relkind::text AS kind, c.relrowsecurity AS secured, c.relforcerowsecurity AS forced,
       c.relispartition AS partition,
       EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id'
               AND NOT a.attisdropped) AS has_tenant,
       (SELECT a.attnotnull FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id'
        AND NOT a.attisdropped) AS tenant_needed
FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY c.relname
"""


@pytest.fixture
async def db(database: str) -> asyncpg.Connection:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def test_every_table_with_tenant_data_is_confined_even_for_its_owner(db: asyncpg.Connection) -> None:
    tables = await db.fetch(_TABLES)
    assert len(tables) > 30
    for table in tables:
        name = table["name"]
        assert table["kind"] in ("r", "p"), (
            f"{name}: a view reads with its owner's rights; there is none so far"
        )
        if name in OF_THE_DEPLOYMENT:
            assert not table["has_tenant"] or name.startswith("bus_"), name
            continue
        own = "id" if name == "tenants" else "tenant_id"
        assert table["has_tenant"] or name == "tenants", f"{name}: whose are its rows?"
        assert (table["secured"], table["forced"]) == (True, True), (
            f"{name}: row-level security is not FORCED"
        )
        if name not in PERHAPS_WITHOUT_TENANT and name != "tenants":
            assert table["tenant_needed"], f"{name}: a row may have no tenant"
        if table["partition"]:
            continue  # reached through its parent, whose policies hold; by itself nobody may (below)
        policies = await db.fetch(
            """SELECT r.rolname AS role, pg_get_expr(p.polqual, p.polrelid) AS using,
                      pg_get_expr(p.polwithcheck, p.polrelid) AS check
               FROM pg_policy p CROSS JOIN LATERAL unnest(p.polroles) AS of (role)
               LEFT JOIN pg_roles r ON r.oid = of.role WHERE p.polrelid = $1""",
            table["oid"],
        )
        assert all(policy["role"] for policy in policies), f"{name}: a policy is for everybody"
        for policy in policies:
            if policy["role"] == "headrace_api":
                assert policy["using"] == f"({own} = headrace_tenant())", name
                assert policy["check"] in (None, policy["using"]), name
        assert "headrace_api" in {policy["role"] for policy in policies}, (
            f"{name}: the API's role has no policy"
        )


async def test_nobody_but_our_roles_reaches_a_table_and_none_of_them_owns_or_bypasses(
    db: asyncpg.Connection,
) -> None:
    granted = await db.fetch(
        """SELECT c.relname AS name, c.relispartition AS partition, coalesce(r.rolname, 'PUBLIC') AS role
           FROM pg_class c
           CROSS JOIN LATERAL aclexplode(c.relacl) AS acl
           LEFT JOIN pg_roles r ON r.oid = acl.grantee
           WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
             AND acl.grantee <> c.relowner"""
    )
    assert granted
    for grant in granted:
        assert grant["role"] in ROLES, f"{grant['name']}: {grant['role']} may reach it"
        assert not grant["partition"], f"{grant['name']}: a partition is reached beside its parent's policies"
        assert grant["role"] in OF_THE_DEPLOYMENT.get(grant["name"], ROLES), grant["name"]
        reached = CONFINED_ROLES.get(grant["role"])
        assert reached is None or grant["name"] in reached, f"{grant['role']} may reach {grant['name']}"
    for role in await db.fetch("SELECT * FROM pg_roles WHERE rolname = ANY($1)", list(ROLES)):
        rights = ("rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb", "rolcanlogin", "rolreplication")
        assert not any(role[right] for right in rights), role["rolname"]
    owned = "SELECT count(*) FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE r.rolname = ANY($1)"
    assert await db.fetchval(owned, list(ROLES)) == 0


async def test_a_tenant_that_is_deleted_leaves_every_table_and_what_refers_goes_first(
    db: asyncpg.Connection,
) -> None:
    """Who adds a table of tenants names it in `headrace_tenant_tables`, by a migration that replaces the function."""
    order = await db.fetchval("SELECT headrace_tenant_tables()")
    by_run = await db.fetchval("SELECT headrace_run_tables()")
    tables = {t["name"]: t for t in await db.fetch(_TABLES) if not t["partition"]}
    theirs = {name for name, table in tables.items() if table["has_tenant"]} | {"tenants"}
    # What stays is the note that there was such a tenant.
    assert sorted(order) == sorted(theirs - {"tenant_deletions"})
    references = await db.fetch(
        """SELECT conrelid::regclass::text AS source, confrelid::regclass::text AS target FROM pg_constraint
           WHERE contype = 'f' AND connamespace = current_schema()::regnamespace AND conparentid = 0
             AND conrelid <> confrelid"""
    )
    for key in references:
        if key["source"] in theirs and key["target"] not in OF_THE_DEPLOYMENT:
            assert order.index(key["source"]) < order.index(key["target"]), f"{key['source']} goes first"
    # What goes with its run names it, and has an index by it; the lots of others are found by their tenant.
    first = """SELECT DISTINCT a.attname FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = $1 AND i.indpred IS NULL"""
    for name in theirs - {
        "tenant_deletions",
        "tenants",
        "dispatches",
    }:  # of unfinished runs alone: a small one
        indexed = {row["attname"] for row in await db.fetch(first, tables[name]["oid"])}
        assert ("run_id" if name in by_run else "tenant_id") in indexed, name


async def test_keys_and_references_name_the_tenant(db: asyncpg.Connection) -> None:
    """A plain foreign key accepts another tenant's row. What refers to a row of a tenant names both."""
    found = await db.fetch(
        """SELECT k.conname AS name, k.conrelid::regclass::text AS source, k.confrelid::regclass::text AS target,
                  ARRAY(SELECT a.attname::text FROM unnest(k.conkey) AS n
                        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = n) AS columns
           FROM pg_constraint k
           WHERE k.contype = 'f' AND k.connamespace = current_schema()::regnamespace AND k.conparentid = 0"""
    )
    assert found
    for key in found:
        if not OF_THE_DEPLOYMENT.keys().isdisjoint((key["source"], key["target"])):
            continue
        assert "tenant_id" in key["columns"], f"{key['source']}: {key['name']} does not name the tenant"


async def test_functions_that_act_as_their_owner_say_where_they_look_and_who_may_call(
    db: asyncpg.Connection,
) -> None:
    functions = await db.fetch(
        """SELECT p.oid::regprocedure::text AS name, p.prosecdef AS definer, p.proconfig AS config,
                  current_schema() AS home,
                  has_function_privilege('public', p.oid, 'EXECUTE') AS everybody
           FROM pg_proc p WHERE p.pronamespace = current_schema()::regnamespace AND p.proname LIKE 'headrace%'"""
    )
    definers = [function for function in functions if function["definer"]]
    assert definers
    for function in definers:
        assert not function["everybody"], f"{function['name']}: everybody may call it"
        assert f"search_path={function['home']}, pg_temp" in function["config"], function["name"]


async def test_the_role_of_the_api_sees_nothing_without_a_tenant_and_its_own_with_one(
    db: asyncpg.Connection,
) -> None:
    tables = [
        t["name"]
        for t in await db.fetch(_TABLES)
        if t["name"] not in OF_THE_DEPLOYMENT and not t["partition"]
    ]
    readable = [
        name
        for name in tables
        if await db.fetchval("SELECT has_table_privilege('headrace_api', $1, 'SELECT')", name)
    ]
    assert len(readable) > 20
    ids = [await db.fetchval("SELECT gen_random_uuid()") for _ in range(2)]
    for n, tenant in enumerate(ids):
        await db.execute("INSERT INTO tenants (id, name) VALUES ($1, $2)", tenant, f"tenant-{n}")
        await db.execute(
            "INSERT INTO workflows (tenant_id, id, name) VALUES ($1, gen_random_uuid(), 'w')", tenant
        )
    async with db.transaction():
        await db.execute("SET LOCAL ROLE headrace_api")
        for name in readable:
            assert await db.fetchval(f'SELECT count(*) FROM "{name}"') == 0, name
        await db.execute("SELECT set_config('headrace.tenant_id', $1, true)", str(ids[0]))
        assert [row["id"] for row in await db.fetch("SELECT id FROM tenants")] == [ids[0]]
        assert await db.fetchval("SELECT count(*) FROM workflows") == 1
        for statement in (
            "INSERT INTO workflows (tenant_id, id, name) VALUES ($1, gen_random_uuid(), 'theirs')",
            "UPDATE workflows SET tenant_id = $1",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with db.transaction():
                    await db.execute(statement, ids[1])
