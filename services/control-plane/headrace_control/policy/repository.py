"""Policy rules in Postgres. Every function works inside the caller's transaction and tenant."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.auth.caller import Actor
from headrace_control.auth.roles import Role
from headrace_control.policy.model import ApprovalClass, Rule, Rules, Terms

_sql = load("headrace_control.policy")


async def rules_of(db: Db, tenant_id: UUID, apps: Iterable[str]) -> Rules:
    """All that the tenant says of these apps."""
    return Rules(map(read_rule, await db.fetch(_sql.rules_of_apps, tenant_id, sorted(set(apps)))))


async def lock_rules(db: Db, tenant_id: UUID, app: str) -> Sequence[Rule]:
    """The rules of an app, which nobody else changes until the transaction ends."""
    return [read_rule(row) for row in await db.fetch(_sql.lock_rules_of_app, tenant_id, app)]


async def rules_after(db: Db, tenant_id: UUID, place: tuple[str, str], limit: int) -> Sequence[Rule]:
    """By app and action; an app's own comes before those of its actions."""
    return [read_rule(row) for row in await db.fetch(_sql.rules_after, tenant_id, *place, limit)]


async def lock_app(db: Db, tenant_id: UUID, app: str) -> bool:
    """Whether there is such an app; its row is locked then."""
    return await db.fetchval(_sql.lock_app, tenant_id, app) is not None


async def declared(db: Db, tenant_id: UUID, app: str, action: str | None) -> dict[str, str | None]:
    """What the app's actions, or this one, declare in their newest revisions, by name."""
    rows = await db.fetch(_sql.declared, tenant_id, app, action)
    return {row["name"]: row["declared"] for row in rows}


async def count_rules(db: Db, tenant_id: UUID) -> int:
    counted: int = await db.fetchval(_sql.count_rules, tenant_id)
    return counted


async def put_rule(db: Db, tenant_id: UUID, rule: Rule, actor: Actor) -> Rule:
    row = await db.fetchrow(
        _sql.put_rule,
        tenant_id,
        rule.app,
        rule.action or "",
        rule.approval_class,
        rule.terms.two_person,
        list(rule.terms.roles),
        rule.terms.expires_after_ms,
        rule.reason,
        actor.id,
        actor.name,
    )
    return read_rule(row)


async def delete_rule(db: Db, tenant_id: UUID, rule: Rule) -> None:
    await db.execute(_sql.delete_rule, tenant_id, rule.app, rule.action or "")


def read_rule(row: Any) -> Rule:
    return Rule(
        row["app"],
        row["action"] or None,
        ApprovalClass(row["approval_class"]),
        Terms(
            row["two_person"], tuple(Role(role) for role in row["approver_roles"]), row["expires_after_ms"]
        ),
        row["reason"],
        row["set_by_name"],
        row["set_at"],
    )
