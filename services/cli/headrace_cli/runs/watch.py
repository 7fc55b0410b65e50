"""Follows one run to its end: by subscription, and by asking now and then where that does not work."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from headrace.errors import Unavailable
from headrace.workflow.state import ENDED_RUN
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from headrace_cli.client import Client
from headrace_cli.output import Output, cells, safe, status, table
from headrace_cli.runs.view import RUN_FIELDS, RunView, seconds

_WATCH = "subscription Watch($id: ID!) { runChanged(id: $id) { ...RunFields result } }" + RUN_FIELDS
_GET = "query Run($id: ID!) { run(id: $id) { ...RunFields result } }" + RUN_FIELDS
_POLL_SECONDS = 0.5
# So long a control plane may be away, to be started anew, without ending a watch that has begun.
_AWAY_SECONDS = 60.0
_WAITS = {
    "RETRY": "for a step's next attempt",
    "TIMER": "for a time",
    "APPROVAL": "for a person's decision: see headrace approvals",
    "SIGNAL": "for a signal",
    "CHILD": "for another run that is its step",
    "BLOCKED": "for a connection that takes no calls now",
    "PAUSED": "until it is resumed",
    "HANDED_BACK": "for another runner",
    "IN_DOUBT": "for a person: a call was sent and not answered",
    "CONCURRENCY": "for its turn: as many runs of its workflow as it allows are unfinished",
    "DEAD_LETTER": "for a person: it failed its runners again and again",
}


async def changes(client: Client, run_id: str) -> AsyncIterator[dict[str, Any]]:
    """The run as it is, and again after each change, until it has ended. Raises `NotFound`."""
    latest: dict[str, Any] = {}
    try:
        async for data in client.subscribe(_WATCH, {"id": run_id}):
            latest = data["runChanged"]
            yield latest
    except Unavailable:
        # Proxies that do not pass websockets on are common; the run goes on without us watching.
        pass
    heard = time.monotonic()
    while latest.get("status") not in ENDED_RUN:
        try:
            fresh = await get(client, run_id)
        except Unavailable:
            if not latest or time.monotonic() - heard > _AWAY_SECONDS:
                raise
            fresh = latest
        else:
            heard = time.monotonic()
        if fresh != latest:
            latest = fresh
            yield latest
        else:
            await asyncio.sleep(_POLL_SECONDS)


async def get(client: Client, run_id: str) -> dict[str, Any]:
    """The run as `RUN_FIELDS` reads it, and its result. Raises `NotFound`."""
    found: dict[str, Any] = (await client.execute(_GET, {"id": run_id}))["run"]
    return found


async def watch(client: Client, run_id: str, output: Output) -> dict[str, Any]:
    """Show the run's steps until it has ended; the run as it then is."""
    latest: dict[str, Any] = {}
    if output.machine or not output.people.is_terminal:
        shown: set[tuple[str, str]] = set()
        output.say(f"run {run_id}")
        async for latest in changes(client, run_id):
            _tell(RunView.of(latest), shown, output)
    else:
        with Live(console=output.people, refresh_per_second=12) as live:
            async for latest in changes(client, run_id):
                live.update(picture(RunView.of(latest)))
    return latest


def picture(run: RunView) -> Group:
    """The run and its steps."""
    heading = f"[bold]{safe(run.workflow)}[/] {run.id} {status(run.status)}{_waiting(run)}"
    return Group(Text.from_markup(heading), steps_table(run))


def _waiting(run: RunView) -> str:
    """What a waiting run waits for, to stand after its status."""
    return f" ({_WAITS.get(run.wait_reason, run.wait_reason)})" if run.wait_reason else ""


def steps_table(run: RunView) -> Table:
    shown = table("step", "status", "attempts", "took", "error")
    for step in run.steps:
        error = f"{step.error.code}: {step.error.message}" if step.error else ""
        took = seconds(step.started_at, step.finished_at)
        shown.add_row(*cells(step.key), status(step.status), *cells(step.attempts, took, error))
    return shown


def _tell(run: RunView, shown: set[tuple[str, str]], output: Output) -> None:
    """Where no table can be drawn anew: a line for each status that is new."""
    states = [(step.key, step.status.value, "") for step in run.steps]
    for name, value, more in [*states, ("run", run.status.value, _waiting(run))]:
        if value != "QUEUED" and (name, value + more) not in shown:
            shown.add((name, value + more))
            output.say(f"{name:>24}  {status(value)}{more}")
