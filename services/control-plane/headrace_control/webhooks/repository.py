"""Webhooks in Postgres. Every function works inside the caller's transaction and tenant."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from headrace.errors import Conflict
from headrace.ids import new_id
from headrace.json_types import JsonObject
from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.answer_size import Sized
from headrace_control.answer_text import passed_on
from headrace_control.webhooks.model import Delivery, Terms, Webhook, WebhookAnswer

_sql = load("headrace_control.webhooks")

_NO_ID = UUID(int=2**128 - 1)


async def find(db: Db, tenant_id: UUID, name: str, *, lock: bool = False) -> Webhook | None:
    """With `lock` nobody else changes it until the transaction ends, and none of its messages starts a run."""
    if lock:
        await db.execute(_sql.lock_named, tenant_id, name)
    row = await db.fetchrow(_sql.named, tenant_id, name)
    return _webhook(row) if row else None


async def at_address(db: Db, tenant_id: UUID, webhook_id: UUID) -> Webhook | None:
    """The webhook, unless it is paused."""
    row = await db.fetchrow(_sql.at_address, tenant_id, webhook_id)
    return _webhook(row) if row else None


async def shown(
    db: Db, tenant_id: UUID, after: str, name: str | None, first: int, most: int
) -> Sized[Sequence[Webhook]]:
    """For answers, what may be large of them as texts: at most `first` by name, and one more without it; or the one of
    this name. None of them when that has more than `most` bytes."""
    rows = await db.fetch(_sql.shown, tenant_id, after, name, first, most)
    found = [
        _webhook({**row, "input": passed_on(row["input"]), "schema": passed_on(row["schema"])})
        for row in rows
        if row["id"] is not None
    ]
    return Sized(rows[0]["size"], found)


async def count(db: Db, tenant_id: UUID) -> int:
    counted: int = await db.fetchval(_sql.count, tenant_id)
    return counted


async def insert(db: Db, tenant_id: UUID, webhook_id: UUID, name: str, terms: Terms, acts_for: UUID) -> None:
    """Raises `Conflict` when the name is taken."""
    columns = (tenant_id, webhook_id, name, terms.workflow, *_terms(terms), acts_for)
    if await db.fetchval(_sql.insert, *columns) is None:
        raise Conflict("a webhook of this name is already there")


async def change(db: Db, tenant_id: UUID, webhook_id: UUID, terms: Terms, acts_for: UUID) -> None:
    await db.execute(_sql.change, tenant_id, webhook_id, terms.workflow, *_terms(terms), acts_for)


def _terms(terms: Terms) -> tuple[Any, ...]:
    return (
        terms.version,
        terms.input,
        terms.schema,
        terms.tolerance_seconds,
        terms.answer,
        terms.result_seconds,
    )


async def set_paused(db: Db, tenant_id: UUID, webhook_id: UUID, paused: bool) -> None:
    await db.execute(_sql.set_paused, tenant_id, webhook_id, paused)


async def delete(db: Db, tenant_id: UUID, webhook_id: UUID) -> None:
    await db.execute(_sql.delete, tenant_id, webhook_id)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a message's id: the run that it started and the body's digest, or nothing yet."""

    run_id: UUID | None
    digest: bytes | None


async def seen(db: Db, tenant_id: UUID, webhook_id: UUID, message_id: str) -> Seen | None:
    """None: the webhook is gone, or paused. It stays until the transaction ends."""
    row = await db.fetchrow(_sql.seen, tenant_id, webhook_id, message_id)
    return Seen(row["run_id"], row["digest"]) if row else None


async def keep_started(
    db: Db, tenant_id: UUID, webhook_id: UUID, message_id: str, digest: bytes, run_id: UUID
) -> bool:
    """Whether the id is this transaction's; else another one has started a run with it."""
    kept = await db.fetchval(_sql.keep_started, tenant_id, new_id(), webhook_id, message_id, digest, run_id)
    return kept is not None


async def keep_refused(db: Db, tenant_id: UUID, webhook_id: UUID, error: JsonObject, times: int) -> None:
    await db.execute(_sql.keep_refused, tenant_id, new_id(), webhook_id, error, times)


async def deliveries(
    db: Db, tenant_id: UUID, name: str, before: UUID | None, limit: int
) -> Sequence[Delivery]:
    """Newest first."""
    rows = await db.fetch(_sql.deliveries_below, tenant_id, name, before or _NO_ID, limit)
    return [Delivery(**row) for row in rows]


def _webhook(row: Any) -> Webhook:
    terms = Terms(
        row["workflow"],
        row["version"],
        row["input"],
        row["schema"],
        row["tolerance_seconds"],
        WebhookAnswer(row["answer"]),
        row["result_seconds"],
    )
    return Webhook(
        row["id"],
        row["name"],
        terms,
        row["acts_for"],
        row["paused"],
        row["created_at"],
        row["updated_at"],
        row["previous_until"],
        row["read_at"],
    )
