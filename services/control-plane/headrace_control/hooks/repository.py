"""Hooks in Postgres. Every function works inside the caller's transaction and tenant."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from headrace.errors import Conflict
from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.hooks.model import Hook, HookEvent, HookMessage, HookMessageStatus

_sql = load("headrace_control.hooks")

# Told when there is something to send; no payload. The triggers name it, too.
HOOKS_CHANNEL = "headrace_hooks"
_NO_ID = UUID(int=2**128 - 1)


async def find(db: Db, tenant_id: UUID, name: str, *, lock: bool = False) -> Hook | None:
    """With `lock` nobody else changes it until the transaction ends."""
    if lock:
        await db.execute(_sql.lock_named, tenant_id, name)
    row = await db.fetchrow(_sql.named, tenant_id, name)
    return _hook(row) if row else None


async def by_name(db: Db, tenant_id: UUID, after: str, limit: int) -> Sequence[Hook]:
    return [_hook(row) for row in await db.fetch(_sql.by_name, tenant_id, after, limit)]


async def count(db: Db, tenant_id: UUID) -> int:
    counted: int = await db.fetchval(_sql.count, tenant_id)
    return counted


async def insert(
    db: Db, tenant_id: UUID, hook_id: UUID, name: str, url: str, events: Sequence[HookEvent]
) -> None:
    """Raises `Conflict` when the name is taken."""
    if await db.fetchval(_sql.insert, tenant_id, hook_id, name, url, [*events]) is None:
        raise Conflict("a hook of this name is already there")


async def change(db: Db, tenant_id: UUID, hook_id: UUID, url: str, events: Sequence[HookEvent]) -> None:
    await db.execute(_sql.change, tenant_id, hook_id, url, [*events])


async def set_paused(db: Db, tenant_id: UUID, hook_id: UUID, paused: bool) -> None:
    """Its messages wait while it is paused."""
    await db.execute(_sql.set_paused, tenant_id, hook_id, paused)
    await db.execute(_sql.hold, tenant_id, hook_id, paused)


async def drop_messages(db: Db, tenant_id: UUID, hook_id: UUID, most: int) -> int:
    """How many of its messages went, at most `most`; those that are being sent stay."""
    return len(await db.fetch(_sql.drop_messages, tenant_id, hook_id, most))


async def delete(db: Db, tenant_id: UUID, hook_id: UUID) -> None:
    await db.execute(_sql.delete, tenant_id, hook_id)


async def messages(
    db: Db, tenant_id: UUID, name: str, before: UUID | None, limit: int
) -> Sequence[HookMessage]:
    """Newest first."""
    rows = await db.fetch(_sql.messages_below, tenant_id, name, before or _NO_ID, limit)
    return [
        HookMessage(**{**row, "event": HookEvent(row["event"]), "status": HookMessageStatus(row["status"])})
        for row in rows
    ]


async def resend(db: Db, tenant_id: UUID, hook_id: UUID) -> int:
    """How many were given up, and are sent again."""
    return len(await db.fetch(_sql.resend, tenant_id, hook_id))


async def tell(db: Db) -> None:
    """Wake whoever sends messages."""
    await db.execute(_sql.notify, HOOKS_CHANNEL)


def _hook(row: Any) -> Hook:
    return Hook(**{**row, "events": tuple(HookEvent(event) for event in row["events"])})
