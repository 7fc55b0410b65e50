"""`headrace audit list | head | export | verify`."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from headrace.audit_chain import ChainCheck, Verdict
from headrace.errors import InvalidInput, Problem
from headrace.json_types import Json

from headrace_cli.client import Client
from headrace_cli.command import ExpectationFailed, Session, command
from headrace_cli.logs import read_time
from headrace_cli.output import cells, table
from headrace_cli.page_options import After, First

_LIST = """
query List($filter: AuditFilter, $first: Int!, $after: String) {
  auditRecords(filter: $filter, first: $first, after: $after) {
    items {
      seq at actor { kind name } action target outcome detail beforeDigest afterDigest correlationId origin hash
    }
    pageInfo { hasNextPage endCursor }
  }
}"""
_CHAIN = """
query Chain($first: Int!, $after: String) {
  auditChain(first: $first, after: $after) { items { entry } pageInfo { hasNextPage endCursor } }
}"""
_HEAD = "{ auditHead { seq hash at } }"
_PAGE = 200


class AuditOutcome(StrEnum):
    """The control plane's, declared again: its module loads what no command needs, and the start would take longer."""

    DONE = "DONE"
    REFUSED = "REFUSED"


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="Who did what in the tenant, and the proof of it.", no_args_is_help=True)
    app.add_typer(group, name="audit")
    command(group, "list")(list_records)
    command(group, "head")(head)
    command(group, "export")(export)
    command(group, "verify")(verify)


async def list_records(
    session: Session,
    action: Annotated[str | None, typer.Option(help="Such as app.create.")] = None,
    actor: Annotated[str | None, typer.Option(help="The name of a key or member.")] = None,
    target: Annotated[str | None, typer.Option(help="Such as app/shop.")] = None,
    outcome: Annotated[AuditOutcome | None, typer.Option(help="What was done, or what was refused.")] = None,
    since: Annotated[str | None, typer.Option(help="A time, or how long ago: 90s, 15m, 2h, 7d.")] = None,
    until: Annotated[str | None, typer.Option(help="A time, or how long ago.")] = None,
    first: First = 50,
    after: After = None,
) -> None:
    """Search the audit, newest first."""
    now = datetime.now(UTC)
    wanted = {
        "action": action,
        "actor": actor,
        "target": target,
        "outcome": outcome.value if outcome else None,
        "since": read_time("--since", since, now),
        "until": read_time("--until", until, now),
    }
    async with session.client() as client:
        answer = await client.execute(_LIST, {"filter": wanted, "first": first, "after": after})
    found = answer["auditRecords"]
    session.output.result(found)
    shown = table("seq", "at", "who", "action", "target", "outcome", "from", ids="target")
    for one in found["items"]:
        who = f"{one['actor']['name']} ({one['actor']['kind']})"
        shown.add_row(
            *cells(one["seq"], one["at"], who, one["action"], one["target"], one["outcome"], one["origin"])
        )
    session.output.show(shown)
    session.output.more(found["pageInfo"])


async def head(session: Session) -> None:
    """Show the end of the chain as SEQ:HASH: kept elsewhere, it is an anchor for verify."""
    async with session.client() as client:
        found = (await client.execute(_HEAD))["auditHead"]
    anchor = f"{found['seq']}:{found['hash']}" if found else None
    session.output.result({**found, "anchor": anchor} if found else None)
    if not session.output.machine:
        session.output.people.print(anchor or "nothing was recorded yet", highlight=False, soft_wrap=True)


async def export(
    session: Session,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; standard output if none is given.")
    ] = None,
) -> None:
    """Write the whole chain, a line of JSON for each record: all that is needed to verify it elsewhere."""
    count = 0
    with ExitStack() as opened:
        stream = opened.enter_context(output.open("wb")) if output else sys.stdout.buffer
        async with session.client() as client:
            async for entry in _entries(client):
                stream.write(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))
                count += 1
        stream.flush()
    session.output.errors.print(f"{count} records")


async def verify(
    session: Session,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="An export; the deployment's own chain if none is given."),
    ] = None,
    anchors: Annotated[
        list[str] | None,
        typer.Option("--anchor", help="SEQ:HASH of a head that was kept elsewhere; may be given again."),
    ] = None,
) -> None:
    """Prove the chain; exit 1 when a record does not fit, and say which one and how."""
    check = ChainCheck(dict(_anchor(text) for text in anchors or ()))
    if file is None:
        async with session.client() as client:
            async for entry in _entries(client):
                check.add(entry)
    else:
        _read(file, check.add)
    verdict = check.verdict()
    told = _told(verdict)
    if verdict.finding is not None:
        session.output.beside_error["verdict"] = told
        raise ExpectationFailed(f"{verdict.finding.misfit}: {verdict.finding.message}")
    session.output.result(told)
    session.output.say(
        f"{verdict.records} records, one chain; its head is {verdict.seq}:{verdict.head.hex()}"
    )
    if anchors and verdict.unanchored:
        session.output.say(f"{verdict.unanchored} of them come after the last anchor")


async def _entries(client: Client) -> AsyncIterator[Json]:
    after: str | None = None
    while True:
        page = (await client.execute(_CHAIN, {"first": _PAGE, "after": after}))["auditChain"]
        for item in page["items"]:
            yield item["entry"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return


def _read(file: Path, add: Callable[[Json], None]) -> None:
    if not file.is_file():
        raise InvalidInput([Problem("--file", "there is no such file", "name one that `audit export` wrote")])
    with file.open("rb") as lines:
        for line in lines:
            if line.strip():
                try:
                    add(orjson.loads(line))
                except orjson.JSONDecodeError:
                    add(None)


def _anchor(text: str) -> tuple[int, bytes]:
    seq, _, digest = text.partition(":")
    try:
        read = bytes.fromhex(digest)
    except ValueError:
        read = b""
    if not (seq.isascii() and seq.isdigit() and 0 < len(seq) < 19 and len(read) == 32):
        mend = "write SEQ:HASH, as `headrace audit head` shows it"
        raise InvalidInput([Problem("--anchor", "this is no anchor", mend)])
    return int(seq), read


def _told(verdict: Verdict) -> dict[str, Any]:
    finding = verdict.finding
    return {
        "records": verdict.records,
        "seq": verdict.seq,
        "head": verdict.head.hex(),
        "unanchored": verdict.unanchored,
        "finding": finding
        and {"seq": finding.seq, "misfit": finding.misfit.value, "message": finding.message},
    }
