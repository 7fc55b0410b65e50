"""What tenants make their runs keep to, as claims tell it: how actions are held, and quotas."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from headrace.postgres.pool import Pool, one_statement
from headrace.postgres.queries import load

from headrace_control.policy.model import Rule, Rules
from headrace_control.policy.repository import read_rule

_sql = load("headrace_control.internal_api")

_NO_RULES = Rules()
_NO_QUOTAS: Mapping[str, int | None] = {}


@dataclass(frozen=True, slots=True)
class Terms:
    """One tenant's; without any for one that says nothing. `quotas` is `{loop_items, log_records}`, or empty."""

    rules: Rules = _NO_RULES
    quotas: Mapping[str, int | None] = field(default_factory=lambda: _NO_QUOTAS)


NO_TERMS = Terms()


async def terms_of(pool: Pool, apps: Mapping[UUID, set[str]]) -> Mapping[UUID, Terms]:
    """What these tenants say now of these apps, and their quotas, in one statement; those that say something."""
    pairs = [(tenant_id, app) for tenant_id, named in apps.items() for app in ("", *named)]
    async with one_statement(pool) as db:
        rows = await db.fetch(_sql.terms, [tenant_id for tenant_id, _ in pairs], [app for _, app in pairs])
    return _terms(rows) if rows else {}


def _terms(rows: Sequence[Any]) -> Mapping[UUID, Terms]:
    rules: dict[UUID, list[Rule]] = {row["tenant_id"]: [] for row in rows}
    quotas: dict[UUID, Mapping[str, int | None]] = {}
    for row in rows:
        if row["app"] is None:
            quotas[row["tenant_id"]] = {name: row[name] for name in ("loop_items", "log_records")}
        else:
            rules[row["tenant_id"]].append(read_rule(row))
    return {i: Terms(Rules(own), quotas.get(i, _NO_QUOTAS)) for i, own in rules.items()}
