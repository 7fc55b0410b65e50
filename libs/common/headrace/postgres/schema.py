"""Which schema this release works on: the release before it left one that is older, the next one makes it newer.

A release works on any schema that has all its expanding migrations, whatever newer ones have added, until a contract
takes away something that it needs (`headrace.postgres.migrations`).
"""

import asyncpg

from headrace.errors import DatabaseUnavailable, InvalidInput, Problem
from headrace.postgres.pool import Db
from headrace.postgres.release import NEEDED, SCHEMA

_APPLIED = "SELECT left(name, 4)::int AS number, phase, needs FROM schema_migrations"


async def check_schema(db: Db) -> None:
    """Raises `DatabaseUnavailable` while the schema is older than this release needs, and `InvalidInput` once something
    was taken away that this release needs."""
    try:
        rows = await db.fetch(_APPLIED)
    except (
        asyncpg.UndefinedTableError,
        asyncpg.UndefinedColumnError,
        asyncpg.InsufficientPrivilegeError,
    ) as error:
        raise _too_old() from error
    if max((row["number"] for row in rows if row["needs"] is None), default=0) < NEEDED:
        raise _too_old()
    newest = max((row["needs"] for row in rows if row["needs"] is not None), default=0)
    if newest > SCHEMA:
        raise InvalidInput(
            [
                Problem(
                    "",
                    f"the schema is for releases that know migration {newest:04}, this one knows {SCHEMA:04}",
                    "start a newer release; what this one needs was taken away",
                )
            ]
        )


def _too_old() -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"the schema is older than this release needs (migration {NEEDED:04}); "
        "run `headrace migrate`, or start a control plane of this release first"
    )
