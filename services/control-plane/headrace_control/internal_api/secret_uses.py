"""Which secrets runs were given, for the tenants' audits: told before they are handed out, or they are not."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias
from uuid import UUID

import orjson
from headrace.ids import new_id
from headrace.postgres.pool import Pool, transaction
from headrace.postgres.queries import load

_sql = load("headrace_control.internal_api")

# The runs that get a secret, by their tenant and its name.
HandedOut: TypeAlias = dict[tuple[UUID, str], list[UUID]]


async def record_secret_uses(pool: Pool, handed_out: Mapping[tuple[UUID, str], Sequence[UUID]]) -> None:
    """One record for each secret in an answer, however many of the answer's runs get it. `pool`: headrace_worker."""
    if not handed_out:
        return
    async with transaction(pool) as db:
        await db.execute(
            _sql.record_secret_uses,
            [tenant_id for tenant_id, _ in handed_out],
            [new_id() for _ in handed_out],
            [f"secret/{name}" for _, name in handed_out],
            [orjson.dumps({"runs": [str(run) for run in runs]}).decode() for runs in handed_out.values()],
        )
