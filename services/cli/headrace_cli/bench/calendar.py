"""The clock of a measured deployment, which can be set on: what waits for days is due at once."""

import asyncpg

from headrace_cli.bench.meter import DRIVER

_SET = "ALTER DATABASE {} SET headrace.clock_offset = '{} seconds'"
# A session takes the offset when it is made; the services make theirs anew.
_RENEW = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name <> $1"""


async def pass_on(db: asyncpg.Connection, seconds: int) -> None:
    """Let `seconds` pass for the services of this database, of which `db` is an owner's session."""
    name = await db.fetchval("SELECT quote_ident(current_database())")
    await db.execute(_SET.format(name, seconds))
    await db.execute(_RENEW, DRIVER)
