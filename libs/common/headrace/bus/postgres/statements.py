"""The adapter's SQL, its rows as our messages, and Postgres's errors as ours."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import orjson

from headrace.bus.port import Delivery, Outgoing
from headrace.errors import BusUnavailable, HeadraceError
from headrace.postgres.pool import Pool
from headrace.postgres.queries import load

SQL = load("headrace.bus.postgres")

CHANNEL = "headrace_bus"
"""Notifications carry the name of the queue in which something became free."""

POLL_SECONDS = 5.0
"""How long a notification may be missing before one looks nevertheless."""

ASK_SECONDS = 10.0
RELEASE_SECONDS = 5.0


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Postgres's errors as ours; texts are built from types, for DETAIL quotes data."""
    try:
        yield
    except asyncpg.UndefinedTableError as error:
        raise BusUnavailable("the database has no tables of the bus yet: run `headrace migrate`") from error
    except (
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,  # a query that begins as the server's last word comes in
        OSError,
        TimeoutError,
    ) as error:
        raise BusUnavailable(f"Postgres did not answer ({type(error).__name__})") from error


@contextlib.asynccontextmanager
async def session(pool: Pool, seconds: float = ASK_SECONDS) -> AsyncIterator[Any]:
    """One session until a deadline. After any failure it is thrown away, for it may not answer at all."""
    with translated():
        async with asyncio.timeout(seconds):
            connection = await pool.acquire()
            try:
                yield connection
            except HeadraceError:
                raise
            except BaseException:
                # One that was lost has left the pool already.
                with contextlib.suppress(asyncpg.InterfaceError):
                    connection.terminate()
                raise
            finally:
                await pool.release(connection, timeout=RELEASE_SECONDS)


def to_headers(message: Outgoing) -> str:
    return orjson.dumps(message.headers).decode() if message.headers else ""


def to_delivery(row: asyncpg.Record, queue: str, *, redelivered: bool = False) -> Delivery:
    headers = tuple((name, value) for name, value in orjson.loads(row["headers"] or "[]"))
    return Delivery(queue, row["body"], redelivered, headers)
