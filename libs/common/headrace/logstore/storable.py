"""Make any record one that every store takes as it is, so that no record can fail its batch.

Records come redacted and within their limits. What is done here is for those that are not: NUL and lone
surrogates become U+FFFD, text above its limit is cut with its true length noted, numbers that do not fit are
brought within their range, and a context that is too large or too deep is left out.
"""

import dataclasses
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import orjson

from headrace.json_types import JsonObject
from headrace.logstore.port import LogQuery
from headrace.messages import LogLevel, LogRecord

MAX_MESSAGE = 8 * 1024
MAX_STEP = 256
MAX_CONTEXT_BYTES = 64 * 1024
MAX_CONTEXT_DEPTH = 32

_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
_INT32 = 2**31 - 1
# Characters, each of which is at most six bytes of JSON; and what is written beside a key and its text, or its number.
_SMALL, _BESIDE = MAX_CONTEXT_BYTES // 8, 8
# What orjson writes.
_LEAST, _GREATEST = -(2**63), 2**64 - 1
# The very ends are no times: they have no neighbour in another zone, and asyncpg reads them as infinity.
_FIRST, _LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


# Levels are stored as numbers, so that "this or worse" is a range.
LEVELS: Final[Mapping[int, LogLevel]] = MappingProxyType({level.severity: level for level in LogLevel})


def searchable(query: LogQuery) -> LogQuery:
    """The same query, its step brought into the form in which steps are stored."""
    return query if query.step is None else dataclasses.replace(query, step=_cut(query.step, MAX_STEP))


def storable(record: LogRecord) -> LogRecord:
    """The same record if it is fit, which is the rule, else one that is."""
    if _is_fit(record):
        return record
    step, attempt = record.step, record.attempt
    return dataclasses.replace(
        record,
        at=max(_FIRST, min(record.at, _LAST)).astimezone(UTC),
        message=_cut(record.message, MAX_MESSAGE),
        step=None if step is None else _cut(step, MAX_STEP),
        attempt=None if attempt is None else max(-_INT32, min(attempt, _INT32)),
        context=_context(record.context),
    )


def _is_fit(record: LogRecord) -> bool:
    """Whether there is certainly nothing to change; False may mean that it has to be looked at closely."""
    return (
        record.at.tzinfo is UTC
        and _FIRST <= record.at <= _LAST
        and _fits(record.message, MAX_MESSAGE)
        and (record.step is None or _fits(record.step, MAX_STEP))
        and (record.attempt is None or -_INT32 <= record.attempt <= _INT32)
        and (not record.context or _is_small(record.context))
    )


def _fits(text: str, most: int) -> bool:
    return len(text) <= most and _UNSTORABLE.search(text) is None


def _is_small(context: JsonObject) -> bool:
    """Whether it is a few short texts and numbers side by side."""
    left = _SMALL
    for key, value in context.items():
        left -= len(key) + _BESIDE
        if isinstance(value, str):
            left -= len(value)
            if left < 0 or not _fits(value, MAX_MESSAGE):
                return False
        elif not (value is None or (isinstance(value, int) and _LEAST <= value <= _GREATEST)):
            return False
        if left < 0 or not _fits(key, MAX_STEP):
            return False
    return True


def expiry(at: datetime, retention: timedelta) -> datetime:
    """`at + retention`, or the end of time."""
    return at + min(retention, _LAST - at)


def _cut(text: str, most: int) -> str:
    cleaned = _clean(text)
    return cleaned if len(cleaned) <= most else f"{cleaned[:most]}… ({len(text)} characters)"


def _clean(text: str) -> str:
    return _UNSTORABLE.sub("\ufffd", text)


def _context(context: JsonObject) -> JsonObject:
    if not context:
        return {}
    try:
        cleaned = _json(context, 0)
        size = len(orjson.dumps(cleaned))
    except (TypeError, ValueError, OverflowError) as error:
        return {"left_out": f"not storable ({type(error).__name__})"}
    if size > MAX_CONTEXT_BYTES:
        return {"left_out": f"too large ({size} bytes)"}
    result: JsonObject = cleaned
    return result


def _json(value: Any, depth: int) -> Any:
    if depth > MAX_CONTEXT_DEPTH:
        raise ValueError("too deep")
    match value:
        case str():
            return _clean(value)
        case bool() | None:
            return value
        case int():
            return value if _LEAST <= value <= _GREATEST else float(value)
        case float():
            return value if value - value == 0 else None
        case dict():
            return {_clean(str(key)): _json(item, depth + 1) for key, item in value.items()}
        case list() | tuple():
            return [_json(item, depth + 1) for item in value]
        case _:
            return _clean(str(value))
