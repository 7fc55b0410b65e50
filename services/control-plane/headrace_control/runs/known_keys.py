"""Idempotency keys that were used before: a start with one is answered with the run that it started."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from headrace.errors import Conflict, NotFound
from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.runs import repository
from headrace_control.runs.wishes import Answer, Wish

_sql = load("headrace_control.runs", "starting.sql")


async def answers_by_key(db: Db, tenant_id: UUID, wishes: Sequence[Wish]) -> dict[int, Answer]:
    """By the places of those wishes whose key is known: the run that it started, or a conflict."""
    keyed = [wish for wish in wishes if wish.start.key is not None]
    if not keyed:
        return {}
    found = await db.fetch(_sql.known_keys, tenant_id, sorted({str(w.start.key) for w in keyed}))
    known: Mapping[str, Any] = {row["key"]: row for row in found}
    if not known:
        return {}
    runs = await repository.runs_by_id(db, tenant_id, [row["run_id"] for row in found])
    answers: dict[int, Answer] = {}
    for wish in keyed:
        row = known.get(str(wish.start.key))
        if row is None:
            continue
        if row["digest"] != wish.digest:
            differs = "its workflow, version, input or what it runs again differs"
            answers[wish.n] = Conflict(f"the idempotency key was used for another start: {differs}")
        else:
            answers[wish.n] = runs.get(row["run_id"]) or NotFound("run")
    return answers
