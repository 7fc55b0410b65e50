"""However a session with Postgres is lost, those who wait such trouble out are told the same."""

import asyncpg
import pytest
from headrace.bus.postgres.statements import translated as by_the_bus
from headrace.errors import BusUnavailable, DatabaseUnavailable
from headrace.postgres.pool import translated

LOST = [
    asyncpg.AdminShutdownError("terminating connection"),
    asyncpg.ConnectionDoesNotExistError("connection was closed"),
    asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT in a read-only transaction"),
    asyncpg.InterfaceError("connection is closed"),
    # What asyncpg says when the server ends a session in the moment in which a query begins.
    asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"),
    ConnectionResetError(),
    TimeoutError(),
]


@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
def test_a_lost_session_is_a_dependency_that_is_away(error: Exception) -> None:
    with pytest.raises(DatabaseUnavailable), translated():
        raise error
    with pytest.raises(BusUnavailable), by_the_bus():
        raise error
