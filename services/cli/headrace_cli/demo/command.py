"""`headrace demo`."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from headrace.errors import Unavailable
from headrace.workflow.state import RunStatus
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from headrace_cli.apply.carry_out import carry_out
from headrace_cli.apply.documents import read
from headrace_cli.apply.plan import make_plan
from headrace_cli.apply.shape import shape_problems
from headrace_cli.client import FAILURES, Client, payload_error
from headrace_cli.command import ExpectationFailed, Session, command
from headrace_cli.demo.orders import Order, read_orders, unmet
from headrace_cli.demo.storefront import Storefront, demo_folder, started
from headrace_cli.dev.deployment import Deployment, Shape, deployed, spare_port
from headrace_cli.dev.folder import DataFolder
from headrace_cli.dev.logs import ServiceLog
from headrace_cli.dev.supervisor import Supervisor
from headrace_cli.ending import cancelled_by_signals
from headrace_cli.logs import record_line, search
from headrace_cli.output import Output, cells, safe, status, table
from headrace_cli.runs.view import RUN_FIELDS, RunView

RUNS_SECONDS = 60.0
_ASK_SECONDS = 0.2
_START = (
    """
mutation Start($items: [RunStart!]!) {
  startRuns(items: $items) {
    ... on StartedRuns { items { ... on Run { id } ...Failures } }
    ...Failures
  }
}"""
    + FAILURES
)
_RUNS = "query Runs { runs(first: 200) { items { ...RunFields } } }" + RUN_FIELDS
_FAILED = (
    """
query Failed($id: ID!) {
  run(id: $id) { ...RunFields steps { attempts { number httpStatus address } } }
}"""
    + RUN_FIELDS
)


def add_to(app: typer.Typer) -> None:
    command(app, "demo", connects=False)(demo)


async def demo(
    session: Session,
    folder: Annotated[Path | None, typer.Option(help="The demo's files.")] = None,
    runners: Annotated[int, typer.Option(min=1, max=8, help="How many runner processes.")] = 2,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show all that services write.")] = False,
) -> None:
    """Show the whole of it: a storefront, six apps, two workflows, 25 runs, their logs. Ends by itself.

    Everything runs in a folder of its own, on free ports, and is gone afterwards. Exit 0 when each run ended as
    it should and the storefront saw the calls that it should.
    """
    output, files = session.output, demo_folder(folder)
    log = ServiceLog(output, verbose)
    began = time.monotonic()
    with cancelled_by_signals(), tempfile.TemporaryDirectory(prefix="headrace-demo-") as place:
        async with _scene(output, files, Path(place), runners, log) as (running, storefront):
            orders = read_orders(files / "orders.json")
            async with Client(running.profile) as client:
                await _apply(output, client, files, storefront)
                runs = await _run(output, client, orders, running)
                _show_runs(output, orders, runs)
                found = await _explain(output, client, runs)
            wrong = unmet(orders, runs, await storefront.journal())
    if found == 0:
        wrong.append("the log search found nothing of the failure")
    output.result(
        {
            "runs": [_summary(order, run) for order, run in zip(orders, runs, strict=True)],
            "unmet": wrong,
            "seconds": round(time.monotonic() - began, 1),
        }
    )
    if wrong:
        raise ExpectationFailed("; ".join(wrong))
    output.say(
        f"\n[green]As it should be[/]: {len(runs)} runs, every refund made once, in "
        f"{time.monotonic() - began:.0f} s. Next: [bold]make dev[/], then docs/tutorial.md."
    )


@contextlib.asynccontextmanager
async def _scene(
    output: Output, files: Path, place: Path, runners: int, log: ServiceLog
) -> AsyncIterator[tuple[Deployment, Storefront]]:
    """A storefront and a deployment that may call it."""
    supervisor = Supervisor(log, place / "logs")
    try:
        storefront = await started(supervisor, files)
        output.say(f"[bold]1[/] A storefront with six APIs, each behind another credential: {storefront.url}")
        output.say(f"[bold]2[/] Headrace: Postgres, the control plane, a reporter, {runners} runners ...")
        shape = Shape(spare_port(), spare_port(), runners, "demo")
        async with deployed(DataFolder(place / "data"), shape, log, [storefront.place]) as running:
            yield running, storefront
    finally:
        await supervisor.stop()


async def _apply(output: Output, client: Client, files: Path, storefront: Storefront) -> None:
    declared = read([files / "apps", files / "workflows"], storefront.environment, shape_problems)
    steps = await make_plan(client, declared)
    for step in steps:
        await carry_out(client, step)
    kinds = {
        kind: sum(step.declared.kind == kind for step in steps)
        for kind in dict.fromkeys(s.declared.kind for s in steps)
    }
    counts = ", ".join(f"{count} {kind.lower()}{'s' if count > 1 else ''}" for kind, count in kinds.items())
    output.say(f"[bold]3[/] Applied {safe(str(files))}: {counts}")


async def _run(output: Output, client: Client, orders: Sequence[Order], running: Deployment) -> list[RunView]:
    """Start a run for each order and wait for all of them; in the order of the orders."""
    items = [
        {"workflow": order.workflow, "input": order.input, "idempotencyKey": f"demo-{order.number}"}
        for order in orders
    ]
    answers = (await client.execute(_START, {"items": items}))["startRuns"]["items"]
    if refused := [error.message for error in map(payload_error, answers) if error]:
        raise ExpectationFailed(f"a run was not started: {refused[0]}")
    ids = [answer["id"] for answer in answers]
    output.say(f"[bold]4[/] Started {len(ids)} runs in one request")
    with Progress(
        TextColumn("  runs"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[doing]}"),
        TimeElapsedColumn(),
        console=output.people,
        disable=output.machine,
    ) as progress:
        task = progress.add_task("runs", total=len(ids), doing="")
        async with _deadline(running):
            while True:
                page = (await client.execute(_RUNS))["runs"]["items"]
                runs = {run.id: run for run in map(RunView.of, page)}
                ended = sum(runs[run_id].ended for run_id in ids)
                attempts = sum(runs[run_id].attempts for run_id in ids)
                progress.update(task, completed=ended, doing=f"{attempts} attempts")
                if ended == len(ids):
                    return [runs[run_id] for run_id in ids]
                await asyncio.sleep(_ASK_SECONDS)
    raise AssertionError("the deadline ends the loop")


@contextlib.asynccontextmanager
async def _deadline(running: Deployment) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(RUNS_SECONDS):
            yield
    except TimeoutError:
        names = ", ".join(running.supervisor.pids())
        raise Unavailable(f"the runs did not end within {RUNS_SECONDS:.0f} s; running: {names}") from None


def _show_runs(output: Output, orders: Sequence[Order], runs: Sequence[RunView]) -> None:
    shown = table("order", "workflow", "run", "status", "steps", "attempts", "took", "error")
    for order, run in zip(orders, runs, strict=True):
        steps = f"{run.done} of {len(run.steps)}"
        took = None if run.seconds is None else f"{run.seconds:.2f} s"
        shown.add_row(
            *cells(order.number, run.workflow, run.id),
            status(run.status),
            *cells(steps, run.attempts, took, run.error.code if run.error else ""),
        )
    output.show(shown)


async def _explain(output: Output, client: Client, runs: Sequence[RunView]) -> int:
    """One failure in a sentence, and the log search that finds it; how many records it found."""
    failed = next((run for run in runs if run.status is RunStatus.FAILED), None)
    if failed is None:
        return 0
    run = (await client.execute(_FAILED, {"id": failed.id}))["run"]
    step = next(step for step in run["steps"] if step["status"] == "FAILED")
    attempt = step["attempts"][-1]
    begun = {step["key"] for step in run["steps"]}
    output.say(
        f"\n[bold]5[/] Why did run {failed.id} fail? Its step [bold]{safe(step['key'])}[/] was answered "
        f"{attempt['httpStatus']} by {attempt['address']} at attempt {attempt['number']}, "
        "which trying again does not mend, so the run ended "
        f"({safe(run['error']['code'])}: {safe(run['error']['message'])}) after {len(begun)} steps."
    )
    words = f"{step['key']} {attempt['httpStatus']}"
    output.say(f"[bold]6[/] The same in the logs: [bold]headrace logs {safe(words)} --level ERROR[/]")
    records = await _records(client, {"words": words, "level": "ERROR"}, failed.id)
    for record in records:
        output.say("  " + record_line(record))
    return sum(record["runId"] == failed.id for record in records)


async def _records(client: Client, wanted: dict[str, Any], run_id: str) -> list[dict[str, Any]]:
    """Search until the run's records are there: they travel apart from its events and may come later."""
    for _ in range(25):
        found: list[dict[str, Any]] = (await search(client, wanted, 10))["items"]
        if any(record["runId"] == run_id for record in found):
            return found
        await asyncio.sleep(_ASK_SECONDS)
    return []


def _summary(order: Order, run: RunView) -> dict[str, Any]:
    return {
        "order": order.number,
        "workflow": run.workflow,
        "run": run.id,
        "status": run.status,
        "expected": order.expect,
        "attempts": run.attempts,
        "seconds": run.seconds,
        "steps": {step.key: step.status for step in run.steps},
    }
