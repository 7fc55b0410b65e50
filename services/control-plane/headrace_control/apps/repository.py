"""Apps, actions and revisions in Postgres."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from headrace.ids import new_id
from headrace.json_types import JsonObject
from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.workflow.retry import dump_retry, load_retry

from headrace_control.answer_size import Sized
from headrace_control.apps.auth_scheme import dump_scheme, load_scheme
from headrace_control.apps.limits import dump_limits, load_limits
from headrace_control.apps.model import Action, App, AppFields, Revision

_sql = load("headrace_control.apps")


@dataclass(frozen=True, slots=True)
class AppUses:
    """Whether connections or actions belong to an app, and whether there are secrets that may be sent to it by name."""

    connections: bool
    actions: bool
    secrets: bool


async def insert_app(db: Db, tenant_id: UUID, name: str, written: AppFields) -> App | None:
    """None when the name is taken."""
    row = await db.fetchrow(_sql.insert_app, tenant_id, new_id(), name, *_columns(written))
    return _app(row) if row else None


async def find_app(db: Db, tenant_id: UUID, name: str) -> App | None:
    row = await db.fetchrow(_sql.app_named, tenant_id, name)
    return _app(row) if row else None


async def keep_app(db: Db, tenant_id: UUID, name: str) -> App | None:
    """As `find_app`, and nobody deletes it until the transaction ends."""
    row = await db.fetchrow(_sql.keep_app, tenant_id, name)
    return _app(row) if row else None


async def lock_app(db: Db, tenant_id: UUID, name: str) -> App | None:
    """As `find_app`, and nobody else changes it until the transaction ends."""
    row = await db.fetchrow(_sql.lock_app, tenant_id, name)
    return _app(row) if row else None


async def apps_by_id(db: Db, tenant_id: UUID, ids: Sequence[UUID]) -> dict[UUID, App]:
    return {row["id"]: _app(row) for row in await db.fetch(_sql.apps_by_id, tenant_id, ids)}


async def list_apps(db: Db, tenant_id: UUID, after: str | None, limit: int) -> Sequence[App]:
    """By name."""
    return [_app(row) for row in await db.fetch(_sql.apps_after, tenant_id, after or "", limit)]


async def update_app(db: Db, tenant_id: UUID, app_id: UUID, written: AppFields) -> App:
    return _app(await db.fetchrow(_sql.update_app, tenant_id, app_id, *_columns(written)))


async def app_uses(db: Db, tenant_id: UUID, app_id: UUID) -> AppUses:
    row: Any = await db.fetchrow(_sql.app_uses, tenant_id, app_id)
    return AppUses(**row)


async def delete_app(db: Db, tenant_id: UUID, app_id: UUID) -> None:
    await db.execute(_sql.delete_app, tenant_id, app_id)


async def save_revision(
    db: Db, tenant_id: UUID, app_id: UUID, name: str, definition: JsonObject, digest: str, created_by: UUID
) -> bool:
    """Add a revision unless the newest one has this digest; whether one was added."""
    action_id = await db.fetchval(_sql.lock_action, tenant_id, new_id(), app_id, name)
    latest = await db.fetchrow(_sql.latest_revision, tenant_id, action_id)
    if latest is not None and latest["digest"] == digest:
        return False
    number = latest["number"] + 1 if latest else 1
    await db.execute(
        _sql.insert_revision, tenant_id, new_id(), action_id, number, definition, digest, created_by
    )
    return True


async def latest_actions(
    db: Db, tenant_id: UUID, refs: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Action]:
    """The actions named by (app, action), each with its newest revision; those that do not exist are left out."""
    apps, names = [app for app, _ in refs], [name for _, name in refs]
    rows = await db.fetch(_sql.actions_named, tenant_id, apps, names)
    return {(row["app"], row["name"]): _action(row) for row in rows}


async def list_actions(
    db: Db, tenant_id: UUID, app: str | None, after: tuple[str, str], limit: int
) -> Sequence[Action]:
    """By the names of app and action."""
    rows = await db.fetch(_sql.actions_after, tenant_id, app, *after, limit)
    return [_action(row) for row in rows]


async def list_revisions(
    db: Db, tenant_id: UUID, app: str, name: str, below: int, limit: int
) -> Sequence[Revision]:
    """Newest first."""
    rows = await db.fetch(_sql.revisions_below, tenant_id, app, name, below, limit)
    return [_revision(row, row["action_id"]) for row in rows]


async def definitions(db: Db, tenant_id: UUID, ids: Sequence[UUID], most: int) -> Sized[Mapping[UUID, bytes]]:
    """What revisions say, as JSON texts. None of them when they have more than `most` bytes together."""
    rows = await db.fetch(_sql.definitions, tenant_id, ids, most)
    return Sized(rows[0]["size"], {row["id"]: row["definition"] for row in rows if row["id"] is not None})


def _columns(written: AppFields) -> tuple[Any, ...]:
    retry = dump_retry(written.retry) if written.retry else None
    limits = dump_limits(written.limits) if written.limits else None
    return written.title, written.base_url, dump_scheme(written.auth), retry, limits


def _app(row: Any) -> App:
    read = {
        "auth": load_scheme(row["auth"]),
        "retry": load_retry(row["retry"]),
        "limits": load_limits(row["limits"]),
    }
    return App(**{**row, **read})


def _action(row: Any) -> Action:
    return Action(
        row["id"], row["app_id"], row["app"], row["name"], row["created_at"], _revision(row, row["id"])
    )


def _revision(row: Any, action_id: UUID) -> Revision:
    return Revision(
        row["revision_id"],
        action_id,
        row["number"],
        row["digest"],
        row["revised_at"],
        row["created_by"],
    )
