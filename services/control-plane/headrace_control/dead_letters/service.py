"""Dead letters as callers see them: lists, groups, statistics, discards."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from headrace.errors import InvalidInput, LimitExceeded, NotFound, Problem
from headrace.json_types import JsonObject
from headrace.postgres.pool import Pool, tenant_transaction

from headrace_control.answer_size import Sized, look_up
from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.dead_letters import repository
from headrace_control.dead_letters.model import (
    DeadLetter,
    DeadLetterBody,
    DeadLetterFilter,
    DeadLetterStatus,
    Group,
    GroupCount,
    Statistic,
    StatisticsBy,
)
from headrace_control.pages import MAX_PAGE, Cursor, PageOf, page_of, page_size

_LETTERS = Cursor("deadLetters")
MAX_REASON = 500
# What one discard of a group takes at most.
MOST_DISCARDED = 10_000


class DeadLetterService:
    """Over a pool of the role headrace_api."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self, caller: Caller, wanted: DeadLetterFilter, first: int, after: str | None
    ) -> PageOf[DeadLetter]:
        """Newest first. Raises `NotFound` for a workflow that is not there."""
        caller.require(Permission.READ)
        limit, before = page_size(first), _LETTERS.read_id(after)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await repository.page(db, caller.tenant_id, wanted, limit + 1, before)
        return page_of(found, limit, lambda letter: _LETTERS.write(letter.id))

    async def get(self, caller: Caller, letter_id: UUID) -> DeadLetter:
        caller.require(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            return await repository.by_id(db, caller.tenant_id, letter_id)

    async def body(self, caller: Caller, letter_id: UUID) -> DeadLetterBody:
        caller.require(Permission.READ)

        async def read(most: int) -> Sized[DeadLetterBody]:
            async with tenant_transaction(self._pool, caller.tenant_id) as db:
                return await repository.body(db, caller.tenant_id, letter_id, most)

        return await look_up(1, read)

    async def groups(
        self, caller: Caller, status: DeadLetterStatus, workflow: str | None
    ) -> Sequence[GroupCount]:
        """The largest groups, at most `MAX_PAGE`."""
        caller.require(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            named = await repository.workflow_id(db, caller.tenant_id, workflow)
            return await repository.groups(db, caller.tenant_id, status, named, MAX_PAGE)

    async def statistics(self, caller: Caller, by: StatisticsBy, since: datetime) -> Sequence[Statistic]:
        """Counts of what was given up since then, the largest first; at most `MAX_PAGE`."""
        caller.require(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            return await repository.statistics(db, caller.tenant_id, by, since, MAX_PAGE)

    async def discard(
        self,
        caller: Caller,
        ids: Sequence[UUID] | None,
        group: Group | None,
        workflow: str | None,
        reason: str,
    ) -> int:
        """Close dead letters for good, by their ids or all of a group (`MOST_DISCARDED` at a time); how many were open.

        Raises `InvalidInput`, and `NotFound` when there was none.
        """
        caller.require(Permission.CONTROL_RUNS)
        check_reason(reason)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            if group is not None and ids is None:
                named = await repository.workflow_id(db, caller.tenant_id, workflow)
                gone = await repository.discard_group(
                    db, caller.tenant_id, group, named, reason, MOST_DISCARDED
                )
            elif ids is not None and group is None:
                if workflow is not None:
                    raise InvalidInput([Problem("workflow", "it narrows a group", "Leave it out with ids.")])
                if len(ids) > MAX_PAGE:
                    raise LimitExceeded(f"at most {MAX_PAGE} dead letters are discarded by their ids at once")
                gone = await repository.discard(db, caller.tenant_id, ids, reason)
            else:
                raise InvalidInput([Problem("ids", "ids or a group are needed", "Give one of the two.")])
            if not gone:
                raise NotFound("open dead letter")
            detail: JsonObject = {"discarded": gone, "reason": reason}
            if group is not None:
                detail |= {"action": group.action, "code": group.code}
            target = f"dead_letter/{ids[0]}" if ids else "dead_letter"
            await record(db, caller, Act("dead_letter.discard", target, detail=detail))
        return gone


def check_reason(reason: str) -> None:
    """Raises `InvalidInput`."""
    if not 0 < len(reason.strip()) <= MAX_REASON or "\0" in reason:
        mend = f"Say why in 1 to {MAX_REASON} characters."
        raise InvalidInput([Problem("reason", "a reason is needed", mend)])
