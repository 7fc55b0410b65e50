"""`headrace bench`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from headrace.errors import InvalidInput, Problem

from headrace_cli.bench.compare import differences, read
from headrace_cli.bench.deployment import Layout
from headrace_cli.bench.measure import Wish, measured
from headrace_cli.bench.medians import median_of
from headrace_cli.bench.report import Report
from headrace_cli.bench.scenario import Scenario
from headrace_cli.bench.scenarios import SCENARIOS
from headrace_cli.bench.servers import ProfileName
from headrace_cli.bench.tables import show
from headrace_cli.command import ExpectationFailed, Run, Session, command
from headrace_cli.dev.logs import ServiceLog
from headrace_cli.ending import cancelled_by_signals
from headrace_cli.output import cells, table


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="Measure Headrace on this machine, and count what it did.", no_args_is_help=True)
    app.add_typer(group, name="bench")
    for scenario in SCENARIOS:
        command(group, scenario.name, connects=False)(_runs(scenario))
    command(group, "compare", connects=False)(compare)


def _runs(scenario: Scenario) -> Run:
    """The command that measures `scenario`."""

    async def bench(
        session: Session,
        profile: Annotated[
            ProfileName | None,
            typer.Option(help="Production where a bus is given, else embedded.", show_default=False),
        ] = None,
        runs: Annotated[int | None, typer.Option(min=1, help="How many runs, where it counts them.")] = None,
        scale: Annotated[float, typer.Option(min=0.0001, max=100, help="Times every size.")] = 1.0,
        repeats: Annotated[int, typer.Option(min=1, max=25, help="Measure so often; print medians.")] = 1,
        runners: Annotated[int, typer.Option(min=1, max=16, help="How many runner processes.")] = 1,
        reporters: Annotated[int, typer.Option(min=1, max=4, help="How many reporter processes.")] = 1,
        control_planes: Annotated[int, typer.Option(min=1, max=8, help="How many control planes.")] = 1,
        setting: Annotated[
            list[str] | None, typer.Option(help="HEADRACE_NAME=value, for all services. May be given again.")
        ] = None,
        bus_url: Annotated[
            str | None,
            typer.Option(envvar="HEADRACE_TEST_RABBITMQ_URL", help="RabbitMQ.", show_default=False),
        ] = None,
        log_store_url: Annotated[
            str | None, typer.Option(envvar="HEADRACE_TEST_MONGODB_URL", help="MongoDB.", show_default=False)
        ] = None,
        seconds: Annotated[float, typer.Option(min=1, help="How long runs may take to end.")] = 600.0,
        out: Annotated[Path | None, typer.Option(help="Write the report to this file, too.")] = None,
        verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what services write.")] = False,
    ) -> None:
        chosen = profile or (ProfileName.PRODUCTION if bus_url else ProfileName.EMBEDDED)
        layout = Layout(control_planes, runners, reporters, _settings(setting or []))
        wish = Wish(chosen, bus_url, log_store_url, layout, seconds)
        sizes = scenario.scaled(scale, runs)
        log = ServiceLog(session.output, verbose)
        reports = []
        with cancelled_by_signals():
            for number in range(repeats):
                session.output.say(f"{scenario.name}, {chosen.value}, {number + 1} of {repeats}")
                reports.append(await measured(scenario, sizes, wish, log, session.output.say))
        await _finish(session, median_of(reports), out)

    bench.__doc__ = scenario.about
    return bench


async def compare(
    session: Session,
    before: Annotated[Path, typer.Argument(help="A report, as --json printed it.")],
    after: Annotated[Path, typer.Argument(help="Another of the same scenario.")],
) -> None:
    """Two reports side by side: each figure, and by how much it changed."""
    found = differences(read(before), read(after))
    session.output.result(
        [{"figure": d.place, "before": d.before, "after": d.after, "ratio": d.ratio} for d in found]
    )
    shown = table("figure", "before", "after", "ratio")
    for each in found:
        shown.add_row(*cells(each.place, each.before, each.after, each.ratio))
    session.output.show(shown)


async def _finish(session: Session, report: Report, out: Path | None) -> None:
    text = report.model_dump(mode="json", by_alias=True)
    session.output.result(text)
    if out is not None:
        await asyncio.to_thread(_write, out, report)
    if not session.output.machine:
        show(session.output, report)
    if report.wrong:
        raise ExpectationFailed("; ".join(report.wrong))


def _write(out: Path, report: Report) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(report.model_dump_json(by_alias=True, indent=2) + "\n", encoding="utf-8")


def _settings(given: list[str]) -> dict[str, str]:
    settings = {}
    for each in given:
        name, sign, value = each.partition("=")
        if not sign or not name.startswith("HEADRACE_"):
            raise InvalidInput([Problem("setting", f"{name!r} is no setting", "write HEADRACE_CAPACITY=500")])
        settings[name] = value
    return settings
