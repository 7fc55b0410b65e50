"""Starting runs: many wishes in one transaction, each answered on its own.

A start is two statements, or three with an idempotency key, however many runs it starts: what would run, and
the insertion of keys, runs and dispatches. Those of workflows that limit their runs cost a few more.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import orjson
from headrace.concurrency.turns import Slot, Turn
from headrace.errors import Conflict, HeadraceError, InvalidInput, NotFound
from headrace.ids import new_id
from headrace.json_types import JsonObject
from headrace.pools import stored
from headrace.postgres.listen import DISPATCH_CHANNEL
from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.sealed_outputs import seal_input, to_seal
from headrace.workflow.concurrency import slot_key
from headrace.workflow.document import Concurrency
from headrace.workflow.sensitive import Marks
from headrace.workflow.state import ParkReason

from headrace_control.audit.record import Doer
from headrace_control.quotas.starts import StartQuotas
from headrace_control.runs import repository
from headrace_control.runs.limited import LimitedStart, LimitedStarts
from headrace_control.runs.model import Run, RunStart
from headrace_control.runs.parameters import Parameters
from headrace_control.runs.startable import startables
from headrace_control.runs.wishes import Wish, read_wish
from headrace_control.tracing import AcceptedRuns
from headrace_control.vault.envelope import KeysShredded, SecretUnreadable
from headrace_control.vault.output_keys import OutputKeys

_sql = load("headrace_control.runs")

MAX_STARTS = 1000

Answer = Run | HeadraceError


@dataclass(frozen=True, slots=True)
class Started:
    """The run or the error of each start, in their order; and the ids of the runs that are new, in order too."""

    answers: Sequence[Answer]
    begun: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class Noted:
    """Who the audit says has started the runs, in one record, and what it says beside which they are and how many."""

    doer: Doer
    detail: JsonObject


@dataclass(frozen=True, slots=True)
class _Told:
    """Who learns of the starts by the statement that inserts them: the audit, and the relays on a channel."""

    noted: Noted | None
    channel: str | None


@dataclass(frozen=True, slots=True)
class _New:
    wish: Wish
    run: Run
    dispatch_id: UUID
    limited: bool
    marks: Marks | None

    def sealed(self, tenant_id: UUID, key: bytes) -> "_New":
        if self.marks is None:
            return self
        stored = seal_input(key, tenant_id, self.run.id, self.marks, self.wish.start.input)
        return replace(self, wish=replace(self.wish, encoded=orjson.dumps(stored).decode()))


async def start_runs(
    db: Db,
    tenant_id: UUID,
    created_by: UUID,
    starts: Sequence[RunStart],
    parameters: Parameters,
    quotas: StartQuotas,
    keys: OutputKeys,
    noted: Noted | None = None,
    *,
    wakes: bool = True,
) -> Started:
    """Start what can be started; `db` is inside a tenant's transaction.

    `InvalidInput` lists every problem of one start with paths under `input`; `NotFound` and `Conflict` name
    what is missing or in the way, `QuotaExceeded` what the tenant has used up, `TenantEnding` that it is to be
    deleted; `KeysShredded` and `SecretUnreadable` say that a sensitive input can not be sealed. Runs are minted in
    order, with this transaction's time in their ids. Without `noted` the caller records the starts; unless the
    transaction `wakes` the relays, the caller does (see `nudges`).
    """
    answers: dict[int, Answer] = {}
    wishes = [w for n, start in enumerate(starts) if (w := read_wish(n, start, answers))]
    await _answer_known_keys(db, tenant_id, wishes, answers)
    open_wishes = [wish for wish in wishes if wish.n not in answers]
    found = await startables(db, tenant_id, open_wishes, answers)
    version_ids = set().union(*(one.version_ids for one in found.values()))
    rules = await parameters.of(db, tenant_id, version_ids)
    new: list[_New] = []
    limited: list[LimitedStart] = []
    for wish in open_wishes:
        startable = found.get((wish.start.workflow, wish.start.version))
        if wish.n in answers or startable is None:
            continue
        run = startable.fresh(wish.start.input)
        rule = rules[run.version_id]
        if problems := rule.problems(wish.start.input):
            answers[wish.n] = InvalidInput(problems)
            continue
        one = _New(wish, run, new_id(), rule.concurrency is not None, rule.marks)
        new.append(one)
        if rule.concurrency:
            limited.append(_limited(tenant_id, one, rule.concurrency))
    new = await _sealed(db, tenant_id, new, keys, answers)
    admitted = await quotas.admit(db, tenant_id, [len(one.wish.encoded) for one in new])
    for one, refusal in zip(new, admitted, strict=True):
        if refusal is not None:
            answers[one.wish.n] = refusal
    new = [one for one in new if one.wish.n not in answers]
    let_in = {one.run.id for one in new}
    limited = [start for start in limited if start.run_id in let_in]
    told = _Told(noted, DISPATCH_CHANNEL if wakes else None)
    if limited:
        begun = await _insert_limited(db, tenant_id, created_by, new, limited, told, answers)
    else:
        begun = await _insert(db, tenant_id, created_by, new, told, answers)
    return Started(
        [answers[n] for n in range(len(starts))], [one.run.id for one in new if one.run.id in begun]
    )


async def _sealed(
    db: Db, tenant_id: UUID, new: Sequence[_New], keys: OutputKeys, answers: dict[int, Answer]
) -> list[_New]:
    """The starts with what their versions mark as sensitive sealed in their inputs, each by its run's own key. Where
    none holds such a value no key is asked for: its provider may be away."""
    marked = [one for one in new if one.marks and to_seal(one.marks, one.wish.start.input)]
    if not marked:
        return list(new)
    try:
        found = await keys.within(db, tenant_id, [one.run.id for one in marked])
    except (KeysShredded, SecretUnreadable) as error:
        answers.update((one.wish.n, error) for one in marked)
        return [one for one in new if one.wish.n not in answers]
    return [one.sealed(tenant_id, found[one.run.id]) if one.run.id in found else one for one in new]


async def _answer_known_keys(
    db: Db, tenant_id: UUID, wishes: Sequence[Wish], answers: dict[int, Answer]
) -> None:
    """Starts whose key was used before: the run that it started, or a conflict."""
    keyed = [wish for wish in wishes if wish.start.key is not None]
    if not keyed:
        return
    found = await db.fetch(_sql.known_keys, tenant_id, sorted({str(w.start.key) for w in keyed}))
    known: Mapping[str, Any] = {row["key"]: row for row in found}
    if not known:
        return
    runs = await repository.runs_by_id(db, tenant_id, [row["run_id"] for row in found])
    for wish in keyed:
        row = known.get(str(wish.start.key))
        if row is None:
            continue
        if row["digest"] != wish.digest:
            differs = "its workflow, version, input or what it runs again differs"
            answers[wish.n] = Conflict(f"the idempotency key was used for another start: {differs}")
        else:
            answers[wish.n] = runs.get(row["run_id"]) or NotFound("run")


def _limited(tenant_id: UUID, one: _New, rule: Concurrency) -> LimitedStart:
    slot = Slot(tenant_id, one.run.workflow_id, slot_key(rule, one.wish.start.input))
    return LimitedStart(
        Turn(slot, one.run.id, one.dispatch_id, rule.limit), rule.on_limit, one.wish.start.key
    )


async def _insert_limited(
    db: Db,
    tenant_id: UUID,
    created_by: UUID,
    new: Sequence[_New],
    limited: Sequence[LimitedStart],
    told: _Told,
    answers: dict[int, Answer],
) -> Collection[UUID]:
    """As `_insert`, where some of the runs may have to wait, or are not wanted now."""
    starts = LimitedStarts(db, tenant_id, limited)
    await starts.lock()
    # The same start may have been under way in another transaction, and be in our way now.
    await _answer_known_keys(db, tenant_id, [one.wish for one in new if one.limited], answers)
    wanted = {one.run.id for one in new if one.wish.n not in answers}
    refused = await starts.refused(wanted)
    for one in new:
        if one.run.id in refused:
            answers[one.wish.n] = refused[one.run.id]
    let_in = [one for one in new if one.wish.n not in answers]
    begun = await _insert(db, tenant_id, created_by, let_in, told, answers)
    waiting = await starts.enter(begun)
    for one in new:
        if one.run.id in waiting:
            answers[one.wish.n] = replace(one.run, wait_reason=ParkReason.CONCURRENCY)
    return begun


async def _insert(
    db: Db,
    tenant_id: UUID,
    created_by: UUID,
    new: Sequence[_New],
    told: _Told,
    answers: dict[int, Answer],
) -> Collection[UUID]:
    """The ids of the runs that were begun."""
    if not new:
        return ()
    accepted = AcceptedRuns(tenant_id, [one.run.id for one in new])
    rows = await db.fetch(
        _sql.start,
        tenant_id,
        [one.run.id for one in new],
        [one.dispatch_id for one in new],
        [one.run.workflow_id for one in new],
        [one.run.version_id for one in new],
        [one.wish.encoded for one in new],
        [one.wish.start.key for one in new],
        [one.wish.digest for one in new],
        [one.limited for one in new],
        created_by,
        told.channel,
        [accepted.of(one.run.id) for one in new],
        [stored(one.run.pool) for one in new],
        *_record(told.noted),
    )
    begun = {row["id"] for row in rows}
    accepted.begun(begun)
    for one in new:
        if one.run.id in begun:
            answers[one.wish.n] = one.run
    # Someone else's start with the same key was committed in between, or stands earlier in this batch.
    await _answer_known_keys(db, tenant_id, [one.wish for one in new if one.run.id not in begun], answers)
    for one in new:
        # Its key came of age, and was forgotten, between the two statements.
        answers.setdefault(one.wish.n, Conflict("the idempotency key has just expired: start again"))
    return begun


def _record(noted: Noted | None) -> Sequence[object]:
    """The last parameters of `start`."""
    if noted is None:
        return (None,) * 7
    actor, origin = noted.doer.actor, noted.doer.origin
    return new_id(), actor.kind, actor.id, actor.name, noted.detail, origin.correlation_id, origin.address
