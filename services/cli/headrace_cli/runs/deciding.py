"""`headrace run approve | reject` and `headrace approvals`.

At a terminal, who decides on a call that the policy holds is shown the call first, and the decision is for that one.
"""

import sys
from typing import Annotated, Any

import typer
from headrace.errors import Conflict
from headrace_control.waits.model import Verdict, WaitStatus

from headrace_cli.asking import agreed
from headrace_cli.client import FAILURES, Client
from headrace_cli.command import Session, command
from headrace_cli.json_option import read_json
from headrace_cli.output import Output, cells, safe, table
from headrace_cli.page_options import After, First
from headrace_cli.runs.history import paged
from headrace_cli.runs.talking import Reason, StepKey
from headrace_cli.runs.view import RunId

_DECIDE = (
    """
mutation Decide($run: ID!, $step: String!, $decision: Verdict!, $reason: String!, $form: JSON, $digest: String) {
  decideApproval(runId: $run, step: $step, decision: $decision, reason: $reason, form: $form, digest: $digest) {
    ... on Approval { step status decision { decision by at reason form } } ...Failures
  }
}"""
    + FAILURES
)
_GATE = "gate { action approvalClass digest twoPerson }"
_APPROVALS = """
query Approvals($status: WaitStatus!, $first: Int!, $after: String) {
  approvals(status: $status, first: $first, after: $after) {
    items { run { id workflow { name } } step status title details form openedAt dueAt mayDecide GATE
      decision { decision by at reason form } }
    pageInfo { hasNextPage endCursor }
  }
}""".replace("GATE", _GATE)
_WAITS = """
query Waits($id: ID!, $first: Int!, $after: String) {
  run(id: $id) {
    page: waits(first: $first, after: $after) {
      items { step status title details GATE } pageInfo { hasNextPage endCursor }
    }
  }
}""".replace("GATE", _GATE)

Digest = Annotated[
    str | None, typer.Option(help="The digest of the call that was read: no other one is decided on.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Show no call, and do not ask.")]


def add_to(app: typer.Typer, group: typer.Typer) -> None:
    """`group` is `headrace run`."""
    command(group, "approve")(approve)
    command(group, "reject")(reject)
    command(app, "approvals")(approvals)


async def approve(
    session: Session,
    run: RunId,
    step: StepKey,
    form: Annotated[str, typer.Option(help="What the approval asks for: JSON, or @FILE with JSON.")] = "null",
    reason: Reason = "",
    digest: Digest = None,
    yes: Yes = False,
) -> None:
    """Approve what a run waits for."""
    await _decide(session, Verdict.APPROVE, run, step, form, reason, digest, yes)


async def reject(
    session: Session,
    run: RunId,
    step: StepKey,
    form: Annotated[str, typer.Option(help="What the approval asks for, if you like.")] = "null",
    reason: Reason = "",
    digest: Digest = None,
    yes: Yes = False,
) -> None:
    """Reject what a run waits for."""
    await _decide(session, Verdict.REJECT, run, step, form, reason, digest, yes)


async def approvals(
    session: Session,
    wanted: Annotated[
        WaitStatus, typer.Option("--status", help="OPEN, DECIDED or CLOSED.")
    ] = WaitStatus.OPEN,
    first: First = 20,
    after: After = None,
) -> None:
    """List what waits for a decision, the one opened last first."""
    variables = {"status": wanted.value, "first": first, "after": after}
    async with session.client() as client:
        found = (await client.execute(_APPROVALS, variables))["approvals"]
    session.output.result(found)
    shown = table(
        "run", "workflow", "step", "title", "opened (UTC)", "due (UTC)", "yours", "decision", ids="run"
    )
    for one in found["items"]:
        run, decision = one["run"] or {"id": None, "workflow": {"name": None}}, one["decision"]
        told = decision and f"{decision['decision']} by {decision['by']}"
        yours = "yes" if one["mayDecide"] else "no"
        shown.add_row(
            *cells(run["id"], run["workflow"]["name"], one["step"], one["title"]),
            *cells(_minute(one["openedAt"]), _minute(one["dueAt"]), yours, told),
        )
    session.output.show(shown)
    session.output.more(found["pageInfo"])


async def _decide(
    session: Session,
    verdict: Verdict,
    run: str,
    step: str,
    form: str,
    reason: str,
    digest: str | None,
    yes: bool,
) -> None:
    wish = {
        "run": run,
        "step": step,
        "decision": verdict.value,
        "form": read_json(form, "--form"),
        "reason": reason,
        "digest": digest,
    }
    output = session.output
    asks = digest is None and not yes and _somebody_is_here(output)
    async with session.client() as client:
        decided = await (_asked_and_decided if asks else _decided)(client, output, wish)
    if decided is None:
        output.say("nothing is decided")
        return
    output.result(decided)
    told = str(decided["decision"]["decision"])
    output.say(f"run {safe(run)}: {safe(step)} is {told}")


async def _decided(client: Client, _: Output, wish: dict[str, Any]) -> Any:
    return (await client.execute(_DECIDE, wish))["decideApproval"]


async def _asked_and_decided(client: Client, output: Output, wish: dict[str, Any]) -> Any:
    """Show the call that the policy holds, if it is one, ask, and decide on the one that was shown; when it is another
    by then, show that and ask anew. None when the answer is no."""
    call = await _held_call(client, wish)
    while call is not None:
        digest = call["gate"]["digest"]
        if not _agreed(output, wish["decision"], call):
            return None
        try:
            return await _decided(client, output, {**wish, "digest": digest})
        except Conflict:
            call = await _held_call(client, wish)
            if call is None or call["gate"]["digest"] == digest:
                raise
            output.say("[yellow]meanwhile it has come to be another call[/]")
    return await _decided(client, output, wish)


async def _held_call(client: Client, wish: dict[str, Any]) -> Any:
    """The wait, if it is open and one of the policy's; None else."""

    def page(run: Any) -> Any:
        return run["page"] if run else {"items": [], "pageInfo": {"hasNextPage": False}}

    async for one in paged(client, _WAITS, wish["run"], page):
        if one["step"] == wish["step"]:
            return one if one["gate"] and one["status"] == WaitStatus.OPEN else None
    return None


def _agreed(output: Output, decision: str, call: Any) -> bool:
    output.say(f"[bold]{safe(call['title'])}[/]")
    output.value(call["details"])
    return agreed(output, f"{decision.capitalize()} this call?")


def _somebody_is_here(output: Output) -> bool:
    return output.errors.is_terminal and sys.stdin.isatty() and not output.machine


def _minute(at: str | None) -> str | None:
    """A moment in UTC, for a column."""
    return at and at[:16].replace("T", " ")
