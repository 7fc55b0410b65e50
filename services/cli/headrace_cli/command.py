"""One way to declare a command: its shared flags, its session, its errors and its exit code."""

import asyncio
import functools
import inspect
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from headrace.errors import (
    Forbidden,
    HeadraceError,
    InvalidInput,
    NotFound,
    Problem,
    ProviderRefused,
    RateLimited,
    Unauthenticated,
    Unavailable,
)

from headrace_cli.client import Client
from headrace_cli.output import Output
from headrace_cli.profile import Choice, resolve

# What a command's exit says, for scripts.
OK, FAILED, INVALID, NOT_FOUND, UNAVAILABLE = 0, 1, 2, 3, 4
_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_NO_READER = 141  # 128 + SIGPIPE
# Arguments were looked at before; names of folders and values of the environment may still be any bytes.
_NOT_UTF_8 = InvalidInput(
    [
        Problem(
            "input",
            "the name of a folder, or a value of the environment, is not UTF-8",
            "rename it, or write it in UTF-8",
        )
    ]
)


class ExpectationFailed(HeadraceError):
    """The command did its work and what it waited for did not come true: a run failed, a check is red."""

    code = "FAILED"


class Interrupted(HeadraceError):
    """Ctrl-C, where there is something to say of what was done before."""

    code = "INTERRUPTED"


@dataclass(frozen=True, slots=True)
class Session:
    """What every command gets: where to print, and the deployment that the flags chose."""

    output: Output
    choice: Choice

    def client(self) -> Client:
        """A client of the chosen deployment; use it as an async context. `InvalidInput` without a key."""
        return Client(resolve(self.choice, os.environ))


Run = Callable[..., Awaitable[None]]


def exit_code(error: HeadraceError) -> int:
    match error:
        case ExpectationFailed():
            return FAILED
        case Interrupted():
            return _INTERRUPTED
        case NotFound() | Forbidden() | Unauthenticated() | ProviderRefused():
            return NOT_FOUND
        case Unavailable() | RateLimited():
            return UNAVAILABLE
        case InvalidInput():
            return INVALID
        case _ if error.code == "INTERNAL":
            return UNAVAILABLE
        case _:
            return INVALID


_JSON = inspect.Parameter(
    "json",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[bool, typer.Option("--json", help="JSON on stdout, words on stderr.")],
)
_CONNECTION = [
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
    for name, annotation in (
        ("url", Annotated[str | None, typer.Option(help="The deployment. \\[env: HEADRACE_URL]")]),
        ("api_key", Annotated[str | None, typer.Option(help="The key. \\[env: HEADRACE_API_KEY]")]),
        (
            "profile",
            Annotated[str | None, typer.Option(help="A name in the file. \\[env: HEADRACE_PROFILE]")],
        ),
        ("profile_file", Annotated[Path | None, typer.Option(help="\\[env: HEADRACE_PROFILE_FILE]")]),
    )
]


def command(app: typer.Typer, name: str, *, connects: bool = True) -> Callable[[Run], Run]:
    """Add an async function to `app` under `name`.

    It gets a `Session` first, then what its own signature declares. `--json` is added to every command, and
    the flags that choose a deployment to those that `connects`. A `HeadraceError`, and a refusal of the
    operating system, ends the process with its code and no traceback.
    """

    def declare(function: Run) -> Run:
        extra = [*(_CONNECTION if connects else ()), _JSON]

        @functools.wraps(function)
        def run(**given: Any) -> None:
            output = Output(machine=given.pop("json"))
            _log_to_stderr()
            flags = {p.name: given.pop(p.name) for p in extra[:-1]}
            try:
                asyncio.run(_await(function(Session(output, Choice(**flags)), **given)))
                sys.stdout.flush()
            except HeadraceError as error:
                raise typer.Exit(_told(output, error)) from None
            except UnicodeEncodeError:
                raise typer.Exit(_told(output, _NOT_UTF_8)) from None
            except BrokenPipeError:
                # Whoever read our output has seen enough.
                _forget_output()
                raise typer.Exit(_NO_READER) from None
            except OSError as error:
                raise typer.Exit(_told(output, _refused(error))) from None
            except (KeyboardInterrupt, asyncio.CancelledError):
                raise typer.Exit(_INTERRUPTED) from None

        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + extra
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        app.command(name)(run)
        return function

    return declare


def _log_to_stderr() -> None:
    """Of what a command has imported something may log, which is no part of its output."""
    if structlog := sys.modules.get("structlog"):
        structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


def _told(output: Output, error: HeadraceError) -> int:
    """Say what is wrong. The exit code is the error's, also where standard output takes no more: a full disk, or nobody
    who reads it."""
    try:
        output.error(error)
        sys.stdout.flush()
    except OSError:
        _forget_output()
    return exit_code(error)


def _forget_output() -> None:
    """There is nobody for what is still buffered, and the end of the process would try again to write it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refused(error: OSError) -> HeadraceError:
    """What the operating system refuses, in its own words: a full disk, a folder that is closed to us."""
    place = f": {error.filename}" if error.filename else ""
    return Unavailable(f"the system says {error.strerror or type(error).__name__}{place}")


async def _await(work: Awaitable[None]) -> None:
    await work
