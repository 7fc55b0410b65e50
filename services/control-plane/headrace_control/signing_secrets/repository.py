"""Signing secrets in Postgres. Every function works inside the caller's transaction and tenant."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Self
from uuid import UUID

from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.vault.envelope import Place
from headrace_control.vault.vault import Sealed, Stored

_sql = load("headrace_control.signing_secrets")


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose secrets are meant, `HOOKS` or `WEBHOOKS`: the statements about theirs."""

    valid: str
    drop: str
    end: str
    add: str

    @classmethod
    def named_by(cls, column: str) -> Self:
        statements = (_sql.valid_secrets, _sql.drop_secrets, _sql.end_secret, _sql.add_secret)
        return cls(*(statement.replace("{owner}", column) for statement in statements))


HOOKS = Owners.named_by("hook_id")
WEBHOOKS = Owners.named_by("webhook_id")


async def valid_secrets(db: Db, tenant_id: UUID, owners: Owners, owner_id: UUID) -> Sequence[Stored]:
    """Those that count now."""
    rows = await db.fetch(owners.valid, tenant_id, owner_id)
    return [Stored.of(place_of(tenant_id, row["id"]), row) for row in rows]


async def replace_secret(
    db: Db, tenant_id: UUID, owners: Owners, owner_id: UUID, sealed: Sealed, overlap: timedelta
) -> None:
    """From now on the newest secret is this; the one before counts for `overlap` more, older ones at once no more."""
    await db.execute(owners.drop, tenant_id, owner_id, overlap)
    await db.execute(owners.end, tenant_id, owner_id, overlap)
    await db.execute(owners.add, tenant_id, sealed.place.owner_id, owner_id, sealed.key_id, sealed.sealed)


def place_of(tenant_id: UUID, secret_id: UUID) -> Place:
    return Place(tenant_id, "signing", secret_id, "secret")
