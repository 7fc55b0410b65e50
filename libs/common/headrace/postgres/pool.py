"""Connection pools that act as one role, and the translation of Postgres's errors."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import structlog

from headrace.errors import Conflict, DatabaseUnavailable
from headrace.postgres.release import SCHEMA
from headrace.postgres.shares import Shares

_log = structlog.get_logger(__name__)

API, WORKER, BUS, AUDIT = "headrace_api", "headrace_worker", "headrace_bus", "headrace_audit"

# For `transaction`'s `first`: its statements find rows by their keys, so that a session's plan for any parameters does
# for all, and none is planned for what it is given. Such a plan keeps to indexes: a table may be empty when it is made,
# and full when it is used.
PLAN_ONCE = "SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off"


# For `open_pool`'s `stalled`: so long a service may leave a transaction idle that others wait for. A machine that is
# lost, or stands still, in the midst of one keeps its locks until Postgres ends the session.
STALLED_SECONDS = 30
# For `give_up_after`: how long, behind its drain, a process waits for Postgres before it leaves.
PARTING_SECONDS = 5.0
# When Postgres gives up the sessions of a machine that does not answer any more: after a minute, not after hours.
LOST_AFTER = {"tcp_keepalives_idle": "30", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3"}


class Session(asyncpg.Connection):
    """A pool's session. It is not reset between two uses, which would be one more round trip for each: whatever a use
    sets ends with its transaction (`set_config(..., true)`, pg_advisory_xact_lock), and one left open is rolled back.
    """

    def get_reset_query(self) -> str:
        return ""


class Pool(asyncpg.Pool):
    """Sessions, at most `max_size`; a tenant has its share of them."""

    def __init__(self, dsn: str, min_size: int, max_size: int, **more: Any) -> None:
        # What is not given as `asyncpg.create_pool` has it by default.
        super().__init__(
            dsn,
            init_size=min_size,
            min_size=min_size,
            max_size=max_size,
            max_queries=50_000,
            max_inactive_connection_lifetime=300.0,
            loop=None,
            record_class=asyncpg.Record,
            **more,
        )
        self.shares = Shares(max_size)


Db = asyncpg.pool.PoolConnectionProxy | asyncpg.Connection


async def open_pool(
    dsn: str,
    role: str | None = None,
    min_size: int = 1,
    max_size: int = 10,
    stalled: float | None = None,
    init: Callable[[Any], Coroutine[Any, Any, None]] | None = None,
    **server_settings: str,
) -> Pool:
    """A pool whose every session acts as `role`; JSON columns are Python values, times are aware. `init`, if given,
    is done on each new session in place of what makes them values.

    The role is part of the session's start, so no reset can shed it. A transaction that stays idle for `stalled`
    seconds is rolled back, and its session ended. Raises `DatabaseUnavailable`.
    """
    settings = {
        "application_name": session_name(role or "owner"),
        "timezone": "UTC",
        "jit": "off",
        **LOST_AFTER,
    }
    if role:
        settings["role"] = role
    if stalled is not None:
        settings["idle_in_transaction_session_timeout"] = f"{stalled * 1000:.0f}ms"
    with translated(), connecting():
        return await Pool(
            dsn,
            min_size,
            max_size,
            connection_class=Session,
            init=init or use_json,
            timeout=10,
            command_timeout=60,
            server_settings={**settings, **server_settings},
        )


def session_name(who: str) -> str:
    """How a session names itself to Postgres: whose it is, and the newest migration that its release knows."""
    return f"headrace:{who}/{SCHEMA}"


async def use_json(connection: asyncpg.Connection) -> None:
    """Read and write json and jsonb as Python values."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, encoder=_encode, decoder=orjson.loads, schema="pg_catalog", format="text"
        )


def _encode(value: Any) -> str:
    return orjson.dumps(value).decode()


def give_up_after(seconds: float, *pools: Pool) -> None:
    """For the end of a process: what still waits for Postgres then fails, so that one that does not answer, and does
    not refuse either, keeps nobody from leaving. What is given up is done again elsewhere."""
    loop = asyncio.get_running_loop()
    for pool in pools:
        loop.call_later(seconds, pool.terminate)


def transaction(pool: Pool, first: str = "") -> AbstractAsyncContextManager[Db]:
    """One transaction on one session; `first`, a statement without parameters, goes in the round trip that begins it.
    Connection trouble is `DatabaseUnavailable`."""
    return _transaction(pool, f"BEGIN; {first}", contextlib.nullcontext())


def tenant_transaction(
    pool: Pool, tenant_id: UUID, *, plan_once: bool = False
) -> AbstractAsyncContextManager[Db]:
    """One transaction that row-level security confines to `tenant_id`, within the tenant's share of the pool: nothing
    that it waits for may need another one. `plan_once`: as `PLAN_ONCE` says."""
    # Begun and confined in one round trip. A UUID's text is letters, digits and hyphens.
    confined = f"SET LOCAL headrace.tenant_id = '{UUID(str(tenant_id))}'"
    if plan_once:
        confined += f"; {PLAN_ONCE}"
    return _transaction(pool, f"BEGIN; {confined}", pool.shares.of(tenant_id))


@contextlib.asynccontextmanager
async def one_statement(pool: Pool) -> AsyncIterator[Db]:
    """A session for a single statement, which is a transaction by itself: one round trip in place of three."""
    with translated():
        async with pool.acquire() as connection:
            try:
                yield connection
            except asyncpg.ReadOnlySQLTransactionError:
                connection.terminate()  # the server was demoted: another session is opened, where the name leads by now
                raise


@contextlib.asynccontextmanager
async def _transaction(pool: Pool, begin: str, share: AbstractAsyncContextManager[None]) -> AsyncIterator[Db]:
    with translated():
        async with share, pool.acquire() as connection:
            try:
                await connection.execute(begin)
                yield connection
                await commit(connection)
            except asyncpg.ReadOnlySQLTransactionError:
                connection.terminate()  # as above
                raise
            except BaseException:
                if not connection.is_closed():
                    await _roll_back(connection)
                raise


async def _roll_back(db: Db) -> None:
    """What went wrong is told, and not what goes wrong here: a cancellation above all, or its task would go on."""
    try:
        await db.execute("ROLLBACK")
    except Exception:
        with contextlib.suppress(asyncpg.InterfaceError):  # it has left the pool already
            db.terminate()


async def commit(db: Db) -> None:
    await db.execute("COMMIT")


async def enter_tenant(db: Db, tenant_id: UUID) -> None:
    """From now until the transaction ends, row-level security confines it to `tenant_id`."""
    await db.execute("SELECT set_config('headrace.tenant_id', $1, true)", str(tenant_id))


@contextlib.contextmanager
def connecting() -> Any:
    """Whatever Postgres refuses a new session for (a password, a database or a role that it does not know)."""
    try:
        yield
    except asyncpg.PostgresError as error:
        raise DatabaseUnavailable(f"Postgres refuses the session ({type(error).__name__})") from error


@contextlib.contextmanager
def translated() -> Any:
    """Postgres's errors as ours. Messages name the constraint at most: DETAIL quotes data."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise Conflict(f"already there ({error.constraint_name})") from error
    except (
        asyncpg.PostgresConnectionError,
        asyncpg.CannotConnectNowError,
        asyncpg.AdminShutdownError,
        asyncpg.TooManyConnectionsError,
        asyncpg.ReadOnlySQLTransactionError,
        asyncpg.InterfaceError,
        # A query that begins as the server's last word comes in: asyncpg tells of itself, not of the end.
        asyncpg.InternalClientError,
        ConnectionError,
        TimeoutError,
        OSError,
    ) as error:
        raise DatabaseUnavailable(f"Postgres can not be reached ({type(error).__name__})") from error
    except (
        asyncpg.InsufficientResourcesError,
        asyncpg.OperatorInterventionError,
        asyncpg.PostgresSystemError,
    ) as error:
        # It is there, and does not do it now: its disk or its memory is full, or a person or a time limit has stopped
        # the statement. Nothing is wrong with what was asked.
        _log.warning("Postgres refuses", error=type(error).__name__)
        raise DatabaseUnavailable(f"Postgres refuses ({type(error).__name__})") from error
