"""Connections and their sealed fields in Postgres."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from headrace.ids import new_id
from headrace.json_types import JsonObject
from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.apps.auth_scheme import AuthScheme, load_scheme
from headrace_control.apps.limits import Limits, dump_limits, load_limits
from headrace_control.connections.model import BreakerState, Connection, ConnectionStatus
from headrace_control.vault.envelope import Place
from headrace_control.vault.vault import Sealed, Stored

_sql = load("headrace_control.connections")

OWNER = "connection"
REFRESH_TOKEN = "refreshToken"  # noqa: S105 - a field's name


@dataclass(frozen=True, slots=True)
class SealedCredential:
    """All that a credential is made of, still sealed. `token_lasts`: long enough for what was asked.

    `token_trouble` is why the last request for a token brought none: `token_failures` in a row, of which
    `token_doubts` may have spent the refresh token. `token_held_back`: it is too early to ask once more.
    `token_is_new`: granted since this transaction began.
    """

    connection_id: UUID
    base_url: str | None
    app_base_url: str
    config: JsonObject
    auth: AuthScheme
    token_version: int
    token_expires_at: datetime | None
    token_error: str | None
    token_lasts: bool
    token_is_new: bool
    token_trouble: str | None
    token_failures: int
    token_doubts: int
    token_held_back: bool
    limited: bool
    fields: tuple[Stored, ...]
    changed_at: datetime | None = None

    @property
    def has_refresh_token(self) -> bool:
        return any(stored.place.field == REFRESH_TOKEN for stored in self.fields)


async def insert_connection(
    db: Db,
    tenant_id: UUID,
    app_id: UUID,
    name: str,
    base_url: str | None,
    config: JsonObject,
    limits: Limits | None,
) -> UUID | None:
    """The new connection's id; None when the name is taken."""
    inserted: UUID | None = await db.fetchval(
        _sql.insert_connection, tenant_id, new_id(), app_id, name, base_url, config, _stored(limits)
    )
    return inserted


async def find_connection(db: Db, tenant_id: UUID, name: str) -> Connection | None:
    row = await db.fetchrow(_sql.connection_named, tenant_id, name)
    return _connection(row) if row else None


async def lock_connection(db: Db, tenant_id: UUID, name: str) -> Connection | None:
    """As `find_connection`, and nobody else changes it until the transaction ends."""
    await db.execute(_sql.lock_connection, tenant_id, name)
    return await find_connection(db, tenant_id, name)


async def list_connections(
    db: Db,
    tenant_id: UUID,
    app: str | None,
    status: ConnectionStatus | None,
    after: str | None,
    limit: int,
) -> Sequence[Connection]:
    """By name."""
    rows = await db.fetch(_sql.connections_after, tenant_id, app, after or "", limit, status)
    return [_connection(row) for row in rows]


async def connection_ids(db: Db, tenant_id: UUID, names: Sequence[str]) -> dict[str, UUID]:
    """Ids by name; names that do not exist are left out."""
    return {row["name"]: row["id"] for row in await db.fetch(_sql.ids_named, tenant_id, names)}


async def update_connection(
    db: Db,
    tenant_id: UUID,
    connection_id: UUID,
    base_url: str | None,
    config: JsonObject,
    limits: Limits | None,
) -> None:
    await db.execute(_sql.update_connection, tenant_id, connection_id, base_url, config, _stored(limits))


async def forget_token(db: Db, tenant_id: UUID, connection_id: UUID) -> None:
    """Drop the access token and the error of the last refresh; the next use asks for a new one."""
    await db.execute(_sql.forget_access_token, tenant_id, connection_id)
    await db.execute(_sql.forget_token, tenant_id, connection_id)


async def delete_connection(db: Db, tenant_id: UUID, connection_id: UUID) -> None:
    await db.execute(_sql.delete_connection, tenant_id, connection_id)


async def put_secrets(db: Db, tenant_id: UUID, sealed: Iterable[Sealed]) -> None:
    for one in sealed:
        place = one.place
        await db.execute(_sql.put_secret, tenant_id, place.owner_id, place.field, one.key_id, one.sealed)


async def sealed_credentials(
    db: Db, tenant_id: UUID, ids: Sequence[UUID], lasting: timedelta
) -> list[SealedCredential]:
    """Those of the connections that exist."""
    rows: dict[UUID, list[Any]] = {}
    for row in await db.fetch(_sql.credentials, tenant_id, ids, lasting):
        rows.setdefault(row["id"], []).append(row)
    return [_credential(tenant_id, of_one) for of_one in rows.values()]


async def token_endpoint(db: Db, tenant_id: UUID, connection_id: UUID) -> str | None:
    """Its URL, "" where the app has none; None: there is no such connection."""
    url: str | None = await db.fetchval(_sql.token_endpoint, tenant_id, connection_id)
    return url


async def lock_credential(
    db: Db, tenant_id: UUID, connection_id: UUID, lasting: timedelta
) -> SealedCredential | None:
    """One credential, whose tokens nobody else refreshes until the transaction ends."""
    if await db.fetchval(_sql.lock_credential, tenant_id, connection_id) is None:
        return None
    found = await sealed_credentials(db, tenant_id, [connection_id], lasting)
    return found[0] if found else None


async def token_granted(
    db: Db, tenant_id: UUID, connection_id: UUID, seconds: float | None
) -> tuple[int, datetime | None]:
    """Note a new access token; its version and when it ends."""
    row: Any = await db.fetchrow(_sql.token_granted, tenant_id, connection_id, seconds)
    return row["token_version"], row["token_expires_at"]


async def token_refused(db: Db, tenant_id: UUID, connection_id: UUID, code: str) -> None:
    """Note that there will be no more tokens, and drop the last one."""
    await db.execute(_sql.forget_access_token, tenant_id, connection_id)
    await db.execute(_sql.token_refused, tenant_id, connection_id, code)


async def token_failed(
    db: Db, tenant_id: UUID, connection_id: UUID, code: str, wait: float, *, doubt: bool
) -> None:
    """Note that a request brought no token, and leave the endpoint alone for `wait` seconds."""
    await db.execute(_sql.token_failed, tenant_id, connection_id, code, wait, int(doubt))


async def authorization_ends(db: Db, tenant_id: UUID, connection_id: UUID, seconds: float | None) -> None:
    """Note when what was granted ends; None: nobody says so."""
    await db.execute(_sql.authorization_ends, tenant_id, connection_id, seconds)


async def authorized(db: Db, tenant_id: UUID, connection_id: UUID, by: str) -> None:
    """Note that a person has agreed, and drop what was granted before."""
    await db.execute(_sql.forget_refresh_token, tenant_id, connection_id)
    await db.execute(_sql.forget_access_token, tenant_id, connection_id)
    await db.execute(_sql.authorized, tenant_id, connection_id, by)


def place_of(tenant_id: UUID, connection_id: UUID, field: str) -> Place:
    return Place(tenant_id, OWNER, connection_id, field)


def _stored(limits: Limits | None) -> JsonObject | None:
    return dump_limits(limits) if limits else None


def _connection(row: Any) -> Connection:
    read = {
        "secret_fields": tuple(row["secret_fields"]),
        "limits": load_limits(row["limits"]),
        "breaker": BreakerState(row["breaker"]),
        "status": ConnectionStatus(row["status"]),
    }
    return Connection(**{**row, **read})


def _credential(tenant_id: UUID, rows: Sequence[Any]) -> SealedCredential:
    row = rows[0]
    fields = [
        Stored.of(place_of(tenant_id, each["id"], each["field"]), each) for each in rows if each["field"]
    ]
    return SealedCredential(
        row["id"],
        row["base_url"],
        row["app_base_url"],
        row["config"],
        load_scheme(row["auth"]),
        row["token_version"],
        row["token_expires_at"],
        row["token_error"],
        row["token_lasts"],
        bool(row["token_is_new"]),
        row["token_trouble"],
        row["token_failures"],
        row["token_doubts"],
        bool(row["token_held_back"]),
        row["limited"],
        tuple(fields),
        row["updated_at"],
    )
