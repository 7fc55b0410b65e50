"""Runs that are about to be begun, and the statement that inserts them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import orjson
from headrace.concurrency.turns import Slot, Turn
from headrace.ids import new_id
from headrace.json_types import JsonObject
from headrace.pools import stored
from headrace.postgres.listen import DISPATCH_CHANNEL
from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.sealed_outputs import seal_input, to_seal
from headrace.workflow.concurrency import slot_key

from headrace_control.audit.record import Doer
from headrace_control.runs.limited import LimitedStart
from headrace_control.runs.model import Run, Trigger
from headrace_control.runs.parameters import StartRule
from headrace_control.runs.wishes import Wish
from headrace_control.tracing import AcceptedRuns

_sql = load("headrace_control.runs", "starting.sql")


@dataclass(frozen=True, slots=True)
class Noted:
    """Who the audit says has started the runs, in one record, and what it says beside which they are and how many."""

    doer: Doer
    detail: JsonObject


@dataclass(frozen=True, slots=True)
class StartedBy:
    """Who starts the runs, what triggers them, if anything does, and who learns of it by the statement that inserts
    them: the audit, if it is `noted`, and the relays, if it `wakes` them."""

    actor_id: UUID
    noted: Noted | None
    wakes: bool
    trigger: Trigger | None = None


@dataclass(frozen=True, slots=True)
class NewRun:
    """The run of a wish, by the `rule` of its version; `encoded` is the input as it is stored."""

    wish: Wish
    run: Run
    dispatch_id: UUID
    rule: StartRule
    encoded: str

    @classmethod
    def of(cls, wish: Wish, run: Run, rule: StartRule) -> "NewRun":
        return cls(wish, run, new_id(), rule, wish.encoded)

    @property
    def holds_secrets(self) -> bool:
        """Whether the input holds what its version marks as sensitive."""
        marks = self.rule.marks
        return marks is not None and to_seal(marks, self.wish.start.input)

    def sealed(self, tenant_id: UUID, key: bytes) -> "NewRun":
        """With what its version marks as sensitive sealed by `key`, which is the run's own."""
        if self.rule.marks is None:
            return self
        sealed = seal_input(key, tenant_id, self.run.id, self.rule.marks, self.wish.start.input)
        return replace(self, encoded=orjson.dumps(sealed).decode())

    def limited(self, tenant_id: UUID) -> LimitedStart | None:
        """Its place among the runs of which only so many may be unfinished; None without such a limit."""
        rule = self.rule.concurrency
        if rule is None:
            return None
        slot = Slot(tenant_id, self.run.workflow_id, slot_key(rule, self.wish.start.input))
        turn = Turn(slot, self.run.id, self.dispatch_id, rule.limit)
        return LimitedStart(turn, rule.on_limit, self.wish.start.key)


async def insert(db: Db, tenant_id: UUID, new: Sequence[NewRun], by: StartedBy) -> Collection[UUID]:
    """Insert keys, runs and dispatches; the ids of the runs that were begun. The key of one that was not is taken."""
    accepted = AcceptedRuns(tenant_id, [one.run.id for one in new])
    rows = await db.fetch(
        _sql.start,
        tenant_id,
        [one.run.id for one in new],
        [one.dispatch_id for one in new],
        [one.run.workflow_id for one in new],
        [one.run.version_id for one in new],
        [one.encoded for one in new],
        [one.wish.start.key for one in new],
        [one.wish.digest for one in new],
        [one.rule.concurrency is not None for one in new],
        by.actor_id,
        DISPATCH_CHANNEL if by.wakes else None,
        [accepted.of(one.run.id) for one in new],
        [stored(one.run.pool) for one in new],
        *_record(by.noted),
        by.trigger.as_json() if by.trigger else None,
        f"{by.trigger.kind}:{by.trigger.name}" if by.trigger else None,
    )
    begun = {row["id"] for row in rows}
    accepted.begun(begun)
    return begun


def _record(noted: Noted | None) -> Sequence[object]:
    """The parameters of `start` about the record."""
    if noted is None:
        return (None,) * 7
    actor, origin = noted.doer.actor, noted.doer.origin
    return new_id(), actor.kind, actor.id, actor.name, noted.detail, origin.correlation_id, origin.address
