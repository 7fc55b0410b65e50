"""The commands of `headrace bench`."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from headrace.errors import InvalidInput, Problem

from headrace_cli.bench.compare import differences, read
from headrace_cli.bench.deployment import Layout
from headrace_cli.bench.measure import Wish, measured
from headrace_cli.bench.medians import median_of
from headrace_cli.bench.page import write as write_page
from headrace_cli.bench.report import Report
from headrace_cli.bench.report import write as write_report
from headrace_cli.bench.scenario import Scenario
from headrace_cli.bench.scenarios import SCENARIOS
from headrace_cli.bench.servers import ProfileName
from headrace_cli.bench.suite import suite
from headrace_cli.bench.tables import show
from headrace_cli.capacity.fitting import capacity_of
from headrace_cli.command import ExpectationFailed, Run, Session, command
from headrace_cli.dev.logs import ServiceLog
from headrace_cli.ending import cancelled_by_signals
from headrace_cli.output import cells, safe, table


def benches() -> typer.Typer:
    """All commands of `headrace bench`."""
    group = typer.Typer()
    for scenario in SCENARIOS:
        command(group, scenario.name, connects=False)(_runs(scenario))
    command(group, "all", connects=False)(every)
    command(group, "compare", connects=False)(compare)
    command(group, "page", connects=False)(page)
    command(group, "capacity", connects=False)(capacity_of)
    return group


_Bus = Annotated[
    str | None, typer.Option(envvar="HEADRACE_TEST_RABBITMQ_URL", help="RabbitMQ.", show_default=False)
]
_LogStore = Annotated[
    str | None, typer.Option(envvar="HEADRACE_TEST_MONGODB_URL", help="MongoDB.", show_default=False)
]
_Seconds = Annotated[float, typer.Option(min=1, help="How long runs may take to end.")]
_Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show what services write.")]
_Scale = Annotated[float, typer.Option(min=0.0001, max=100, help="Times every size.")]


def _runs(scenario: Scenario) -> Run:
    """The command that measures `scenario`."""

    async def bench(
        session: Session,
        profile: Annotated[
            ProfileName | None,
            typer.Option(help="Production where a bus is given, else embedded.", show_default=False),
        ] = None,
        runs: Annotated[int | None, typer.Option(min=1, help="How many runs, where it counts them.")] = None,
        scale: _Scale = 1.0,
        repeats: Annotated[int, typer.Option(min=1, max=25, help="Measure so often; print medians.")] = 1,
        runners: Annotated[int, typer.Option(min=1, max=16, help="How many runner processes.")] = 1,
        reporters: Annotated[int, typer.Option(min=1, max=4, help="How many reporter processes.")] = 1,
        control_planes: Annotated[int, typer.Option(min=1, max=8, help="How many control planes.")] = 1,
        setting: Annotated[
            list[str] | None, typer.Option(help="HEADRACE_NAME=value, for all services. May be given again.")
        ] = None,
        bus_url: _Bus = None,
        log_store_url: _LogStore = None,
        seconds: _Seconds = 600.0,
        out: Annotated[Path | None, typer.Option(help="Write the report to this file, too.")] = None,
        verbose: _Verbose = False,
    ) -> None:
        chosen = profile or (ProfileName.PRODUCTION if bus_url else ProfileName.EMBEDDED)
        layout = Layout(control_planes, runners, reporters, _settings(setting or []))
        wish = Wish(chosen, bus_url, log_store_url, layout, seconds)
        with cancelled_by_signals():
            report = await _measured(session, scenario, scenario.scaled(scale, runs), wish, repeats, verbose)
        session.output.result(report.model_dump(mode="json", by_alias=True))
        if out is not None:
            await asyncio.to_thread(write_report, report, out)
        if report.wrong:
            raise ExpectationFailed("; ".join(report.wrong))

    bench.__doc__ = scenario.about
    return bench


async def every(
    session: Session,
    out: Annotated[Path, typer.Option(help="The folder that the reports go to.")],
    full: Annotated[bool, typer.Option("--full", help="Full sizes, five times each. Takes hours.")] = False,
    scale: _Scale = 1.0,
    bus_url: _Bus = None,
    log_store_url: _LogStore = None,
    seconds: _Seconds = 900.0,
    verbose: _Verbose = False,
) -> None:
    """Measure every scenario, in sizes that end in a quarter of an hour on two quiet cores."""
    wrong, reports = [], []
    production = bus_url is not None and log_store_url is not None
    if not production:
        session.output.say("Without --bus-url and --log-store-url all is measured on the embedded profile.")
    with cancelled_by_signals():
        for item in suite(scale, full=full, production=production):
            layout = Layout(runners=item.runners)
            wish = Wish(item.profile, bus_url, log_store_url, layout, seconds)
            sizes = item.scenario.scaled(item.scale, None)
            report = await _measured(session, item.scenario, sizes, wish, item.repeats, verbose)
            await asyncio.to_thread(write_report, report, out / f"{item.name}.json")
            reports.append(report)
            wrong += [f"{item.name}: {line}" for line in report.wrong]
    session.output.result([report.model_dump(mode="json", by_alias=True) for report in reports])
    if wrong:
        raise ExpectationFailed("; ".join(wrong))


async def page(
    session: Session,
    reports: Annotated[Path, typer.Argument(help="The folder with the reports of `bench all`.")],
    into: Annotated[Path, typer.Option(help="The page to write; its plots go beside it.")],
) -> None:
    """Write the docs' page of benchmarks anew, with tables and plots of these reports."""
    found = {file.stem: read(file) for file in sorted(reports.glob("*.json"))}
    if not found:
        raise InvalidInput([Problem("reports", f"{reports} has no report", "run `make bench` first")])
    order = [item.name for item in suite()]
    ordered = sorted(found, key=lambda name: order.index(name) if name in order else len(order))
    written = write_page([found[name] for name in ordered], into)
    session.output.result([str(file) for file in written])
    session.output.say("\n".join(f"wrote {safe(str(file))}" for file in written))


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


async def _measured(
    session: Session, scenario: Scenario, sizes: Mapping[str, int], wish: Wish, repeats: int, verbose: bool
) -> Report:
    """The report, shown to people already; of several measurements their medians."""
    log, output, reports = ServiceLog(session.output, verbose), session.output, []
    for number in range(repeats):
        output.say(f"{scenario.name}, {wish.profile.value}, {number + 1} of {repeats}")
        reports.append(await measured(scenario, sizes, wish, log, output.say))
    report = median_of(reports)
    if not output.machine:
        show(output, report)
    return report


def _settings(given: list[str]) -> dict[str, str]:
    settings = {}
    for each in given:
        name, sign, value = each.partition("=")
        if not sign or not name.startswith("HEADRACE_"):
            raise InvalidInput([Problem("setting", f"{name!r} is no setting", "write HEADRACE_CAPACITY=500")])
        settings[name] = value
    return settings
