"""`headrace logs`: search log records, or follow them as they come."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from headrace.errors import InvalidInput, Problem
from headrace.messages import LogLevel

from headrace_cli.client import Client
from headrace_cli.command import Session, command
from headrace_cli.output import Output, safe
from headrace_cli.page_options import After, First

_FIELDS = "id runId at level message step attempt context"
_SEARCH = f"""
query Search($filter: LogFilter, $first: Int!, $after: String) {{
  logs(filter: $filter, first: $first, after: $after) {{
    items {{ {_FIELDS} }} pageInfo {{ hasNextPage endCursor }}
  }}
}}"""
_TAIL = f"subscription Tail($filter: LogFilter) {{ logTail(filter: $filter) {{ {_FIELDS} }} }}"

_AGO = re.compile(r"(\d{1,6})(s|m|h|d)")
_UNIT = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_STYLE = {"DEBUG": "dim", "INFO": "default", "WARN": "yellow", "ERROR": "red"}


def add_to(app: typer.Typer) -> None:
    command(app, "logs")(logs)


async def logs(
    session: Session,
    words: Annotated[
        list[str] | None, typer.Argument(help="Words of the message; all must be there.")
    ] = None,
    level: Annotated[LogLevel | None, typer.Option(help="The least severe level.")] = None,
    run: Annotated[str | None, typer.Option(help="Of this run alone.")] = None,
    step: Annotated[str | None, typer.Option(help="Of the steps with this key.")] = None,
    since: Annotated[str | None, typer.Option(help="A time, or how long ago: 90s, 15m, 2h, 7d.")] = None,
    until: Annotated[str | None, typer.Option(help="A time, or how long ago.")] = None,
    first: First = 50,
    after: After = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show records as they come.")] = False,
) -> None:
    """Search logs, newest first; or follow them, with --json as a line of JSON each."""
    now = datetime.now(UTC)
    wanted = {
        "words": " ".join(words or ()),
        "level": level.value if level else None,
        "run": run,
        "step": step,
        "since": read_time("--since", since, now),
        "until": read_time("--until", until, now),
    }
    async with session.client() as client:
        if follow:
            async for data in client.subscribe(_TAIL, {"filter": wanted}):
                session.output.line(data["logTail"])
                _show(session.output, data["logTail"])
            return
        found = await search(client, wanted, first, after)
    session.output.result(found)
    for record in found["items"]:
        _show(session.output, record)
    if not found["items"]:
        session.output.say("no record is like that")
    session.output.more(found["pageInfo"])


async def search(
    client: Client, wanted: dict[str, Any], first: int = 50, after: str | None = None
) -> dict[str, Any]:
    """A page of log records, newest first: `items` and `pageInfo`, as the API answers."""
    answer = await client.execute(_SEARCH, {"filter": wanted, "first": first, "after": after})
    found: dict[str, Any] = answer["logs"]
    return found


def record_line(record: Any) -> str:
    """A record as a line of Rich's markup."""
    at = datetime.fromisoformat(record["at"]).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
    place = safe(f"{record['step'] or '-'}" + (f"#{record['attempt']}" if record["attempt"] else ""))
    style = _STYLE[record["level"]]
    context = " ".join(f"{key}={value}" for key, value in record["context"].items())
    return (
        f"[dim]{at}[/] [{style}]{record['level']:<5}[/] [dim]{record['runId']}[/] {place:<16} "
        f"{safe(record['message'])} [dim]{safe(context)}[/]"
    )


def _show(output: Output, record: Any) -> None:
    if not output.machine:
        output.say(record_line(record))


def read_time(option: str, text: str | None, now: datetime) -> str | None:
    """A time as the API takes it, from one that people write. Raises `InvalidInput`."""
    if text is None:
        return None
    try:
        if ago := _AGO.fullmatch(text):
            return (now - timedelta(**{_UNIT[ago[2]]: int(ago[1])})).isoformat()
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        mend = "write 2026-05-04T10:30:00Z, or how long ago as 15m"
        raise InvalidInput([Problem(option, "not a time", mend)]) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()
