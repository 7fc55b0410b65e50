"""Dead letters that belong to no tenant, as the platform's admins see and close them.

What is in them is not shown: it may be any tenant's, and these callers have no business to see that.
"""

from collections.abc import Sequence
from uuid import UUID

from headrace.errors import InvalidInput, LimitExceeded, NotFound, Problem
from headrace.json_types import JsonObject
from headrace.postgres.pool import Pool, transaction

from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.dead_letters import nobodys_repository as repository
from headrace_control.dead_letters.gauges import IN_INDEX_ORDER
from headrace_control.dead_letters.model import DeadLetterStatus, NobodysDeadLetter
from headrace_control.dead_letters.service import MOST_DISCARDED, check_reason
from headrace_control.pages import MAX_PAGE, Cursor, PageOf, page_of, page_size

_LETTERS = Cursor("nobodysDeadLetters")


class NobodysDeadLetterService:
    """Over a pool of the role headrace_worker: that of the API sees rows of tenants alone."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self, caller: Caller, status: DeadLetterStatus, first: int, after: str | None
    ) -> PageOf[NobodysDeadLetter]:
        """Newest first."""
        caller.require(Permission.MANAGE_TENANTS)
        limit, before = page_size(first), _LETTERS.read_id(after)
        async with transaction(self._pool, IN_INDEX_ORDER) as db:
            found = await repository.page(db, status, limit + 1, before)
        return page_of(found, limit, lambda letter: _LETTERS.write(letter.id))

    async def discard(
        self, caller: Caller, ids: Sequence[UUID] | None, source: str | None, reason: str
    ) -> int:
        """Close them for good, by their ids or all of a source (`MOST_DISCARDED` at a time); how many were open.

        Raises `InvalidInput`, and `NotFound` when there was none.
        """
        caller.require(Permission.MANAGE_TENANTS)
        check_reason(reason)
        if (ids is None) == (source is None):
            raise InvalidInput([Problem("ids", "ids or a source are needed", "Give one of the two.")])
        if len(ids or ()) > MAX_PAGE:
            raise LimitExceeded(f"at most {MAX_PAGE} dead letters are discarded by their ids at once")
        async with transaction(self._pool, IN_INDEX_ORDER) as db:
            if source is not None:
                ids = await repository.open_of(db, source, MOST_DISCARDED)
            gone = await repository.discard(db, ids or (), reason)
            if not gone:
                raise NotFound("open dead letter")
            detail: JsonObject = {"discarded": gone, "reason": reason, "source": source}
            target = "dead_letter" if source is not None or not ids else f"dead_letter/{ids[0]}"
            await record(db, caller, Act("dead_letter.discard_nobodys", target, detail=detail))
        return gone
