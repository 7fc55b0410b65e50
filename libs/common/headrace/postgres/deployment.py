"""Which deployment a database is."""

from uuid import UUID

from headrace.postgres.pool import Pool, one_statement


async def deployment_of(worker: Pool) -> UUID:
    """The id that the deployment got with its schema; a backup of the database has the same. `worker` is a pool of the
    role headrace_worker."""
    async with one_statement(worker) as db:
        found: UUID = await db.fetchval("SELECT id FROM deployment")
    return found
