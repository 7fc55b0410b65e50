"""A batch of starts: each stage answers some of its wishes, and goes on with those that are still open."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from uuid import UUID

from headrace.errors import Conflict, InvalidInput
from headrace.postgres.pool import Db
from headrace.workflow.state import ParkReason

from headrace_control.quotas.starts import AskedFor, Room, StartQuotas
from headrace_control.runs.known_keys import answers_by_key
from headrace_control.runs.limited import LimitedStart, LimitedStarts
from headrace_control.runs.model import RunStart
from headrace_control.runs.new_runs import NewRun, StartedBy, insert
from headrace_control.runs.parameters import Parameters
from headrace_control.runs.startable import startables
from headrace_control.runs.wishes import Answer, Wish, read_wish
from headrace_control.vault.envelope import KeysShredded, SecretUnreadable
from headrace_control.vault.output_keys import OutputKeys


class Batch:
    """The stages are asked for in the order in which they stand here; `db` is inside a tenant's transaction.

    `answers` are by the places of the starts, and complete after the last stage; `new` are the runs that were wished
    for, those that are refused later included, in order.
    """

    def __init__(self, db: Db, tenant_id: UUID, starts: Sequence[RunStart], by: StartedBy) -> None:
        self._db, self._tenant_id, self._by = db, tenant_id, by
        self.answers: dict[int, Answer] = {}
        self._wishes = [w for n, start in enumerate(starts) if (w := read_wish(n, start, self.answers))]
        self.new: list[NewRun] = []
        self._room: Room | None = None

    async def answer_known_keys(self) -> None:
        """Starts whose key was used before are answered with what it started."""
        await self._answer_by_key(self._wishes)

    async def find_versions(self, parameters: Parameters) -> None:
        """What would run for each wish, as far as its version lets it."""
        wishes = [wish for wish in self._wishes if wish.n not in self.answers]
        found = await startables(self._db, self._tenant_id, wishes, self.answers)
        version_ids = set().union(*(one.version_ids for one in found.values()))
        rules = await parameters.of(self._db, self._tenant_id, version_ids)
        for wish in wishes:
            if wish.n in self.answers:
                continue
            startable = found[wish.start.workflow, wish.start.version]
            run = startable.fresh(wish.start.input, self._by.actor_id)
            rule = rules[run.version_id]
            if problems := rule.problems(wish.start.input):
                self.answers[wish.n] = InvalidInput(problems)
            else:
                self.new.append(NewRun.of(wish, run, rule))

    async def seal(self, keys: OutputKeys) -> None:
        """What versions mark as sensitive is sealed in the inputs, each by its run's own key. Where none holds such a
        value no key is asked for: its provider may be away."""
        marked = [one for one in self._open if one.holds_secrets]
        if not marked:
            return
        try:
            found = await keys.within(self._db, self._tenant_id, [one.run.id for one in marked])
        except (KeysShredded, SecretUnreadable) as error:
            self.answers.update((one.wish.n, error) for one in marked)
            return
        self.new = [
            one.sealed(self._tenant_id, found[one.run.id]) if one.run.id in found else one for one in self.new
        ]

    async def admit(self, quotas: StartQuotas) -> None:
        """What the tenant's quotas have no room for is refused."""
        room = await quotas.room(self._db, self._tenant_id) if self._open else None
        if room is None:
            return
        self._room = room
        refusals = room.refusals(self._asked_for())
        if any(refusals):
            # The same start may have been under way in another transaction, and have what room there was.
            await self._answer_by_key([one.wish for one in self._open])
            refusals = room.refusals(self._asked_for())
        for one, refusal in zip(self._open, refusals, strict=True):
            if refusal is not None:
                self.answers[one.wish.n] = refusal

    async def begin(self) -> Collection[UUID]:
        """The runs are begun, but for those that may not go on now; the ids of those that were. No other start uses
        the tenant's quotas up."""
        limited = [start for one in self._open if (start := one.limited(self._tenant_id))]
        begun = await (self._insert_limited(limited) if limited else self._insert())
        if self._room is not None:
            await self._room.take(self._db, len(begun))
        return begun

    async def _insert_limited(self, limited: Sequence[LimitedStart]) -> Collection[UUID]:
        """As `_insert`, where some of the runs may have to wait, or are not wanted now."""
        starts = LimitedStarts(self._db, self._tenant_id, limited)
        await starts.lock()
        # The same start may have been under way in another transaction, and be in our way now.
        await self._answer_by_key([one.wish for one in self._open if one.rule.concurrency])
        refused = await starts.refused({one.run.id for one in self._open})
        self.answers.update((one.wish.n, refused[one.run.id]) for one in self._open if one.run.id in refused)
        begun = await self._insert()
        waiting = await starts.enter(begun)
        for one in self.new:
            if one.run.id in waiting:
                self.answers[one.wish.n] = replace(one.run, wait_reason=ParkReason.CONCURRENCY)
        return begun

    async def _insert(self) -> Collection[UUID]:
        new = self._open
        if not new:
            return ()
        begun = await insert(self._db, self._tenant_id, new, self._by)
        self.answers.update((one.wish.n, one.run) for one in new if one.run.id in begun)
        # Someone else's start with the same key was committed in between, or stands earlier in this batch.
        await self._answer_by_key([one.wish for one in self._open])
        for one in self._open:
            # Its key came of age, and was forgotten, between the two statements.
            self.answers[one.wish.n] = Conflict("the idempotency key has just expired: start again")
        return begun

    @property
    def _open(self) -> list[NewRun]:
        return [one for one in self.new if one.wish.n not in self.answers]

    def _asked_for(self) -> list[AskedFor]:
        return [AskedFor(len(one.wish.encoded.encode()), one.wish.start.key) for one in self._open]

    async def _answer_by_key(self, wishes: Sequence[Wish]) -> None:
        self.answers.update(await answers_by_key(self._db, self._tenant_id, wishes))
