"""The audit as callers see it, and what is recorded of those who were refused."""

from datetime import datetime

import structlog
from headrace.errors import HeadraceError, InvalidInput, Problem, Unavailable
from headrace.postgres.pool import Pool, tenant_transaction
from headrace.postgres.queries import load

from headrace_control.audit.model import AuditFilter, Head, Sealed, read_record
from headrace_control.audit.record import Act, AuditOutcome, Doer, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.pages import Cursor, PageOf, page_of, page_size

_log = structlog.get_logger(__name__)
_sql = load("headrace_control.audit")
_RECORDS = Cursor("auditRecords")
_CHAIN = Cursor("auditChain")
_NO_CURSOR = Problem("after", "not a cursor of this list", "use a page's endCursor")
# What a refusal tells of its target comes from the request, and is cut.
MAX_TARGET = 200


class AuditService:
    """Over a pool of the role headrace_api, which can read a chain and write none."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self, caller: Caller, wanted: AuditFilter, first: int, after: str | None
    ) -> PageOf[Sealed]:
        """The tenant's records, newest first. What was done in the last second may not be there yet."""
        caller.require(Permission.READ_AUDIT)
        limit, place = page_size(first), _record_place(after)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            rows = await db.fetch(
                _sql.newest,
                caller.tenant_id,
                wanted.action,
                wanted.actor,
                wanted.target,
                wanted.outcome,
                wanted.since,
                wanted.until,
                *(place or (None, None)),
                limit + 1,
            )
        found = [Sealed(read_record(row, row["seq"]), row["previous"], row["hash"]) for row in rows]
        return page_of(
            found, limit, lambda one: _RECORDS.write(one.record.at.isoformat(), str(one.record.seq))
        )

    async def chain(self, caller: Caller, first: int, after: str | None) -> PageOf[Sealed]:
        """The tenant's whole chain, in its own order: all that is needed to verify it."""
        caller.require(Permission.READ_AUDIT)
        limit, last = page_size(first), _seq(_CHAIN.read_text(after))
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            rows = await db.fetch(_sql.chain, caller.tenant_id, last, limit + 1)
        found = [Sealed(read_record(row, row["seq"]), row["previous"], row["hash"]) for row in rows]
        return page_of(found, limit, lambda one: _CHAIN.write(str(one.record.seq)))

    async def head(self, caller: Caller) -> Head | None:
        """The end of the tenant's chain; None when it has none yet."""
        caller.require(Permission.READ_AUDIT)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            row = await db.fetchrow(_sql.head, caller.tenant_id)
        return Head(row["seq"], row["hash"], row["at"]) if row else None

    async def refused(self, caller: Doer, action: str, target: str, error: HeadraceError) -> None:
        """Record that the caller was refused something, in the caller's own tenant whosever the thing is.

        The refusal stands whether or not it can be recorded now.
        """
        act = Act(
            action,
            target[:MAX_TARGET],
            outcome=AuditOutcome.REFUSED,
            detail={"code": error.code, "message": error.message},
        )
        try:
            async with tenant_transaction(self._pool, caller.tenant_id) as db:
                await record(db, caller, act)
        except Unavailable as away:
            _log.error(
                "a refusal could not be recorded",
                tenant_id=str(caller.tenant_id),
                correlation_id=caller.origin.correlation_id,
                error=type(away).__name__,
            )


def _record_place(after: str | None) -> tuple[datetime, int] | None:
    key = _RECORDS.read(after, parts=2)
    if key is None:
        return None
    try:
        at = datetime.fromisoformat(key[0])
    except ValueError:
        raise InvalidInput([_NO_CURSOR]) from None
    if at.tzinfo is None:
        raise InvalidInput([_NO_CURSOR])
    return at, _seq(key[1])


def _seq(text: str | None) -> int:
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidInput([_NO_CURSOR])
    return int(text)
