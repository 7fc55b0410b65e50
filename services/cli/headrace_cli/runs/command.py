"""`headrace run start | get | list | cancel | watch | verify`, and the group that holds all commands about runs."""

from typing import Annotated, Any

import typer
from headrace.workflow.state import RunStatus

from headrace_cli.client import FAILURES, Client
from headrace_cli.command import ExpectationFailed, Session, command
from headrace_cli.json_option import read_json
from headrace_cli.output import cells, moment, safe, status, table
from headrace_cli.page_options import After, First
from headrace_cli.runs import deciding, move, past, rerun, talking
from headrace_cli.runs.verify import verify_run
from headrace_cli.runs.view import RUN_FIELDS, RunId, RunView
from headrace_cli.runs.watch import get as get_run
from headrace_cli.runs.watch import picture, watch

_START = (
    """
mutation Start($workflow: String!, $input: JSON, $version: Int, $key: String) {
  startRun(workflow: $workflow, input: $input, version: $version, idempotencyKey: $key) {
    ... on Run { ...RunFields } ...Failures
  }
}"""
    + RUN_FIELDS
    + FAILURES
)
_CANCEL = (
    "mutation Cancel($id: ID!) { cancelRun(id: $id) { ... on Run { ...RunFields } ...Failures } }"
    + RUN_FIELDS
    + FAILURES
)
_WHOLE = (
    """
query Whole($id: ID!) {
  run(id: $id) {
    ...RunFields input result version { number }
    steps { key input output attempts { number outcome httpStatus address startedAt durationMs
      error { code message } } }
  }
}"""
    + RUN_FIELDS
)
_LIST = (
    """
query List($filter: RunFilter, $first: Int!, $after: String) {
  runs(filter: $filter, first: $first, after: $after) {
    items { ...RunFields } pageInfo { hasNextPage endCursor }
  }
}"""
    + RUN_FIELDS
)


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(
        help="Start, watch, read, pause and cancel runs, and talk to them.", no_args_is_help=True
    )
    app.add_typer(group, name="run")
    command(group, "start")(start)
    command(group, "watch")(watch_run)
    command(group, "get")(get)
    command(group, "list")(list_runs)
    command(group, "cancel")(cancel)
    command(group, "verify")(verify_run)
    past.add_to(group)
    rerun.add_to(group)
    move.add_to(group)
    talking.add_to(group)
    deciding.add_to(app, group)


async def start(
    session: Session,
    workflow: Annotated[str, typer.Argument(help="The workflow's name.")],
    input_: Annotated[
        str, typer.Option("--input", "-i", help="The run's input: JSON, or @FILE with JSON.")
    ] = "{}",
    version: Annotated[
        int | None, typer.Option(help="A version other than the newest published one.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="An idempotency key: the same one, the same run.")] = None,
    follow: Annotated[bool, typer.Option("--watch", "-w", help="Show the steps until it has ended.")] = False,
) -> None:
    """Start a run. With --watch, exit 1 when it does not end in SUCCESS."""
    variables = {"workflow": workflow, "input": read_json(input_, "--input"), "version": version, "key": key}
    async with session.client() as client:
        started = (await client.execute(_START, variables))["startRun"]
        if follow:
            session.output.beside_error = {"run": started["id"]}
            await _watched(client, started["id"], session)
        else:
            session.output.result(started)
            session.output.say(f"run {started['id']}  {status(str(started['status']))}")


async def watch_run(session: Session, run: RunId) -> None:
    """Show a run's steps until it has ended; exit 1 when it does not end in SUCCESS."""
    async with session.client() as client:
        await _watched(client, run, session)


async def get(session: Session, run: RunId) -> None:
    """Show a run: its steps, attempts, input and result."""
    async with session.client() as client:
        found = (await client.execute(_WHOLE, {"id": run}))["run"]
    session.output.result(found)
    shown_run = RunView.of(found)
    session.output.people.print(picture(shown_run))
    by = f" by {safe(shown_run.started_by)}" if shown_run.started_by else ""
    session.output.say(f"created {moment(shown_run.created_at)}{by}")
    shown = table("step", "attempt", "outcome", "http", "took", "address", "error")
    for step in found["steps"]:
        for attempt in step["attempts"]:
            _attempt_row(shown, step["key"], attempt)
    session.output.show(shown)
    for name in ("trigger", "input", "result", "error"):
        _say_value(session, name, found.get(name))


async def list_runs(
    session: Session,
    workflow: Annotated[str | None, typer.Option(help="Of this workflow alone.")] = None,
    version: Annotated[int | None, typer.Option(help="Of this version of it alone.")] = None,
    statuses: Annotated[
        list[RunStatus] | None, typer.Option("--status", help="In this status; may be given again.")
    ] = None,
    schedule: Annotated[str | None, typer.Option(help="Started by this schedule.")] = None,
    webhook: Annotated[str | None, typer.Option(help="Started by this webhook.")] = None,
    first: First = 20,
    after: After = None,
) -> None:
    """List runs, newest first."""
    wanted: dict[str, Any] = {
        "workflow": workflow,
        "version": version,
        "status": [s.value for s in statuses] if statuses else None,
        "schedule": schedule,
        "webhook": webhook,
    }
    async with session.client() as client:
        found = (await client.execute(_LIST, {"filter": wanted, "first": first, "after": after}))["runs"]
    session.output.result(found)
    columns = ("run", "workflow", "status", "created", "started by", "steps", "attempts", "took", "error")
    shown = table(*columns, ids="run")
    for run in map(RunView.of, found["items"]):
        took = None if run.seconds is None else f"{run.seconds:.2f} s"
        steps = f"{run.done}/{len(run.steps)}"
        error = run.error.code if run.error else ""
        shown.add_row(
            *cells(run.id, run.workflow),
            status(run.status),
            *cells(moment(run.created_at), run.started_by, steps, run.attempts, took, error),
        )
    session.output.show(shown)
    session.output.more(found["pageInfo"])


async def cancel(session: Session, run: RunId) -> None:
    """Ask for the end of a run."""
    async with session.client() as client:
        canceled = (await client.execute(_CANCEL, {"id": run}))["cancelRun"]
    session.output.result(canceled)
    session.output.say(f"run {run}: asked to end; it is {status(canceled['status'])} now")


async def _watched(client: Client, run_id: str, session: Session) -> None:
    await watch(client, run_id, session.output)
    # What the subscription sent last may be older than the end's last details.
    ended = await get_run(client, run_id)
    session.output.result(ended)
    run = RunView.of(ended)
    if session.output.machine or not session.output.people.is_terminal:
        session.output.people.print(picture(run))
    _say_value(session, "result", ended["result"])
    if run.status is not RunStatus.SUCCESS:
        reason = f" ({run.error.code}: {run.error.message})" if run.error else ""
        raise ExpectationFailed(f"the run ended {run.status}{reason}")


def _say_value(session: Session, name: str, value: Any) -> None:
    if value is not None:
        session.output.people.print(f"[bold]{name}[/]")
        session.output.value(value)


def _attempt_row(shown: Any, step: str, attempt: Any) -> None:
    error = f"{attempt['error']['code']}: {attempt['error']['message']}" if attempt["error"] else ""
    took = f"{attempt['durationMs']} ms"
    shown.add_row(
        *cells(step, attempt["number"]),
        status(attempt["outcome"]),
        *cells(attempt["httpStatus"], took, attempt["address"], error),
    )
