"""`headrace keys`: replace the keys that secrets are sealed under, and see how far that is."""

from typing import Annotated, Any

import typer
from headrace.errors import Unavailable

from headrace_cli.client import Client, mutation
from headrace_cli.command import ExpectationFailed, Session, command
from headrace_cli.output import safe

_STATUS = "query { tenantKeys { values remaining dataKeys activeSince shreddedAt } }"
_WRAPPING = "query { wrappingKeys { provider wrappedBy dataKeys tenants current } }"
_ROTATE = mutation(
    "$resume: Boolean!", "rotateDataKey(resume: $resume)", "KeyRotation", "resealed remaining deleted"
)
_REWRAP = mutation(
    "$first: Int!", "rewrapDataKeys(first: $first)", "KeyRewrapping", "rewrapped unreadable remaining"
)


def add_to(app: typer.Typer) -> None:
    keys = typer.Typer(no_args_is_help=True, help="The keys that secrets are sealed under.")
    command(keys, "status")(status)
    command(keys, "rotate")(rotate)
    command(keys, "rewrap")(rewrap)
    app.add_typer(keys, name="keys")


async def status(
    session: Session,
    platform: Annotated[
        bool, typer.Option("--platform", help="The wrapping keys, over all tenants; with a platform key.")
    ] = False,
) -> None:
    """Show where the tenant's keys stand; with --platform, the keys that wrap every tenant's."""
    async with session.client() as client:
        answer = await client.execute(_WRAPPING if platform else _STATUS)
    if platform:
        session.output.result(answer["wrappingKeys"])
        for key in answer["wrappingKeys"]:
            mark = "current" if key["current"] else "unwraps only"
            name = safe(f"{key['provider']} {key['wrappedBy']}")
            session.output.say(f"{name} ({mark}): {key['dataKeys']} data keys of {key['tenants']} tenants")
        return
    keys = answer["tenantKeys"]
    session.output.result(keys)
    if keys["shreddedAt"]:
        session.output.say(f"the keys were shredded at {keys['shreddedAt']}")
        return
    session.output.say(
        f"{keys['values'] - keys['remaining']} of {keys['values']} values under the active data key,"
        f" of {keys['activeSince'] or 'never'}; {keys['dataKeys']} data keys in all"
    )


async def rotate(
    session: Session,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a rotation that was cut off; make no new key.")
    ] = False,
) -> None:
    """Seal the tenant's secrets under a fresh data key, and delete the key before. Safe while runs are under way."""
    async with session.client() as client:
        done = await _call(client, _ROTATE, {"resume": resume})
        total = dict(done)
        while done["remaining"] and done["resealed"]:
            session.output.say(f"[dim]{total['resealed']} sealed anew, {done['remaining']} to go[/]")
            done = await _call(client, _ROTATE, {"resume": True})
            total = {
                "resealed": total["resealed"] + done["resealed"],
                "remaining": done["remaining"],
                "deleted": total["deleted"] + done["deleted"],
            }
    session.output.result(total)
    session.output.say(f"{total['resealed']} values sealed anew, {total['deleted']} older keys deleted")
    if total["remaining"]:
        raise ExpectationFailed(
            f"{total['remaining']} values are still under an older key: they were being changed, or do not open;"
            " go on with: headrace keys rotate --resume"
        )


async def rewrap(
    session: Session,
    batch: Annotated[int, typer.Option(min=1, max=1000, help="Data keys in one call.")] = 200,
) -> None:
    """Wrap every tenant's data keys anew under the current wrapping key. Needs a platform key; safe to repeat."""
    rewrapped = 0
    async with session.client() as client:
        while True:
            done = await _call(client, _REWRAP, {"first": batch})
            rewrapped += done["rewrapped"]
            if not done["remaining"] or not done["rewrapped"]:
                break
            session.output.say(f"[dim]{rewrapped} wrapped anew, {done['remaining']} to go[/]")
    session.output.result({**done, "rewrapped": rewrapped})
    session.output.say(f"{rewrapped} data keys wrapped anew")
    if done["remaining"]:
        raise ExpectationFailed(
            f"{done['remaining']} data keys stand under other wrapping keys, {done['unreadable']} of them"
            " unreadable; keep the old wrapping keys until this is 0"
        )


async def _call(client: Client, document: str, variables: dict[str, Any]) -> dict[str, Any]:
    answer = (await client.execute(document, variables))["done"]
    if not isinstance(answer, dict):
        raise Unavailable("the deployment answered without a result")
    return answer
