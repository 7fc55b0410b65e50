"""The port to the log store. Adapters: MongoDB's protocol (production) and Postgres (embedded).

The contract, which `tests/contract/test_logstore*.py` hold both adapters to:

- **Append** is durable on return, and idempotent by record id: a batch delivered twice is stored once.
- **Search** is newest first by `(at, id)`, always within one tenant. Words match whole words of the
  message, without regard to case, all of them. A page's cursor names its last record, so a page stays the
  same while newer records arrive.
- **Tail** yields what there is from `since` on by time, then each record as it is stored, also one whose
  time is past: none is missed, none comes twice.
- **Purge** deletes, a bounded number at a time, what has passed its own `expires_at`.
- **Forget** deletes, a bounded number at a time, what is one tenant's, and nothing of another's.
- All raise `LogStoreUnavailable` when the store can not be reached.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from headrace.messages import LogLevel, LogRecord

MAX_PAGE = 500


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What to look for. `tenant_id` always narrows; None and () do not. `since` <= at < `until`.

    `level` is the least severe level wanted. `words` is free text, split by `headrace.logstore.words`.
    """

    tenant_id: UUID
    words: str = ""
    level: LogLevel | None = None
    run_id: UUID | None = None
    step: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class LogPage:
    """`after` is the cursor of the next page, None when there is no more."""

    records: Sequence[LogRecord]
    after: str | None


class LogStore(Protocol):
    """See the module's docstring for the contract."""

    async def append(self, records: Sequence[LogRecord]) -> None: ...

    async def search(self, query: LogQuery, first: int = 50, after: str | None = None) -> LogPage:
        """`first` is 1 to `MAX_PAGE`; an `after` that is no cursor of ours raises `InvalidInput`."""

    def tail(self, query: LogQuery) -> AsyncGenerator[LogRecord, None]:
        """Without end; `aclose` it when done. Without `since`, only what is stored from now on."""

    async def purge(self, now: datetime, most: int = 10_000) -> int:
        """Delete expired records, at most `most`; returns how many."""

    async def forget(self, tenant_id: UUID, most: int = 10_000) -> int:
        """Delete records of a tenant, at most `most`; returns how many."""

    async def ping(self) -> None: ...

    async def close(self) -> None: ...
