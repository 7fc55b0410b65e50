"""A look at what tenants keep sealed: whether their data keys open, and whether their connections last."""

from collections.abc import Sequence
from datetime import timedelta

from headrace.errors import Unavailable
from headrace.postgres.pool import Pool, one_statement, tenant_transaction
from headrace.postgres.queries import load
from headrace_control.vault.envelope import SecretUnreadable
from headrace_control.vault.keys import KeyProvider
from headrace_control.vault.vault import wrapped_of

from headrace_cli.diagnosis.finding import Finding, note, ok, wrong

_sql = load("headrace_cli.diagnosis")

MOST_TENANTS = 200
SOON = timedelta(days=7)
_NAMED = 5


async def examine_tenants(worker: Pool, api: Pool, keys: KeyProvider) -> Sequence[Finding]:
    """The first `MOST_TENANTS` tenants. Pools of the roles headrace_worker and headrace_api."""
    async with one_statement(worker) as db:
        tenants = await db.fetch(_sql.tenants, MOST_TENANTS)
    closed: list[str] = []
    refused: list[str] = []
    ending: list[str] = []
    opened = 0
    for tenant in tenants:
        async with tenant_transaction(api, tenant["id"]) as db:
            data_keys = await db.fetch(_sql.data_keys, tenant["id"])
            connections = await db.fetch(_sql.connections, tenant["id"], SOON)
        refused += [f"{tenant['name']}/{row['name']}" for row in connections if row["refused"]]
        ending += [f"{tenant['name']}/{row['name']}" for row in connections if not row["refused"]]
        for row in data_keys:
            try:
                await keys.unwrap(tenant["id"], wrapped_of(row))
                opened += 1
            except SecretUnreadable:
                closed.append(tenant["name"])
            except Unavailable as error:
                return [
                    wrong(
                        "keys", error.message, "see whether the KMS can be reached, and the key may be used"
                    )
                ]
    found = []
    if closed:
        mend = "put the master key back that wrapped them, as a further line of the key file"
        found.append(wrong("keys", f"data keys do not open of {_few(closed)}", mend))
    else:
        found.append(ok("keys", f"{opened} data keys open, of {len(tenants)} tenants"))
    if refused:
        mend = "headrace connections; authorize again, or change the credentials"
        found.append(note("connections", f"no access token for {_few(refused)}", mend))
    if ending:
        mend = "headrace connections; authorize again"
        found.append(note("connections", f"the authorization ends within a week of {_few(ending)}", mend))
    return found


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
