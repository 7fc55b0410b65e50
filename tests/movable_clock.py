"""The database's clock, for tests that let days pass."""

from datetime import timedelta

import asyncpg


class Calendar:
    """The database's clock, set on; every session takes the new time when it is made anew."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.passed = timedelta()

    async def pass_on(self, span: timedelta) -> None:
        self.passed += span
        connection = await asyncpg.connect(self._url)
        name = await connection.fetchval("SELECT current_database()")
        seconds = int(self.passed.total_seconds())
        await connection.execute(f"ALTER DATABASE \"{name}\" SET headrace.clock_offset = '{seconds} seconds'")
        await connection.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()"""
        )
        await connection.close()
