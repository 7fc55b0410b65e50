"""`headrace schedules`: what starts workflows by the clock, and the firings of a range, later."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from headrace.errors import InvalidInput, NotFound, Problem

from headrace_cli.client import Client, mutation
from headrace_cli.command import ExpectationFailed, Session, command
from headrace_cli.output import cells, safe, table
from headrace_cli.page_options import After, First

_SCHEDULE = """name workflow version cron timeZone input missed missedLimit overlap paused nextFirings queuedFiring
  error { code message }"""
_BACKFILL = "id schedule from until status total started atOnce error { code message }"
_LIST = (
    "query($first: Int!, $after: String) { schedules(first: $first, after: $after) { items { "
    + _SCHEDULE
    + " } pageInfo { hasNextPage endCursor } } }"
)
_FIRINGS = """query($name: String!, $first: Int!) {
  schedule(name: $name) { name }
  scheduleFirings(schedule: $name, first: $first) {
    items { at lastAt outcome run { id status } error { code message } backfillId } } }"""
_ZONE = "query($name: String!) { schedule(name: $name) { timeZone } }"
_PROGRESS = "query($id: ID!) { backfill(id: $id) { " + _BACKFILL + " } }"
_PAUSE = mutation("$name: String!", "pauseSchedule(name: $name)", "Schedule", _SCHEDULE)
_RESUME = mutation("$name: String!", "resumeSchedule(name: $name)", "Schedule", _SCHEDULE)
_DELETE = mutation("$name: String!", "deleteSchedule(name: $name)", "Deleted", "name")
_START = mutation(
    "$name: String!, $from: DateTime!, $until: DateTime!, $atOnce: Int!",
    "startBackfill(schedule: $name, from: $from, until: $until, atOnce: $atOnce)",
    "Backfill",
    _BACKFILL,
)
_STOP = mutation("$id: ID!", "stopBackfill(id: $id)", "Backfill", _BACKFILL)
_GO_ON = mutation("$id: ID!, $atOnce: Int", "resumeBackfill(id: $id, atOnce: $atOnce)", "Backfill", _BACKFILL)

_LOOK_SECONDS = 1.0

Name = Annotated[str, typer.Argument(metavar="SCHEDULE", help="Its name.")]
BackfillId = Annotated[str, typer.Argument(metavar="ID", help="The backfill's id.")]
Watch = Annotated[bool, typer.Option("--watch", help="Stay until it is done, and say how far it is.")]


def add_to(app: typer.Typer) -> None:
    schedules = typer.Typer(no_args_is_help=True, help="What starts workflows by the clock.")
    command(schedules, "list")(listed)
    command(schedules, "firings")(firings)
    command(schedules, "pause")(pause)
    command(schedules, "resume")(resume)
    command(schedules, "delete")(delete)
    backfill = typer.Typer(no_args_is_help=True, help="Start the firings of a range.")
    command(backfill, "start")(start)
    command(backfill, "show")(show)
    command(backfill, "stop")(stop)
    command(backfill, "resume")(go_on)
    schedules.add_typer(backfill, name="backfill")
    app.add_typer(schedules, name="schedules")


async def listed(
    session: Session,
    first: First = 50,
    after: After = None,
) -> None:
    """List the tenant's schedules, each with its next firing."""
    async with session.client() as client:
        found = (await client.execute(_LIST, {"first": first, "after": after}))["schedules"]
    session.output.result(found)
    shown = table("schedule", "workflow", "cron", "time zone", "next firing")
    for one in found["items"]:
        shown.add_row(*cells(one["name"], _workflow(one), one["cron"], one["timeZone"], _next(one)))
    session.output.show(shown)
    session.output.more(found["pageInfo"])


async def firings(
    session: Session,
    name: Name,
    first: First = 20,
) -> None:
    """Tell what came of a schedule's newest firings."""
    async with session.client() as client:
        found = await client.execute(_FIRINGS, {"name": name, "first": first})
    if found["schedule"] is None:
        raise NotFound("schedule")
    session.output.result(found["scheduleFirings"])
    shown = table("firing", "came of it", "run", "why", ids="run")
    for one in found["scheduleFirings"]["items"]:
        span = one["at"] if one["lastAt"] is None else f"{one['at']} to {one['lastAt']}"
        run = f"{one['run']['id']} {one['run']['status']}" if one["run"] else ""
        shown.add_row(*cells(span, one["outcome"], run, (one["error"] or {}).get("message", "")))
    session.output.show(shown)


async def pause(session: Session, name: Name) -> None:
    """Fire no more until it is resumed. Its runs go on."""
    await _change(session, _PAUSE, name)


async def resume(session: Session, name: Name) -> None:
    """Fire from now on; what it would have fired meanwhile is left out."""
    await _change(session, _RESUME, name)


async def delete(session: Session, name: Name) -> None:
    """Take a schedule away. Its runs stay."""
    async with session.client() as client:
        await client.execute(_DELETE, {"name": name})
    session.output.result({"name": name})
    session.output.say(f"the schedule {safe(name)} is gone")


async def start(
    session: Session,
    name: Name,
    begin: Annotated[
        str, typer.Option("--from", help="The first day or moment, as 2029-01-01 or 2029-01-01T06:00:00Z.")
    ],
    until: Annotated[str, typer.Option("--until", help="The day or moment before which it ends.")],
    at_once: Annotated[int, typer.Option(min=1, max=1000, help="Unfinished runs of it at most.")] = 10,
    watch: Watch = False,
) -> None:
    """Start a run for each firing of a range. Days, and times without an offset, are those of the schedule's zone."""
    async with session.client() as client:
        found = (await client.execute(_ZONE, {"name": name}))["schedule"]
        if found is None:
            raise NotFound("schedule")
        zone = ZoneInfo(found["timeZone"])
        variables = {
            "name": name,
            "from": _moment(begin, "--from", zone),
            "until": _moment(until, "--until", zone),
            "atOnce": at_once,
        }
        await _followed(session, client, (await client.execute(_START, variables))["done"], watch)


async def show(session: Session, id: BackfillId, watch: Watch = False) -> None:  # noqa: A002
    """Tell how far a backfill is."""
    async with session.client() as client:
        await _followed(session, client, await _progress(client, id), watch)


async def stop(session: Session, id: BackfillId) -> None:  # noqa: A002
    """Start nothing more of it. What it has started goes on."""
    async with session.client() as client:
        await _followed(session, client, (await client.execute(_STOP, {"id": id}))["done"], watch=False)


async def go_on(
    session: Session,
    id: BackfillId,  # noqa: A002
    at_once: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Unfinished runs of it at most.")
    ] = None,
    watch: Watch = False,
) -> None:
    """Go on with the first firing that it has not started."""
    async with session.client() as client:
        resumed = await client.execute(_GO_ON, {"id": id, "atOnce": at_once})
        await _followed(session, client, resumed["done"], watch)


async def _change(session: Session, document: str, name: str) -> None:
    async with session.client() as client:
        done = (await client.execute(document, {"name": name}))["done"]
    session.output.result(done)
    session.output.say(f"{safe(name)}: {_next(done)}")


async def _followed(session: Session, client: Client, backfill: dict[str, Any], watch: bool) -> None:
    """Say how far it is, until it is done if wanted. Raises `ExpectationFailed` when it is watched and stopped."""
    while watch and backfill["status"] == "RUNNING":
        session.output.say(f"[dim]{_far(backfill)}[/]")
        await asyncio.sleep(_LOOK_SECONDS)
        backfill = await _progress(client, backfill["id"])
    session.output.result(backfill)
    session.output.say(f"{backfill['id']}: {_far(backfill)}")
    if watch and backfill["status"] == "STOPPED":
        why = f": {backfill['error']['message']}" if backfill["error"] else ""
        raise ExpectationFailed(f"the backfill is stopped{why}")


async def _progress(client: Client, backfill_id: str) -> dict[str, Any]:
    found = (await client.execute(_PROGRESS, {"id": backfill_id}))["backfill"]
    if not isinstance(found, dict):
        raise NotFound("backfill")
    return found


def _far(backfill: dict[str, Any]) -> str:
    return f"{backfill['status']}, {backfill['started']} of {backfill['total']} firings started"


def _moment(text: str, option: str, zone: ZoneInfo) -> str:
    """A moment as the API takes it."""
    try:
        moment = datetime.fromisoformat(text)
        known = moment if moment.tzinfo else moment.replace(tzinfo=zone)
        return known.astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        mend = "Write a day, as 2029-01-01, or a moment, as 2029-01-01T06:00:00Z."
        raise InvalidInput([Problem(option, "no day and no moment", mend)]) from None


def _workflow(schedule: dict[str, Any]) -> str:
    version = "" if schedule["version"] is None else f" {schedule['version']}"
    return f"{schedule['workflow']}{version}"


def _next(schedule: dict[str, Any]) -> str:
    if schedule["paused"]:
        return "paused" + (f": {schedule['error']['message']}" if schedule["error"] else "")
    return str(next(iter(schedule["nextFirings"]), "never again"))
