"""`headrace webhooks`: what starts workflows by messages of other systems, and a message to try one with."""

import os
import time
from typing import Annotated, Any

import httpx
import orjson
import typer
from headrace.errors import InvalidInput, NotFound, Problem
from headrace.ids import new_id
from headrace.signed_messages import ID, SIGNATURE, TIMESTAMP, is_id, is_secret, sign

from headrace_cli.client import answered_error, is_local, mutation, no_headrace, sent_on_to, unreachable
from headrace_cli.command import Session, command
from headrace_cli.json_option import read_json
from headrace_cli.output import cells, safe, table
from headrace_cli.page_options import After, First

_WEBHOOK = """name url workflow version input schema toleranceSeconds answer resultSeconds paused
  previousSecretUntil"""
_LIST = (
    "query($first: Int!, $after: String) { webhooks(first: $first, after: $after) { items { "
    + _WEBHOOK
    + " } pageInfo { hasNextPage endCursor } } }"
)
_ONE = "query($name: String!) { webhook(name: $name) { url } }"
_DELIVERIES = """query($name: String!, $first: Int!) {
  webhook(name: $name) { name }
  webhookDeliveries(webhook: $name, first: $first) {
    items { at messageId run { id status } error { code message } times } } }"""
_PAUSE = mutation("$name: String!", "pauseWebhook(name: $name)", "Webhook", _WEBHOOK)
_RESUME = mutation("$name: String!", "resumeWebhook(name: $name)", "Webhook", _WEBHOOK)
_DELETE = mutation("$name: String!", "deleteWebhook(name: $name)", "Deleted", "name")
_ROTATE = mutation(
    "$name: String!, $overlap: Int!",
    "rotateWebhookSecret(name: $name, overlapSeconds: $overlap)",
    "IssuedWebhook",
    "secret webhook { " + _WEBHOOK + " }",
)

_VARIABLE = "HEADRACE_WEBHOOK_SECRET"
# An answer RESULT takes 30 s at most.
_SECONDS = 40.0

Name = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Its name.")]


def add_to(app: typer.Typer) -> None:
    webhooks = typer.Typer(no_args_is_help=True, help="What starts workflows by messages of other systems.")
    command(webhooks, "list")(listed)
    command(webhooks, "deliveries")(deliveries)
    command(webhooks, "send")(send)
    command(webhooks, "rotate")(rotate)
    command(webhooks, "pause")(pause)
    command(webhooks, "resume")(resume)
    command(webhooks, "delete")(delete)
    app.add_typer(webhooks, name="webhooks")


async def listed(
    session: Session,
    first: First = 50,
    after: After = None,
) -> None:
    """List the tenant's webhooks, each with its address."""
    async with session.client() as client:
        found = (await client.execute(_LIST, {"first": first, "after": after}))["webhooks"]
    session.output.result(found)
    shown = table("webhook", "workflow", "answer", "address")
    for one in found["items"]:
        workflow = one["workflow"] if one["version"] is None else f"{one['workflow']} {one['version']}"
        shown.add_row(*cells(one["name"], workflow, one["answer"], "paused" if one["paused"] else one["url"]))
    session.output.show(shown)
    session.output.more(found["pageInfo"])


async def deliveries(
    session: Session,
    name: Name,
    first: First = 20,
) -> None:
    """Tell what came of a webhook's newest messages. Refused ones are shown ten seconds later."""
    async with session.client() as client:
        found = await client.execute(_DELIVERIES, {"name": name, "first": first})
    if found["webhook"] is None:
        raise NotFound("webhook")
    session.output.result(found["webhookDeliveries"])
    shown = table("at", "message", "run", "refused", ids="run")
    for one in found["webhookDeliveries"]["items"]:
        run = f"{one['run']['id']} {one['run']['status']}" if one["run"] else ""
        refused = f"{one['times']} x {one['error']['message']}" if one["error"] else ""
        shown.add_row(*cells(one["at"], one["messageId"] or "", run, refused))
    session.output.show(shown)


async def send(
    session: Session,
    name: Name,
    body: Annotated[str, typer.Argument(metavar="JSON", help="The body, or @FILE.")] = "{}",
    message_id: Annotated[
        str | None, typer.Option("--id", help="The message's id; a fresh one if not given.")
    ] = None,
) -> None:
    """Sign a message with the secret in HEADRACE_WEBHOOK_SECRET, send it, and show the answer."""
    secret = os.environ.get(_VARIABLE, "")
    if not is_secret(secret):
        mend = (
            f"export {_VARIABLE}=whsec_..., as it was shown when the webhook was made or its secret rotated"
        )
        raise InvalidInput([Problem(_VARIABLE, "no secret of a webhook", mend)])
    which = message_id or str(new_id())
    if not is_id(which):
        raise InvalidInput([Problem("--id", "no id of a message", "Use letters, digits, - and _.")])
    content = orjson.dumps(read_json(body, "JSON"))
    async with session.client() as client:
        found = (await client.execute(_ONE, {"name": name}))["webhook"]
    if found is None:
        raise NotFound("webhook")
    seconds = int(time.time())
    headers = {
        ID: which,
        TIMESTAMP: str(seconds),
        SIGNATURE: sign(secret, which, seconds, content),
        "content-type": "application/json",
    }
    told = await _post(found["url"], content, headers)
    session.output.result(told)
    session.output.say(f"{which}: run {told['runId']} {told.get('status', '')}")


async def rotate(
    session: Session,
    name: Name,
    overlap_hours: Annotated[
        float, typer.Option(min=0, max=168, help="How long the secret before counts, too.")
    ] = 24,
) -> None:
    """Make a new secret and show it, this once."""
    async with session.client() as client:
        variables = {"name": name, "overlap": round(overlap_hours * 3600)}
        done = (await client.execute(_ROTATE, variables))["done"]
    session.output.result({"secret": done["secret"], "webhook": done["webhook"]})
    session.output.say(safe(done["secret"]))


async def pause(session: Session, name: Name) -> None:
    """Take no messages until it is resumed. Its runs go on."""
    await _change(session, _PAUSE, name)


async def resume(session: Session, name: Name) -> None:
    """Take messages again."""
    await _change(session, _RESUME, name)


async def delete(session: Session, name: Name) -> None:
    """Take a webhook away, with its address and its secrets. Its runs stay."""
    async with session.client() as client:
        await client.execute(_DELETE, {"name": name})
    session.output.result({"name": name})
    session.output.say(f"the webhook {safe(name)} is gone")


async def _change(session: Session, document: str, name: str) -> None:
    async with session.client() as client:
        done = (await client.execute(document, {"name": name}))["done"]
    session.output.result(done)
    session.output.say(f"{safe(name)}: {'paused' if done['paused'] else done['url']}")


async def _post(url: str, content: bytes, headers: dict[str, str]) -> dict[str, Any]:
    """What the webhook answers. Raises what its refusal stands for."""
    try:
        async with httpx.AsyncClient(timeout=_SECONDS, trust_env=not is_local(url)) as http:
            answer = await http.post(url, content=content, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise unreachable(url, error) from error
    try:
        told = answer.json()
    except ValueError:
        told = None
    if isinstance(told, dict) and "errors" in told:
        raise answered_error(told["errors"])
    if not isinstance(told, dict) or "runId" not in told:
        raise no_headrace(answer.status_code, sent_on_to(answer))
    return told
