"""The log store over MongoDB's protocol: one collection, a document per record.

Every search is a range of one index, read in its own order: equal tenant, equal term (or equal run), then
time, newest first.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import structlog
from pymongo import ASCENDING, DESCENDING, AsyncMongoClient, IndexModel, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError

from headrace.logstore import cursor
from headrace.logstore.mongodb_documents import SHOWN, Document, narrow, read, translated, write_all
from headrace.logstore.mongodb_tail import follow
from headrace.logstore.port import LogPage, LogQuery
from headrace.messages import LogRecord

COLLECTION: Final = "log_records"
INDEXES: Final = (
    IndexModel([("tenant", ASCENDING), ("terms", ASCENDING), ("at", DESCENDING), ("_id", DESCENDING)]),
    IndexModel([("tenant", ASCENDING), ("run", ASCENDING), ("at", DESCENDING), ("_id", DESCENDING)]),
    IndexModel([("tenant", ASCENDING), ("at", DESCENDING), ("_id", DESCENDING)]),
    IndexModel([("tenant", ASCENDING), ("stored_at", ASCENDING), ("_id", ASCENDING)]),
)
RETENTION_INDEX: Final = IndexModel([("expires_at", ASCENDING)], expireAfterSeconds=0)
# Where time-to-live is not known, purge still finds what has expired by this one.
EXPIRY_INDEX: Final = IndexModel([("expires_at", ASCENDING)])

_OPTIONS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "appname": "headrace",
        "serverSelectionTimeoutMS": 5_000,
        "connectTimeoutMS": 5_000,
        "timeoutMS": 10_000,
    }
)
_LONGEST_APPEND_S: Final = 10.0  # where the URL sets no end to it
_DELETED_AT_ONCE: Final = 1_000
_DUPLICATE_KEY: Final = 11_000
_NOT_SUPPORTED: Final = (115, 238)  # CommandNotSupported, NotImplemented


class MongoLogStore:
    """`headrace.logstore.port.LogStore` on MongoDB 6 or newer, or a server that speaks its protocol.

    Nothing connects before the first call, and every request ends within ten seconds, unless the URL says
    otherwise (`timeoutMS`). MongoDB deletes expired records by itself; `purge` does so where the server does
    not. For `tail` see `headrace.logstore.mongodb_tail`.
    """

    def __init__(self, url: str, retention: timedelta, poll: timedelta) -> None:
        named = {name.lower() for name, _ in parse_qsl(urlsplit(url).query)}
        options = {name: value for name, value in _OPTIONS.items() if name.lower() not in named}
        self._client: AsyncMongoClient[Document] = AsyncMongoClient(
            url, tz_aware=True, uuidRepresentation="standard", **options
        )
        self._records: AsyncCollection[Document] = self._client.get_default_database(
            "headrace"
        ).get_collection(COLLECTION, write_concern=WriteConcern("majority", j=True))
        self._retention = retention
        self._poll = poll
        self._indexed = False
        self._indexing = asyncio.Lock()

    async def append(self, records: Sequence[LogRecord]) -> None:
        if not records:
            return
        with translated():
            await self._ensure_indexes()
            documents = write_all(records, datetime.now(UTC), self._retention)
            try:
                await self._records.insert_many(documents, ordered=False)
            except BulkWriteError as error:
                if not _only_duplicates(error):
                    raise

    async def search(self, query: LogQuery, first: int = 50, after: str | None = None) -> LogPage:
        cursor.check_size(first)
        wanted = narrow(query)
        if after is not None:
            at, record_id = cursor.decode(after)
            micros = cursor.micros(at)
            # The first condition bounds the range of the index, the second settles ties within it.
            wanted["$and"] = [
                {"at": {"$lte": micros}},
                {"$or": [{"at": {"$lt": micros}}, {"_id": {"$lt": record_id}}]},
            ]
        with translated():
            newest_first = [("at", DESCENDING), ("_id", DESCENDING)]
            found = await self._records.find(wanted, SHOWN, sort=newest_first, limit=first + 1).to_list()
        return cursor.page([read(document) for document in found], first)

    def tail(self, query: LogQuery) -> AsyncGenerator[LogRecord, None]:
        longest_append = timedelta(seconds=self._client.options.timeout or _LONGEST_APPEND_S)
        return follow(self._records, query, self._poll, longest_append)

    async def purge(self, now: datetime, most: int = 10_000) -> int:
        return await self._delete({"expires_at": {"$lte": now}}, [("expires_at", ASCENDING)], most)

    async def forget(self, tenant_id: UUID, most: int = 10_000) -> int:
        return await self._delete({"tenant": tenant_id}, [("at", DESCENDING), ("_id", DESCENDING)], most)

    async def _delete(self, wanted: Document, order: list[tuple[str, int]], most: int) -> int:
        deleted = 0
        with translated():
            while deleted < most:
                bound = min(most - deleted, _DELETED_AT_ONCE)
                found = self._records.find(wanted, {"_id": True}, sort=order, limit=bound)
                ids = [document["_id"] for document in await found.to_list()]
                if ids:
                    deleted += (await self._records.delete_many({"_id": {"$in": ids}})).deleted_count
                if len(ids) < bound:
                    break
        return deleted

    async def ping(self) -> None:
        with translated():
            await self._client.admin.command("ping")

    async def close(self) -> None:
        with contextlib.suppress(PyMongoError):
            await self._client.close()

    async def _ensure_indexes(self) -> None:
        """Make what is missing of the indexes, at the first append. Another process may be doing so too."""
        async with self._indexing:
            if not self._indexed:
                # One by one: FerretDB 1.24 breaks off when it has two of those that it is asked for at once.
                for index in INDEXES:
                    await self._records.create_indexes([index])
                await self._ensure_retention()
                self._indexed = True

    async def _ensure_retention(self) -> None:
        try:
            await self._records.create_indexes([RETENTION_INDEX])
        except OperationFailure as error:
            if error.code not in _NOT_SUPPORTED:
                raise
            await self._records.create_indexes([EXPIRY_INDEX])
            log = structlog.get_logger(__name__)
            log.info("the log store has no TTL index: expired records are deleted by purge alone")


def _only_duplicates(error: BulkWriteError) -> bool:
    """Whether all that went wrong is that some records were there already."""
    details = error.details
    return not details.get("writeConcernErrors") and all(
        failure.get("code") == _DUPLICATE_KEY for failure in details["writeErrors"]
    )
