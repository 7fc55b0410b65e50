"""`headrace dead-letters`: what runs gave up on, in lists and groups; replayed or discarded."""

from typing import Annotated, Any

import typer
from headrace.errors import InvalidInput, Problem
from headrace_control.dead_letters.model import DeadLetterStatus

from headrace_cli import nobodys_letters
from headrace_cli.client import FAILURES
from headrace_cli.command import Session, command
from headrace_cli.json_option import read_json
from headrace_cli.output import cells, safe, table
from headrace_cli.page_options import After, First

_LIST = """
query Letters($filter: DeadLetterFilter, $first: Int!, $after: String) {
  deadLetters(filter: $filter, first: $first, after: $after) {
    items { id status step workflow group { source action code } error { code message } createdAt closedReason
      run { id } replayedBy { id } }
    pageInfo { hasNextPage endCursor }
  }
}"""
_GROUPS = """
query Groups($status: DeadLetterStatus!, $workflow: String) {
  deadLetterGroups(status: $status, workflow: $workflow) {
    group { source action code } count firstAt lastAt example
  }
}"""
_REPLAY = (
    """
mutation Replay($id: ID!, $how: ReplayInput) {
  replayDeadLetter(id: $id, how: $how) { ... on Run { id status } ...Failures }
}"""
    + FAILURES
)
_REPLAY_GROUP = (
    """
mutation ReplayAll($group: DeadLetterGroupInput!, $workflow: String, $how: ReplayInput, $rate: Int!) {
  replayDeadLetters(group: $group, workflow: $workflow, how: $how, perSecond: $rate) {
    ... on Replay { id status total } ...Failures
  }
}"""
    + FAILURES
)
_REPLAYS = """
query Replays($first: Int!) {
  replays(first: $first) { items {
    id status group { source action code } total replayed refused refusal createdAt finishedAt
  } }
}"""
_STOP = (
    "mutation Stop($id: ID!) { stopReplay(id: $id) { ... on Replay { id status } ...Failures } }" + FAILURES
)
_RESUME = (
    "mutation Resume($id: ID!) { resumeReplay(id: $id) { ... on Replay { id status } ...Failures } }"
    + FAILURES
)
_DISCARD = (
    """
mutation Discard($ids: [ID!], $group: DeadLetterGroupInput, $workflow: String, $reason: String!) {
  discardDeadLetters(ids: $ids, group: $group, workflow: $workflow, reason: $reason) {
    ... on DiscardedDeadLetters { count } ...Failures
  }
}"""
    + FAILURES
)

Workflow = Annotated[str | None, typer.Option(help="Of this workflow alone.")]
GroupName = Annotated[
    str | None,
    typer.Option("--group", metavar="SOURCE:ACTION:CODE", help="All of a group, as `groups` shows it."),
]
Patch = Annotated[
    str | None, typer.Option(help="Changes of each run's input: a JSON Merge Patch, or @FILE with one.")
]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="What runs gave up on: look, replay, discard.", no_args_is_help=True)
    command(group, "list")(letters)
    command(group, "groups")(groups)
    command(group, "replay")(replay)
    command(group, "replays")(replays)
    command(group, "stop")(stop)
    command(group, "resume")(resume)
    command(group, "discard")(discard)
    nobodys_letters.add_to(group)
    app.add_typer(group, name="dead-letters")


async def letters(
    session: Session,
    status: Annotated[DeadLetterStatus, typer.Option(help="In this status.")] = DeadLetterStatus.OPEN,
    workflow: Workflow = None,
    group: GroupName = None,
    first: First = 50,
    after: After = None,
) -> None:
    """List dead letters, newest first."""
    wanted = {"status": status.value, "workflow": workflow, "group": _read_group(group)}
    async with session.client() as client:
        found = (await client.execute(_LIST, {"filter": wanted, "first": first, "after": after}))[
            "deadLetters"
        ]
    session.output.result(found)
    shown = table("dead letter", "workflow", "run", "step", "group", "message", ids="dead letter")
    for letter in found["items"]:
        run = letter["run"]["id"] if letter["run"] else ""
        message = letter["closedReason"] or letter["error"]["message"]
        shown.add_row(
            *cells(letter["id"], letter["workflow"], run, letter["step"], _name(letter["group"]), message)
        )
    session.output.show(shown)
    session.output.more(found["pageInfo"])


async def groups(
    session: Session,
    status: Annotated[
        DeadLetterStatus, typer.Option(help="Of those in this status.")
    ] = DeadLetterStatus.OPEN,
    workflow: Workflow = None,
) -> None:
    """Show the causes, the most frequent first."""
    async with session.client() as client:
        found = await client.execute(_GROUPS, {"status": status.value, "workflow": workflow})
    session.output.result(found["deadLetterGroups"])
    shown = table("group", "dead letters", "first", "last")
    for one in found["deadLetterGroups"]:
        shown.add_row(*cells(_name(one["group"]), one["count"], one["firstAt"], one["lastAt"]))
    session.output.show(shown)


async def replay(
    session: Session,
    letter: Annotated[str | None, typer.Argument(metavar="[ID]", help="One dead letter.")] = None,
    group: GroupName = None,
    workflow: Workflow = None,
    patch: Patch = None,
    version: Annotated[int | None, typer.Option(help="Another version than each run's own.")] = None,
    repeat_in_doubt: Annotated[
        bool, typer.Option("--repeat-in-doubt", help="Make calls again that may have been made.")
    ] = False,
    rate: Annotated[int, typer.Option(min=1, max=100, help="Of a group: how many in a second.")] = 10,
) -> None:
    """Go on from one dead letter, or from all of a group."""
    how = {
        "patch": None if patch is None else read_json(patch, "--patch"),
        "version": version,
        "repeatInDoubt": repeat_in_doubt,
    }
    _one_of(letter, group)
    async with session.client() as client:
        if letter is not None:
            made = (await client.execute(_REPLAY, {"id": letter, "how": how}))["replayDeadLetter"]
            said = f"run {safe(made['id'])} goes on"
        else:
            variables = {"group": _read_group(group), "workflow": workflow, "how": how, "rate": rate}
            made = (await client.execute(_REPLAY_GROUP, variables))["replayDeadLetters"]
            said = f"replay {safe(made['id'])} of {made['total']} dead letters; see headrace dead-letters replays"
    session.output.result(made)
    session.output.say(said)


async def replays(session: Session, first: First = 20) -> None:
    """Show how far replays of groups are, newest first."""
    async with session.client() as client:
        found = (await client.execute(_REPLAYS, {"first": first}))["replays"]["items"]
    session.output.result(found)
    shown = table("replay", "status", "group", "replayed", "refused", "of", "last refusal", ids="replay")
    for one in found:
        refusal = one["refusal"]["message"] if one["refusal"] else ""
        counts = (one["replayed"], one["refused"], one["total"])
        shown.add_row(*cells(one["id"], one["status"], _name(one["group"]), *counts, refusal))
    session.output.show(shown)


async def stop(session: Session, replay: Annotated[str, typer.Argument(help="The replay's id.")]) -> None:
    """Start no more runs of a replay."""
    await _set(session, _STOP, replay, "stopReplay")


async def resume(session: Session, replay: Annotated[str, typer.Argument(help="The replay's id.")]) -> None:
    """Go on with a replay where it was stopped."""
    await _set(session, _RESUME, replay, "resumeReplay")


async def discard(
    session: Session,
    reason: Annotated[str, typer.Option(help="Why; it is kept with each.")],
    letters: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Dead letters.")] = None,
    group: GroupName = None,
    workflow: Workflow = None,
) -> None:
    """Close dead letters for good, by their ids or all of a group."""
    _one_of(letters or None, group)
    variables = {"ids": letters or None, "group": _read_group(group), "workflow": workflow, "reason": reason}
    async with session.client() as client:
        made = (await client.execute(_DISCARD, variables))["discardDeadLetters"]
    session.output.result(made)
    session.output.say(f"{made['count']} dead letters are discarded")


async def _set(session: Session, mutation: str, replay: str, field: str) -> None:
    async with session.client() as client:
        made = (await client.execute(mutation, {"id": replay}))[field]
    session.output.result(made)
    session.output.say(f"replay {safe(replay)} is {made['status']}")


def _one_of(one: object, group: str | None) -> None:
    if (one is None) == (group is None):
        raise InvalidInput(
            [Problem("--group", "ids or a group are needed, and not both", "give one of the two")]
        )


def _read_group(text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    source, first, rest = text.partition(":")
    action, second, code = rest.rpartition(":")
    if not (first and second):
        mend = "write SOURCE:ACTION:CODE, as `headrace dead-letters groups` shows it"
        raise InvalidInput([Problem("--group", "this names no group", mend)])
    return {"source": source, "action": action, "code": code}


def _name(group: dict[str, Any]) -> str:
    return f"{group['source']}:{group['action']}:{group['code']}"
