"""What people say to runs: `headrace run pause | resume | signal | settle`."""

from typing import Annotated

import typer
from headrace_control.waits.model import Settlement

from headrace_cli.client import FAILURES
from headrace_cli.command import Session, command
from headrace_cli.json_option import read_json
from headrace_cli.output import safe, status
from headrace_cli.runs.view import RunId

_STATE = " { ... on Run { id status waitReason pauseRequested } ...Failures } }"
_PAUSE = "mutation Pause($id: ID!) { pauseRun(id: $id)" + _STATE + FAILURES
_RESUME = "mutation Resume($id: ID!) { resumeRun(id: $id)" + _STATE + FAILURES
_SENT = " { ... on SentMessage { runId seq sentAt repeated } ...Failures } }"
_SIGNAL = (
    """
mutation Signal($run: ID!, $name: String!, $payload: JSON, $key: String) {
  signalRun(runId: $run, name: $name, payload: $payload, idempotencyKey: $key)"""
    + _SENT
    + FAILURES
)
_SETTLE = (
    """
mutation Settle($run: ID!, $step: String!, $outcome: Settlement!, $output: JSON, $reason: String!) {
  settleStep(runId: $run, step: $step, outcome: $outcome, output: $output, reason: $reason)"""
    + _SENT
    + FAILURES
)

StepKey = Annotated[str, typer.Argument(metavar="STEP", help="The step's key, or its row key as `pay[3]`.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept with the decision.")]


def add_to(group: typer.Typer) -> None:
    """`group` is `headrace run`."""
    command(group, "pause")(pause)
    command(group, "resume")(resume)
    command(group, "signal")(signal)
    command(group, "settle")(settle)


async def pause(session: Session, run: RunId) -> None:
    """Ask that a run starts nothing more."""
    async with session.client() as client:
        paused = (await client.execute(_PAUSE, {"id": run}))["pauseRun"]
    session.output.result(paused)
    session.output.say(f"run {safe(run)}: asked to pause; it is {status(paused['status'])} now")


async def resume(session: Session, run: RunId) -> None:
    """Let a paused run go on."""
    async with session.client() as client:
        resumed = (await client.execute(_RESUME, {"id": run}))["resumeRun"]
    session.output.result(resumed)
    session.output.say(f"run {safe(run)}: goes on; it is {status(resumed['status'])} now")


async def signal(
    session: Session,
    run: RunId,
    name: Annotated[str, typer.Argument(help="The signal's name.")],
    payload: Annotated[str, typer.Option("--payload", "-p", help="JSON, or @FILE with JSON.")] = "null",
    key: Annotated[str | None, typer.Option(help="An idempotency key: the same one is taken once.")] = None,
) -> None:
    """Tell a run that something happened."""
    variables = {"run": run, "name": name, "payload": read_json(payload, "--payload"), "key": key}
    async with session.client() as client:
        sent = (await client.execute(_SIGNAL, variables))["signalRun"]
    session.output.result(sent)
    again = ", as it was before" if sent["repeated"] else ""
    session.output.say(f"run {safe(run)}: signal {safe(name)} taken{again}")


async def settle(
    session: Session,
    run: RunId,
    step: StepKey,
    outcome: Annotated[Settlement, typer.Argument(help="RETRY makes the call again.")],
    output: Annotated[
        str, typer.Option(help="What the step made, if it SUCCEEDED: JSON, or @FILE.")
    ] = "null",
    reason: Reason = "",
) -> None:
    """Say what became of a call that was sent and not answered."""
    variables = {
        "run": run,
        "step": step,
        "outcome": outcome.value,
        "output": read_json(output, "--output"),
        "reason": reason,
    }
    async with session.client() as client:
        sent = (await client.execute(_SETTLE, variables))["settleStep"]
    session.output.result(sent)
    session.output.say(f"run {safe(run)}: step {safe(step)} settled as {outcome.value}")
