"""The one place where the log store's adapter is chosen.

An adapter is imported when it is chosen: a process that is on the other store starts without its libraries.
"""

from datetime import timedelta
from urllib.parse import urlsplit

from headrace.errors import InvalidInput, Problem
from headrace.logstore.port import LogStore


async def open_log_store(
    url: str, *, retention: timedelta, poll: timedelta = timedelta(seconds=0.5)
) -> LogStore:
    """The log store at `url`; close it when done.

    A record expires at its `at + retention`. `poll` is how often a follower asks where the store can not wake
    it; where it can, ten times that is the safety net. Nothing connects here, so that a store that is away
    holds back no service's start: the first call raises `LogStoreUnavailable`. Raises `InvalidInput` for a
    URL that can not be read; the message does not quote it, because it may hold a password.
    """
    try:
        match urlsplit(url).scheme:
            case "mongodb" | "mongodb+srv":
                return _open_mongodb(url, retention, poll)
            case "postgres" | "postgresql":
                from headrace.logstore.postgres import open_postgres_log_store

                return await open_postgres_log_store(url, retention, poll)
    except ValueError:
        raise _refused("not a URL that can be read") from None
    raise _refused("of no known kind")


def _open_mongodb(url: str, retention: timedelta, poll: timedelta) -> LogStore:
    from pymongo.errors import PyMongoError

    from headrace.logstore.mongodb import MongoLogStore

    try:
        return MongoLogStore(url, retention, poll)
    except PyMongoError:
        raise _refused("not a URL that can be read") from None


def _refused(message: str) -> InvalidInput:
    return InvalidInput(
        [Problem("log_store_url", message, "write mongodb://host/database or postgresql://host/database")]
    )
