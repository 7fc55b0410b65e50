"""Log records as MongoDB's documents, and queries as its filters.

Text from outside is only ever a value that is compared, never an operator or a pattern. `at` is in
microseconds since 1970, because a BSON date keeps milliseconds. `context` is JSON text: it is shown, not
searched, and so holds any key and any depth.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import orjson
from bson.binary import UUID_SUBTYPE, Binary
from pymongo.errors import PyMongoError

from headrace.errors import LogStoreUnavailable
from headrace.logstore import cursor
from headrace.logstore.port import LogQuery
from headrace.logstore.storable import LEVELS, expiry, searchable, storable
from headrace.logstore.words import terms_of, terms_wanted
from headrace.messages import LogRecord

Document = dict[str, Any]

# What is read of a document: all but what only indexes need.
SHOWN: Final = MappingProxyType({"terms": False, "expires_at": False})


def write_all(records: Sequence[LogRecord], stored_at: datetime, retention: timedelta) -> list[Document]:
    """In their order. The ids of tenants and runs, which come again and again, are made BSON once."""
    ids: dict[UUID, Binary] = {}
    return [_write(storable(record), ids, stored_at, retention) for record in records]


def _write(fit: LogRecord, ids: dict[UUID, Binary], stored_at: datetime, retention: timedelta) -> Document:
    return {
        "_id": _binary(fit.id),
        "tenant": ids.get(fit.tenant_id) or ids.setdefault(fit.tenant_id, _binary(fit.tenant_id)),
        "run": ids.get(fit.run_id) or ids.setdefault(fit.run_id, _binary(fit.run_id)),
        "step": fit.step,
        "attempt": fit.attempt,
        "level": fit.level.severity,
        "at": cursor.micros(fit.at),
        "message": fit.message,
        "context": orjson.dumps(fit.context).decode() if fit.context else "{}",
        "terms": terms_of(fit),
        "stored_at": stored_at,
        "expires_at": expiry(fit.at, retention),
    }


def _binary(value: UUID) -> Binary:
    return Binary(value.bytes, UUID_SUBTYPE)


def read(document: Mapping[str, Any]) -> LogRecord:
    return LogRecord(
        document["_id"],
        document["tenant"],
        document["run"],
        cursor.moment(document["at"]),
        LEVELS[document["level"]],
        document["message"],
        document["step"],
        document["attempt"],
        orjson.loads(document["context"]),
    )


def narrow(query: LogQuery) -> Document:
    """The filter of a query. Raises `InvalidInput` when its words can not be searched for."""
    query = searchable(query)
    narrowed: Document = {"tenant": query.tenant_id}
    if query.run_id is not None:
        narrowed["run"] = query.run_id
    if query.step is not None:
        narrowed["step"] = query.step
    if query.level is not None:
        narrowed["level"] = {"$gte": query.level.severity}
    if terms := terms_wanted(query):
        narrowed["terms"] = {"$all": terms}
    window = {}
    if query.since is not None:
        window["$gte"] = cursor.micros(query.since)
    if query.until is not None:
        window["$lt"] = cursor.micros(query.until)
    if window:
        narrowed["at"] = window
    return narrowed


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """MongoDB's errors as ours, by type and code alone: their messages quote documents."""
    try:
        yield
    except PyMongoError as error:
        code = getattr(error, "code", None)
        name = type(error).__name__ if code is None else f"{type(error).__name__} {code}"
        raise LogStoreUnavailable(f"the log store did not answer ({name})") from None
