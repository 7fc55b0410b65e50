"""`headrace dev`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from headrace.errors import InvalidInput, Problem, Unavailable

from headrace_cli.command import Session, command
from headrace_cli.dev.deployment import Deployment, Shape, deployed
from headrace_cli.dev.folder import DataFolder
from headrace_cli.dev.logs import ServiceLog
from headrace_cli.ending import cancelled_by_signals
from headrace_cli.output import Output, safe


def add_to(app: typer.Typer) -> None:
    command(app, "dev", connects=False)(dev)


async def dev(
    session: Session,
    data: Annotated[Path, typer.Option(help="Where data and secrets are kept.")] = Path(".headrace"),
    port: Annotated[int, typer.Option(min=1, max=65535, help="GraphQL, on 127.0.0.1.")] = 8080,
    internal_port: Annotated[
        int, typer.Option(min=1, max=65535, help="The runners' own port, on 127.0.0.1.")
    ] = 8081,
    runners: Annotated[int, typer.Option(min=1, max=16, help="How many runner processes.")] = 1,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            help="A private place that calls may go to, as 127.0.0.1:8090. May be given again. Kept in the data "
            "folder's egress.yaml, in place of those kept there before."
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show all that services write.")] = False,
) -> None:
    """Run the whole of Headrace on this machine, until Ctrl-C."""
    output = session.output
    if port == internal_port:
        mend = "pass another --internal-port; the runners' port is not for others"
        raise InvalidInput([Problem("--internal-port", f"{port} is --port too", mend)])
    folder = DataFolder(data)
    log = ServiceLog(output, verbose)
    output.say(f"Starting Postgres, the control plane, the reporter and {runners} runner(s) ...")
    with cancelled_by_signals():
        try:
            async with deployed(folder, Shape(port, internal_port, runners), log, allow or ()) as running:
                _welcome(output, folder, running)
                name = await running.supervisor.gave_up
        except asyncio.CancelledError:
            output.say("Stopped.")
            return
    raise Unavailable(f"{name} crashed again and again; everything was stopped")


def _welcome(output: Output, folder: DataFolder, running: Deployment) -> None:
    allowed = folder.allowed()
    output.line(
        {
            "url": running.profile.url,
            "profileFile": str(folder.profiles),
            "egressPolicyFile": str(folder.egress_policy),
            "allowed": allowed,
        }
    )
    if running.first_start:
        output.say(
            f"First start: made a tenant, its admin's key and a master key in {safe(str(folder.path))}"
        )
    output.say(f"[green]Headrace is ready[/] at {running.profile.url}/graphql")
    output.say(f"  admin key  {safe(str(folder.profiles))} (commands run beside that folder find it)")
    output.say(f"  logs       {safe(str(folder.logs))}")
    places = ", ".join(["the public net", *allowed] if allowed else ["the public net alone (see --allow)"])
    output.say(f"  calls to   {safe(places)}; kept in {safe(str(folder.egress_policy))}")
    output.say("  end        Ctrl-C; the data stays")
