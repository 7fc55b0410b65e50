"""`headrace capacity`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from headrace_cli.capacity.coefficients import measured, read
from headrace_cli.capacity.needs import Load, plan
from headrace_cli.command import Session, command
from headrace_cli.output import cells, table


def add_to(app: typer.Typer) -> None:
    """`headrace capacity`."""
    command(app, "capacity", connects=False)(capacity)


async def capacity(
    session: Session,
    runs_per_day: Annotated[float, typer.Option(min=1, max=1e12, help="Started in a day.")],
    calls: Annotated[float, typer.Option(min=0, max=10_000, help="Calls in a run.")] = 3,
    steps: Annotated[
        float | None, typer.Option(min=0, max=10_000, help="Steps in a run.", show_default="as calls")
    ] = None,
    kilobytes: Annotated[float, typer.Option(min=0, max=256, help="Of an answer.")] = 1,
    target_ms: Annotated[float, typer.Option(min=0, max=600_000, help="A call takes.")] = 200,
    waits: Annotated[float, typer.Option(min=0, max=1_000, help="Waits for days in a run.")] = 0,
    wait_days: Annotated[float, typer.Option(min=0, max=3_650, help="Such a wait lasts.")] = 3,
    peak: Annotated[float, typer.Option(min=1, max=1_000, help="The busiest minute by the mean.")] = 3,
    kept_days: Annotated[float, typer.Option(min=0, max=36_500, help="Ended runs are kept.")] = 30,
    share: Annotated[float, typer.Option(min=0.05, max=1, help="Of a core that a process may use.")] = 0.6,
    coefficients: Annotated[
        Path | None,
        typer.Option(help="Measured elsewhere, by `headrace bench capacity`.", show_default=False),
    ] = None,
) -> None:
    """How many of each service a load needs, by what runs cost when they were measured."""
    costs = measured() if coefficients is None else await asyncio.to_thread(read, coefficients)
    load = Load(
        runs_per_day,
        calls,
        calls if steps is None else steps,
        kilobytes,
        target_ms,
        waits,
        wait_days,
        peak,
        share,
        kept_days,
    )
    found = plan(load, costs)
    session.output.result(
        {
            "runsPerSecond": round(found.runs_per_second, 3),
            "inFlight": round(found.in_flight, 1),
            "parked": round(found.parked),
            "cores": round(found.cores, 2),
            "walMbPerSecond": round(found.wal_mb_per_second, 3),
            "databaseGb": round(found.database_gb, 3),
            "services": [
                {
                    "service": need.service,
                    "cpuMs": round(need.cpu_ms, 3),
                    "coresBusy": round(need.busy, 3),
                    "processes": need.processes,
                }
                for need in found.needs
            ],
        }
    )
    shown = table("service", "CPU ms a run", "cores busy at the peak", "processes, or cores to give")
    for need in found.needs:
        shown.add_row(*cells(need.service, round(need.cpu_ms, 2), round(need.busy, 2), need.processes))
    session.output.say(
        f"{found.runs_per_second:,.1f} runs a second at the peak, {found.in_flight:,.0f} in flight, "
        f"{found.parked:,.0f} parked"
    )
    session.output.show(shown)
    session.output.say(
        f"{found.cores:,.1f} cores busy at the peak, {found.wal_mb_per_second:,.1f} MB of WAL a second, "
        f"{found.database_gb:,.0f} GB of database; measured on {costs.machine}"
    )
