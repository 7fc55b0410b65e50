"""Errors are mapped, every one, and tell nothing that they should not."""

from typing import Any

import headrace.errors
import pytest
import structlog
from headrace.errors import HeadraceError, InvalidInput, Problem
from headrace.ids import new_id
from headrace_control.auth.caller import Actor, ActorKind, Caller
from headrace_control.auth.roles import Role
from headrace_control.compose import Composed
from headrace_control.graphql.context import Context
from headrace_control.graphql.failures import FAILURE_OF, failure_of
from headrace_control.graphql.schema import create_schema
from headrace_control.http_errors import HTTP_STATUS, error_response


def declared_errors() -> list[type[HeadraceError]]:
    """Every error of the tree's own module."""
    found = [one for one in vars(headrace.errors).values() if isinstance(one, type)]
    return [one for one in found if issubclass(one, HeadraceError)]


@pytest.mark.parametrize("error", declared_errors())
def test_every_error_is_mapped(error: type[HeadraceError]) -> None:
    assert error in FAILURE_OF
    assert error in HTTP_STATUS


def test_an_error_that_a_library_of_ours_adds_is_answered_as_its_base() -> None:
    class Stalled(headrace.errors.Unavailable):
        code = "STALLED"

    assert error_response(Stalled("x")).status_code == 503
    assert failure_of(Stalled("x")).code == "STALLED"


def test_codes_are_unique() -> None:
    codes = [error.code for error in declared_errors()]
    assert len(set(codes)) == len(codes)


class Broken:
    """Stands for a service whose every method fails."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, _: str) -> Any:
        async def fail(*_: Any, **__: Any) -> Any:
            raise self._error

        return fail


async def answer_of(composed: Composed, error: Exception, query: str) -> Any:
    services = object.__new__(type(composed.services))
    for name in composed.services.__slots__:  # type: ignore[attr-defined]
        object.__setattr__(services, name, Broken(error))
    context = Context(services, Caller(new_id(), Actor(ActorKind.API_KEY, new_id(), "a key"), Role.ADMIN))
    return await create_schema().execute(query, context_value=context)


async def test_the_unexpected_has_a_code_and_a_correlation_id_and_no_words(composed: Composed) -> None:
    with structlog.testing.capture_logs() as logs:
        result = await answer_of(composed, KeyError("canary-secret"), "{ tenant { name } }")
    (error,) = result.errors
    assert error.extensions["code"] == "INTERNAL"
    assert "canary" not in str(error.formatted) + str(logs)
    assert [log["correlation_id"] for log in logs] == [error.extensions["correlationId"]]
    assert logs[0]["error"] == "KeyError"


async def test_expected_errors_keep_their_code(composed: Composed) -> None:
    wrong = InvalidInput([Problem("first", "out of range", "ask for less")])
    (error,) = (await answer_of(composed, wrong, "{ tenant { name } }")).errors
    assert error.extensions["code"] == "INVALID_INPUT"
    assert error.extensions["problems"][0]["mend"] == "ask for less"
    result = await answer_of(
        composed,
        wrong,
        'mutation { deleteApp(name: "x") { ... on InvalidInput { code problems { path } } } }',
    )
    assert result.data == {"deleteApp": {"code": "INVALID_INPUT", "problems": [{"path": "first"}]}}
