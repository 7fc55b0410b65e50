"""`headrace runner`: a runner in place of this process."""

import os
import sys
from collections.abc import Mapping
from typing import Annotated

import typer
from headrace.errors import InvalidInput, Problem
from headrace_runner.settings import RunnerSettings
from pydantic import ValidationError

from headrace_cli.command import Session, command

_PREFIX = "HEADRACE_"


def add_to(app: typer.Typer) -> None:
    command(app, "runner", connects=False)(runner)


async def runner(
    _: Session,
    once: Annotated[
        bool, typer.Option("--once", help="Take one job, and end when its run ended or parked.")
    ] = False,
    wait: Annotated[float, typer.Option(min=0, help="With --once: seconds to wait for a job.")] = 10.0,
) -> None:
    """Run one runner in the foreground, until it is told to leave by SIGTERM or Ctrl-C.

    It gets this command's HEADRACE_* settings, and writes its log to standard error.
    """
    runner_settings()
    own = ["--once", "--wait", str(wait)] if once else []
    # The same process: who supervises us supervises the runner.
    arguments = [sys.executable, "-m", "headrace_runner", *own]
    os.execve(sys.executable, arguments, runner_environment(os.environ))  # noqa: S606 - no shell is wanted


def runner_settings() -> RunnerSettings:
    """What each runner will read. `InvalidInput` names what is wrong, so that none is started to say so."""
    try:
        return RunnerSettings()
    except ValidationError as error:
        problems = [
            Problem(
                _PREFIX + "_".join(str(part) for part in found["loc"]).upper(),
                found["msg"],
                "set it in the environment; see docs/operations.md",
            )
            for found in error.errors(include_input=False, include_url=False, include_context=False)
        ]
        raise InvalidInput(problems) from None


def runner_environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Our environment without settings that are no runner's: runners hold no key and no database's password."""
    own = {_PREFIX + name.upper() for name in RunnerSettings.model_fields}
    return {name: value for name, value in ours.items() if not name.startswith(_PREFIX) or name in own}
