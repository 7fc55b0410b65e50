"""`headrace fleet`."""

import asyncio
import os
import re
from pathlib import Path
from typing import Annotated

import typer
from headrace.errors import InvalidInput, Problem, Unavailable
from headrace.pools import DEFAULT_POOL, POOL_NAME

from headrace_cli.command import Session, command
from headrace_cli.dev.logs import is_worth_telling
from headrace_cli.ending import cancelled_by_signals
from headrace_cli.fleet.rule import Memory, Rule, follow
from headrace_cli.fleet.runners import Runners
from headrace_cli.fleet.signals import SignalsClient
from headrace_cli.fleet.view import Moment, View
from headrace_cli.runner import runner_environment, runner_settings


def add_to(app: typer.Typer) -> None:
    command(app, "fleet", connects=False)(fleet)


async def fleet(
    session: Session,
    signals: Annotated[
        str, typer.Option(envvar="HEADRACE_SIGNALS_URL", help="A control plane's operators' port.")
    ],
    pool: Annotated[
        str, typer.Option(envvar="HEADRACE_POOL", help="The runner pool whose load is followed.")
    ] = DEFAULT_POOL,
    minimum: Annotated[int, typer.Option("--min", min=0, max=256, help="Runners at least.")] = 1,
    maximum: Annotated[int, typer.Option("--max", min=1, max=256, help="Runners at most.")] = 4,
    target: Annotated[float, typer.Option(min=0.1, help="The load of one runner, in runs.")] = 100,
    stabilisation: Annotated[
        float, typer.Option(min=0, help="Seconds in which none asked for a runner before it leaves.")
    ] = 60,
    cool_down: Annotated[
        float, typer.Option(min=0, help="Seconds without load before the last one leaves, with --min 0.")
    ] = 120,
    every: Annotated[float, typer.Option(min=0.2, max=60, help="Seconds between readings.")] = 2,
    logs: Annotated[Path, typer.Option(help="Where what runners write is kept.")] = Path(".headrace/fleet"),
) -> None:
    """Run as many runners of a pool on this machine as there is work for, until Ctrl-C.

    Runners get this command's HEADRACE_* settings. With HEADRACE_HEALTH_PORT they get that port and those after it.
    """
    if minimum > maximum:
        raise InvalidInput([Problem("--min", f"{minimum} is above --max {maximum}", "pass a lower --min")])
    if not signals.startswith(("http://", "https://")):
        raise InvalidInput([Problem("--signals", "no http address", "write http://127.0.0.1:9091")])
    if re.fullmatch(POOL_NAME, pool) is None:
        raise InvalidInput([Problem("--pool", "this is no pool's name", "headrace pools list names them")])
    settings = runner_settings()
    rule = Rule(target, minimum, maximum, stabilisation, cool_down)
    view = View(session.output, maximum)

    def said(runner: str, line: str) -> None:
        if is_worth_telling(line):
            view.service_said(runner, line)

    with cancelled_by_signals(), view.open():
        runners = Runners(
            {**runner_environment(os.environ), "HEADRACE_POOL": pool},
            logs,
            said,
            view.ended,
            drain_seconds=settings.drain_seconds,
            health_port=settings.health_port,
        )
        try:
            async with SignalsClient(signals, pool) as client:
                await _keep(rule, client, runners, view, every)
        except asyncio.CancelledError:
            session.output.say("Draining all runners ...")
        finally:
            await runners.stop()
    if runners.gave_up.done():
        raise Unavailable(
            f"{runners.gave_up.result()} can not start: a setting is wrong; see the lines above"
        )


async def _keep(rule: Rule, client: SignalsClient, runners: Runners, view: View, every: float) -> None:
    """Follow the signals until a runner can not be started."""
    memory, clock = Memory(), asyncio.get_running_loop().time
    while not runners.gave_up.done():
        figures, trouble = None, ""
        try:
            figures = await client.read()
        except Unavailable as error:
            trouble = error.message
        load = figures.load if figures else None
        memory, wanted = follow(rule, memory, load, runners.count, clock())
        await runners.scale(wanted)
        view.moment(Moment(figures, trouble, runners.count, runners.draining))
        await asyncio.wait([runners.gave_up], timeout=every)
