"""Bring a database to the newest schema, one numbered file after another, under a lock.

Files are `NNNN_name.sql`. Each is applied once, in its own transaction, and its digest is kept: a file that
was changed after it was applied is refused, because nobody could say what the database then holds.
"""

import hashlib
from importlib.resources import files

import asyncpg

from headrace.errors import Conflict
from headrace.postgres.pool import connecting, translated

_LOCK = 0x48454144  # "HEAD": one migration at a time per database

_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name       text PRIMARY KEY,
    digest     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


async def migrate(dsn: str, package: str) -> list[str]:
    """Apply what is missing of the `.sql` files in `package`; the names applied, oldest first.

    Needs a login that may create roles and tables. Safe to call from many processes at once. Raises
    `DatabaseUnavailable`.
    """
    scripts = {
        f.name: f.read_text(encoding="utf-8") for f in files(package).iterdir() if f.name.endswith(".sql")
    }
    with translated(), connecting():
        connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        await connection.execute(_TABLE)
        done = {
            row["name"]: row["digest"]
            for row in await connection.fetch("SELECT name, digest FROM schema_migrations")
        }
        applied = []
        for name in sorted(scripts):
            digest = hashlib.sha256(scripts[name].encode()).hexdigest()
            if name in done:
                if done[name] != digest:
                    raise Conflict(f"migration {name} was changed after it was applied")
                continue
            async with connection.transaction():
                await connection.execute(scripts[name])
                await connection.execute(
                    "INSERT INTO schema_migrations (name, digest) VALUES ($1, $2)", name, digest
                )
            applied.append(name)
        return applied
    finally:
        await connection.close(timeout=5)
