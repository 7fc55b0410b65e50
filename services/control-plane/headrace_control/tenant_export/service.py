"""Reads everything of one tenant but its secrets, at one moment, in rows of JSON.

It is read as the role of the API, confined to the tenant by row-level security: what is another's can not come along,
whatever is asked here. Whatever is sealed, hashed or a token is of the type bytea in our schema, and none of that is
read but the links of the audit's chain; what is none of a tenant's business, its role may not read.
"""

import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from headrace.errors import NotFound
from headrace.ids import new_id
from headrace.postgres.pool import Db, Pool, enter_tenant, one_statement, tenant_transaction, translated
from headrace.postgres.queries import load

_sql = load("headrace_control.tenant_export")

# By these anybody can see that the audit's records are all there, and as they were.
_SHOWN_BYTES = frozenset(
    ("audit_log", column) for column in ("before_digest", "after_digest", "previous", "hash")
)
# Columns that need more than being read: a decision brings its run the token of an approval.
_SHOWN_AS = {("inbox", "data"): "data - 'token'"}
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Table:
    """A table, and which of its columns are read: each by its name, and the SQL that shows it."""

    name: str
    shown: Mapping[str, str]
    left_out: tuple[str, ...]


class TenantRows:
    """The rows of a tenant as they were at one moment."""

    def __init__(self, db: Db, tenant_id: UUID, tables: list[Table]) -> None:
        self._db, self.tenant_id, self.tables = db, tenant_id, tables
        self.rows = 0

    async def of(self, table: Table) -> AsyncIterator[str]:
        """Each row as an object of JSON, in no order."""
        shown = ", ".join(f'{sql} AS "{column}"' for column, sql in table.shown.items())
        owner = "id" if table.name == "tenants" else "tenant_id"
        # Names are the catalogue's own.
        read = f'SELECT row_to_json(r)::text FROM (SELECT {shown} FROM "{table.name}" WHERE {owner} = $1) r'  # noqa: S608
        async for row in self._db.cursor(read, self.tenant_id, prefetch=_AT_ONCE):
            self.rows += 1
            yield row[0]


@contextlib.asynccontextmanager
async def tenant_rows(worker: Pool, api: Pool, name: str) -> AsyncIterator[TenantRows]:
    """What there is of the tenant of this name. When it is left in order, the tenant's audit says that it was read.

    `worker` and `api` are pools of the roles headrace_worker and headrace_api. Raises `NotFound`.
    """
    async with one_statement(worker) as db:
        tenant_id = await db.fetchval(_sql.tenant, name)
    if tenant_id is None:
        raise NotFound("tenant")
    with translated():
        async with api.acquire() as db, db.transaction(isolation="repeatable_read", readonly=True):
            await enter_tenant(db, tenant_id)
            rows = TenantRows(db, tenant_id, await _tables(db))
            yield rows
    async with tenant_transaction(api, tenant_id) as db:
        await db.execute(_sql.record_export, tenant_id, new_id(), rows.rows)


async def _tables(db: Db) -> list[Table]:
    shown: dict[str, dict[str, str]] = defaultdict(dict)
    left_out: dict[str, list[str]] = defaultdict(list)
    for row in await db.fetch(_sql.columns):
        place = (row["table"], row["column"])
        if not row["mine"] or (row["type"] == "bytea" and place not in _SHOWN_BYTES):
            left_out[row["table"]].append(row["column"])
        elif row["type"] == "bytea":
            shown[row["table"]][row["column"]] = f"encode(\"{row['column']}\", 'hex')"
        else:
            shown[row["table"]][row["column"]] = _SHOWN_AS.get(place, f'"{row["column"]}"')
    names = sorted({*shown, *left_out})
    return [Table(name, shown.get(name, {}), tuple(left_out.get(name, ()))) for name in names]
