"""`headrace bench capacity`: what `headrace capacity` stands on, out of measurements."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from headrace.errors import InvalidInput, Problem

from headrace_cli.bench.compare import read as read_report
from headrace_cli.capacity.page import page
from headrace_cli.capacity.points import coefficients
from headrace_cli.command import Session
from headrace_cli.output import cells, table


async def capacity_of(
    session: Session,
    reports: Annotated[Path, typer.Argument(help="The folder with the reports of `bench`.")],
    into: Annotated[Path | None, typer.Option(help="The docs' page to write.")] = None,
    out: Annotated[Path | None, typer.Option(help="The file for the coefficients.")] = None,
) -> None:
    """Fit what runs cost to reports, and check the model against them."""
    files = await asyncio.to_thread(lambda: sorted(reports.glob("*.json")))
    if not files:
        raise InvalidInput([Problem("reports", f"{reports} has no report", "run `make bench` first")])
    found = coefficients([read_report(file) for file in files])
    for file, text in ((out, found.model_dump_json(indent=1) + "\n"), (into, page(found))):
        if file is not None:
            await asyncio.to_thread(file.write_text, text, encoding="utf-8")
    session.output.result(found.model_dump(mode="json"))
    shown = table("used by", "a run", "a step", "a call", "a kilobyte")
    for name, costs in found.by.items():
        shown.add_row(*cells(name, costs.run, costs.step, costs.call, costs.kilobyte))
    session.output.show(shown)
