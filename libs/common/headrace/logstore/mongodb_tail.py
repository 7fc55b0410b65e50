"""Following a log in MongoDB, by asking again.

Change streams need a replica set, so a follower polls, for what was stored since a little before it asked
last. A record is stamped by its writer's clock just before it is sent, and becomes visible later: a follower
sees each record that does so within the longest append, and `CLOCKS_APART` more for what two services' clocks
may differ by, whatever the record's own time `at`.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Set
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from pymongo import ASCENDING
from pymongo.asynchronous.collection import AsyncCollection

from headrace.logstore.mongodb_documents import SHOWN, Document, narrow, read, translated
from headrace.logstore.port import LogQuery
from headrace.messages import LogRecord

CLOCKS_APART: Final = timedelta(seconds=20)
_AT_ONCE: Final = 500


async def follow(
    records: AsyncCollection[Document], query: LogQuery, poll: timedelta, longest_append: timedelta
) -> AsyncGenerator[LogRecord, None]:
    """Records from `query.since` by time, then each as it is stored; without `since`, the latter alone."""
    wanted = narrow(query)
    overlap = longest_append + CLOCKS_APART
    low = datetime.now(UTC) - overlap
    seen: dict[UUID, datetime] = {}
    if query.since is None:
        async for stamps in _stored_since(records, wanted, low):
            seen.update(stamps)
    else:
        async for documents in _by_time(records, wanted):
            for document in documents:
                if document["stored_at"] >= low:
                    seen[document["_id"]] = document["stored_at"]
                yield read(document)
    while True:
        asked_at = datetime.now(UTC)
        async for stamps in _stored_since(records, wanted, low):
            fresh = stamps.keys() - seen.keys()
            seen.update(stamps)
            if fresh:
                for document in await _fetch(records, fresh):
                    yield read(document)
        low = max(low, asked_at - overlap)
        seen = {record_id: stored_at for record_id, stored_at in seen.items() if stored_at >= low}
        await asyncio.sleep(poll.total_seconds())


async def _stored_since(
    records: AsyncCollection[Document], wanted: Document, low: datetime
) -> AsyncIterator[dict[UUID, datetime]]:
    """Which records of a query were stored at or after `low`, and when, in the order of their storing."""
    order = [("stored_at", ASCENDING), ("_id", ASCENDING)]
    position: Document = {"stored_at": {"$gte": low}}
    while True:
        with translated():
            page = await records.find(
                {"$and": [wanted, position]}, {"stored_at": True}, sort=order, limit=_AT_ONCE
            ).to_list()
        yield {stamp["_id"]: stamp["stored_at"] for stamp in page}
        if len(page) < _AT_ONCE:
            return
        position = _beyond("stored_at", page[-1])


async def _by_time(records: AsyncCollection[Document], wanted: Document) -> AsyncIterator[list[Document]]:
    order = [("at", ASCENDING), ("_id", ASCENDING)]
    position: Document = {}
    while True:
        with translated():
            page = await records.find(
                {"$and": [wanted, position]}, SHOWN, sort=order, limit=_AT_ONCE
            ).to_list()
        yield page
        if len(page) < _AT_ONCE:
            return
        position = _beyond("at", page[-1])


async def _fetch(records: AsyncCollection[Document], ids: Set[UUID]) -> list[Document]:
    with translated():
        found = await records.find({"_id": {"$in": list(ids)}}, SHOWN).to_list()
    return sorted(found, key=lambda document: (document["stored_at"], document["at"], document["_id"]))


def _beyond(field: str, last: Document) -> Document:
    """What comes after `last`, ascending by `field` and id. The first condition bounds the index's range."""
    value = last[field]
    return {
        "$and": [{field: {"$gte": value}}, {"$or": [{field: {"$gt": value}}, {"_id": {"$gt": last["_id"]}}]}]
    }
