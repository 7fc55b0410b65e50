"""`headrace hooks`: which addresses are told what happens, and what came of the messages."""

from typing import Annotated, Any

import typer
from headrace.errors import InvalidInput, NotFound, Problem
from headrace_control.hooks.model import HookEvent

from headrace_cli.client import mutation
from headrace_cli.command import Session, command
from headrace_cli.output import cells, safe, table
from headrace_cli.page_options import After, First

_HOOK = "name url events paused previousSecretUntil"
_LIST = (
    "query($first: Int!, $after: String) { hooks(first: $first, after: $after) { items { "
    + _HOOK
    + " } pageInfo { hasNextPage endCursor } } }"
)
_MESSAGES = """query($name: String!, $first: Int!) {
  hook(name: $name) { name }
  hookMessages(hook: $name, first: $first) {
    items { id event data status attempts nextAt error { code message } createdAt endedAt } } }"""
_ISSUED = "secret hook { " + _HOOK + " }"
_CREATE = mutation(
    "$name: String!, $url: String!, $events: [HookEvent!]!",
    "createHook(name: $name, url: $url, events: $events)",
    "IssuedHook",
    _ISSUED,
)
_UPDATE = mutation(
    "$name: String!, $url: String, $events: [HookEvent!]",
    "updateHook(name: $name, url: $url, events: $events)",
    "Hook",
    _HOOK,
)
_ROTATE = mutation(
    "$name: String!, $overlap: Int!",
    "rotateHookSecret(name: $name, overlapSeconds: $overlap)",
    "IssuedHook",
    _ISSUED,
)
_PAUSE = mutation("$name: String!", "pauseHook(name: $name)", "Hook", _HOOK)
_RESUME = mutation("$name: String!", "resumeHook(name: $name)", "Hook", _HOOK)
_DELETE = mutation("$name: String!", "deleteHook(name: $name)", "Deleted", "name")
_RESEND = mutation("$name: String!", "resendHookMessages(name: $name)", "ResentHookMessages", "messages")

Name = Annotated[str, typer.Argument(metavar="HOOK", help="Its name.")]
Events = Annotated[
    list[str] | None,
    typer.Option("--event", help=f"What it is told of; more than once. One of {', '.join(HookEvent)}."),
]


def add_to(app: typer.Typer) -> None:
    hooks = typer.Typer(no_args_is_help=True, help="Addresses that are told what happens.")
    command(hooks, "list")(listed)
    command(hooks, "create")(create)
    command(hooks, "update")(update)
    command(hooks, "messages")(messages)
    command(hooks, "resend")(resend)
    command(hooks, "rotate")(rotate)
    command(hooks, "pause")(pause)
    command(hooks, "resume")(resume)
    command(hooks, "delete")(delete)
    app.add_typer(hooks, name="hooks")


async def listed(
    session: Session,
    first: First = 50,
    after: After = None,
) -> None:
    """List the tenant's hooks."""
    async with session.client() as client:
        found = (await client.execute(_LIST, {"first": first, "after": after}))["hooks"]
    session.output.result(found)
    shown = table("hook", "address", "told of", "")
    for one in found["items"]:
        shown.add_row(
            *cells(one["name"], one["url"], ", ".join(one["events"]), "paused" if one["paused"] else "")
        )
    session.output.show(shown)
    session.output.more(found["pageInfo"])


async def create(
    session: Session,
    name: Name,
    address: Annotated[str, typer.Argument(metavar="URL", help="Where messages are posted to.")],
    event: Events = None,
) -> None:
    """Have an address told what happens from now on, and show the secret of its messages, this once."""
    async with session.client() as client:
        variables = {"name": name, "url": address, "events": _events(event or [])}
        done = (await client.execute(_CREATE, variables))["done"]
    _show_secret(session, done)


async def update(
    session: Session,
    name: Name,
    address: Annotated[str | None, typer.Option("--address", help="Another address.")] = None,
    event: Events = None,
) -> None:
    """Change a hook's address, or what it is told of."""
    async with session.client() as client:
        variables = {"name": name, "url": address, "events": _events(event) if event else None}
        done = (await client.execute(_UPDATE, variables))["done"]
    _show(session, done)


async def messages(
    session: Session,
    name: Name,
    first: First = 20,
) -> None:
    """Tell what came of a hook's newest messages."""
    async with session.client() as client:
        found = await client.execute(_MESSAGES, {"name": name, "first": first})
    if found["hook"] is None:
        raise NotFound("hook")
    session.output.result(found["hookMessages"])
    shown = table("at", "message", "of", "came of it", "why", ids="message")
    for one in found["hookMessages"]["items"]:
        came = f"{one['status']}, {one['attempts']} attempts"
        why = (one["error"] or {}).get("message", "")
        shown.add_row(*cells(one["createdAt"], one["id"], one["event"], came, why))
    session.output.show(shown)


async def resend(session: Session, name: Name) -> None:
    """Send what was given up once more, under the same ids."""
    async with session.client() as client:
        done = (await client.execute(_RESEND, {"name": name}))["done"]
    session.output.result({"messages": done["messages"]})
    session.output.say(f"{done['messages']} messages are sent again")


async def rotate(
    session: Session,
    name: Name,
    overlap_hours: Annotated[
        float, typer.Option(min=0, max=168, help="How long the secret before signs, too.")
    ] = 24,
) -> None:
    """Make a new secret and show it, this once."""
    async with session.client() as client:
        variables = {"name": name, "overlap": round(overlap_hours * 3600)}
        done = (await client.execute(_ROTATE, variables))["done"]
    _show_secret(session, done)


async def pause(session: Session, name: Name) -> None:
    """Tell it of nothing that happens until it is resumed."""
    async with session.client() as client:
        _show(session, (await client.execute(_PAUSE, {"name": name}))["done"])


async def resume(session: Session, name: Name) -> None:
    """Send what waits, and tell it of what happens from now on."""
    async with session.client() as client:
        _show(session, (await client.execute(_RESUME, {"name": name}))["done"])


async def delete(session: Session, name: Name) -> None:
    """Take a hook away, with its messages."""
    async with session.client() as client:
        await client.execute(_DELETE, {"name": name})
    session.output.result({"name": name})
    session.output.say(f"the hook {safe(name)} is gone")


def _events(given: list[str]) -> list[str]:
    """Raises `InvalidInput` for words that the API does not know."""
    if unknown := sorted({*given} - {*HookEvent}):
        raise InvalidInput(
            [Problem("--event", f"{unknown[0][:63]} is none", f"one of {', '.join(HookEvent)}")]
        )
    return given


def _show(session: Session, hook: dict[str, Any]) -> None:
    session.output.result(hook)
    told = "paused" if hook["paused"] else f"told of {', '.join(hook['events'])}"
    session.output.say(f"{safe(hook['name'])}: {told}")


def _show_secret(session: Session, issued: dict[str, Any]) -> None:
    session.output.result({"secret": issued["secret"], "hook": issued["hook"]})
    session.output.say(safe(issued["secret"]))
