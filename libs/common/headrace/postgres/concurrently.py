"""Indexes on tables that are in use: built without a transaction, and without holding up who writes.

Postgres refuses CREATE INDEX CONCURRENTLY on a partitioned table, so there it is done as its manual says (CREATE INDEX,
"Building Indexes Concurrently"): a parent's index on the parent only, one on each partition, concurrently, and each
attached. What an earlier try left unfinished is dropped first, so all of it may be repeated.
"""

import re
from collections.abc import Awaitable, Callable

import asyncpg

from headrace.errors import InvalidInput, Problem

_CREATE = re.compile(
    r"CREATE (?P<unique>UNIQUE )?INDEX CONCURRENTLY (?P<name>\w+)\s+ON (?P<table>\w+)\s+(?P<rest>[^;]+);"
)
_DROP = re.compile(r"DROP INDEX CONCURRENTLY IF EXISTS (?P<name>\w+);")
# Repeatable, and a change of the catalogue alone.
_ADD = re.compile(r"ALTER TABLE \w+ ADD COLUMN IF NOT EXISTS \w+ \w+;")
_COMMENT = re.compile(r"--[^\n]*")

_STATE = """
SELECT i.indisvalid AS valid, EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = c.oid) AS attached
FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid WHERE c.oid = to_regclass($1)
"""
_PARTITIONS = """
SELECT c.relname AS name FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
WHERE h.inhparent = to_regclass($1) ORDER BY c.relname
"""
_LONGEST_NAME = 63

Run = Callable[[str], Awaitable[None]]


async def build(db: asyncpg.Connection, name: str, script: str, patiently: Run) -> None:
    """Do the statements of the migration `name`: `CREATE INDEX CONCURRENTLY index ON table ...`, `DROP INDEX
    CONCURRENTLY IF EXISTS index` and, for an index on it, `ALTER TABLE table ADD COLUMN IF NOT EXISTS column type`,
    nothing else.

    `patiently` runs what takes a lock that others wait behind. Raises `InvalidInput` for another statement.
    """
    for statement in _statements(script):
        if made := _CREATE.fullmatch(statement):
            await _create(db, made, patiently)
        elif _DROP.fullmatch(statement):
            await db.execute(statement)
        elif _ADD.fullmatch(statement):
            await patiently(statement)
        else:
            message = "without a transaction, indexes are made and dropped, columns added, and nothing else"
            raise InvalidInput([Problem(name, message, "see docs/guides/upgrades.md")])


def _statements(script: str) -> list[str]:
    parts = _COMMENT.sub("", script).split(";")
    return [" ".join(part.split()) + ";" for part in parts if part.strip()]


async def _create(db: asyncpg.Connection, made: re.Match[str], patiently: Run) -> None:
    name, table, rest = made["name"], made["table"], made["rest"]
    create = f"CREATE {made['unique'] or ''}INDEX"
    kind = await db.fetchval("SELECT relkind::text FROM pg_class WHERE oid = to_regclass($1)", table)
    if kind != "p":
        await _alone(db, create, name, table, rest)
        return
    await patiently(f"{create} IF NOT EXISTS {name} ON ONLY {table} {rest}")
    for partition in await db.fetch(_PARTITIONS, table):
        own = f"{partition['name']}_{name}"[:_LONGEST_NAME]
        if (state := await db.fetchrow(_STATE, own)) and state["attached"]:
            continue
        await _alone(db, create, own, partition["name"], rest)
        await patiently(f"ALTER INDEX {name} ATTACH PARTITION {own}")


async def _alone(db: asyncpg.Connection, create: str, name: str, table: str, rest: str) -> None:
    state = await db.fetchrow(_STATE, name)
    if state and state["valid"]:
        return
    if state:
        await db.execute(f"DROP INDEX CONCURRENTLY {name}")
    await db.execute(f"{create} CONCURRENTLY {name} ON {table} {rest}")
