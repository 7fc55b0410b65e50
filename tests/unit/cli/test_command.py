"""Declaring a command: shared flags, exit codes for every error of the tree, no traceback."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import structlog
import typer
from headrace import errors
from headrace_cli.command import ExpectationFailed, Interrupted, Session, command, exit_code
from headrace_cli.main import app
from headrace_cli.output import Output
from typer.testing import CliRunner

EXPECTED = {
    errors.HeadraceError: 4,
    errors.InvalidInput: 2,
    errors.NotFound: 3,
    errors.Conflict: 2,
    errors.ConcurrencyLimit: 2,
    errors.TenantEnding: 2,
    errors.Expired: 2,
    errors.Unauthenticated: 3,
    errors.Forbidden: 3,
    errors.ProviderRefused: 3,
    errors.LimitExceeded: 2,
    errors.QuotaExceeded: 2,
    errors.MessageTooLarge: 2,
    errors.RateLimited: 4,
    errors.TimedOut: 4,
    errors.Unavailable: 4,
    errors.BusUnavailable: 4,
    errors.ForeignQueues: 4,
    errors.DatabaseUnavailable: 4,
    errors.LogStoreUnavailable: 4,
    errors.MalformedMessage: 2,
    ExpectationFailed: 1,
    Interrupted: 130,
}
MADE_OF = {
    errors.InvalidInput: ([errors.Problem("a", "b", "c")],),
    errors.ProviderRefused: ("words", "access_denied"),
    errors.QuotaExceeded: ("startsPerMinute", 1, "starts"),
    errors.RateLimited: ("words", 1.0),
    errors.TenantEnding: (datetime(2026, 1, 1, tzinfo=UTC),),
}


def tree(root: type[errors.HeadraceError]) -> Iterator[type[errors.HeadraceError]]:
    yield root
    for kind in root.__subclasses__():
        yield from tree(kind)


def test_every_error_of_the_tree_has_an_exit_code() -> None:
    own = {
        kind
        for kind in tree(errors.HeadraceError)
        if kind.__module__.startswith(("headrace.errors", "headrace_cli"))
    }
    assert own == set(EXPECTED)
    for kind, code in EXPECTED.items():
        assert exit_code(kind(*MADE_OF.get(kind, ("words",)))) == code, kind


async def fails(session: Session, how: str) -> None:
    """Fail."""
    if how == "conflict":
        raise errors.Conflict("it is [there] already")
    if how == "loudly":
        structlog.get_logger().warning("a library has something to say")
    if how == "late":
        session.output.result({"status": "FAILED"})
        raise ExpectationFailed("the run ended FAILED")
    session.output.result({"how": how})


@pytest.fixture
def declared() -> typer.Typer:
    made = typer.Typer()
    command(made, "fails", connects=False)(fails)
    command(made, "other")(fails)
    return made


def test_an_error_is_a_sentence_and_a_code(declared: typer.Typer) -> None:
    done = CliRunner().invoke(declared, ["fails", "conflict"])
    assert done.exit_code == 2
    assert "it is [there] already" in done.stderr
    assert done.stdout == ""


def test_with_json_the_outcome_stands_alone_on_standard_output(declared: typer.Typer) -> None:
    done = CliRunner().invoke(declared, ["fails", "well", "--json"])
    assert (done.exit_code, done.stdout) == (0, '{\n  "how": "well"\n}\n')
    assert CliRunner().invoke(declared, ["fails", "well"]).stdout == ""


def test_what_a_library_logs_is_no_output(declared: typer.Typer) -> None:
    done = CliRunner().invoke(declared, ["fails", "loudly", "--json"])
    assert json.loads(done.stdout) == {"how": "loudly"}
    assert "something to say" in done.stderr


def test_an_outcome_that_is_a_failure_is_one_document(declared: typer.Typer) -> None:
    done = CliRunner().invoke(declared, ["fails", "late", "--json"])
    assert (done.exit_code, json.loads(done.stdout)) == (1, {"status": "FAILED"})
    assert "the run ended FAILED" in done.stderr


@pytest.mark.parametrize("machine", [False, True])
def test_the_next_page_is_told_to_people_where_there_is_one(
    machine: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    output = Output(machine)
    output.more({"hasNextPage": False, "endCursor": "last"})
    output.more({"hasNextPage": True, "endCursor": "abc="})
    told = capsys.readouterr()
    assert (told.err if machine else told.out) == "more: --after abc=\n"
    assert (told.out if machine else told.err) == ""


def test_only_commands_that_connect_have_the_flags_for_it(declared: typer.Typer) -> None:
    assert CliRunner().invoke(declared, ["other", "well", "--url", "http://x"]).exit_code == 0
    assert CliRunner().invoke(declared, ["fails", "well", "--url", "http://x"]).exit_code == 2


@pytest.mark.parametrize(
    "words",
    [
        "dev",
        "demo",
        "apply",
        "run start",
        "run watch",
        "run get",
        "run list",
        "run cancel",
        "logs",
        "migrate",
        "bootstrap",
        "restored",
        "own-queues",
        "tenants export",
        "tenants new-key",
        "tenants delete",
        "tenants keep",
        "tenants deleted",
        "doctor",
    ],
)
def test_every_command_explains_itself_and_speaks_json(words: str) -> None:
    done = CliRunner().invoke(app, [*words.split(), "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert "--json" in done.stdout
