"""How much of what may be large one look-up may bring into memory."""

from typing import Any

from headrace.errors import LimitExceeded
from headrace.postgres.pool import Db

MAX_BYTES = 32 * 1024 * 1024
# So few can not be too much, and are not measured first.
FEW = 10


async def check_size(db: Db, count: int, statement: str, *values: Any) -> None:
    """Raises `LimitExceeded` when the `count` things that `statement` adds up have more than `MAX_BYTES`."""
    if count > FEW and await db.fetchval(statement, *values) > MAX_BYTES:
        raise LimitExceeded(
            f"this is more than {MAX_BYTES // 2**20} MB; ask for smaller pages or fewer fields"
        )
