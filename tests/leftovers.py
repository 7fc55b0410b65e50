"""Where a database still tells of something."""

from collections.abc import Sequence

import asyncpg

_TABLES = """SELECT relname AS name FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"""


async def holding(db: asyncpg.Connection, words: Sequence[str]) -> set[str]:
    """The tables, by the catalogue, with a row that has one of the words anywhere, in bytes too."""
    patterns = [f"%{spelt}%" for word in words for spelt in (word, word.encode().hex())]
    return {
        table["name"]
        for table in await db.fetch(_TABLES)
        if await db.fetchval(
            f'SELECT EXISTS (SELECT FROM "{table["name"]}" t WHERE t::text LIKE ANY ($1))', patterns
        )
    }
