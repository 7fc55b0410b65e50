"""Runner pools: a run is advanced by the runners of its pool alone, and each pool has a queue of its own.

In the tables the default pool is NULL, so that a deployment without other pools pays nothing for them.
"""

DEFAULT_POOL = "default"
POOL_NAME = "[a-z][a-z0-9-]{0,39}"


def stored(pool: str) -> str | None:
    """A pool's name as the tables hold it."""
    return None if pool == DEFAULT_POOL else pool


def named(pool: str | None) -> str:
    """A pool from the tables, by its name."""
    return DEFAULT_POOL if pool is None else pool
