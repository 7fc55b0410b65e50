"""`headrace tenants create | list`: the tenants of a deployment, for the platform's admins."""

import os
from typing import Annotated

import typer
from rich.markup import escape

from headrace_cli.client import mutation
from headrace_cli.command import Session, command
from headrace_cli.output import cells, table
from headrace_cli.page_options import After, First
from headrace_cli.profile import profile_file

_CREATE = mutation(
    "$name: String!", "createTenant(name: $name)", "NewTenant", "tenant { id name } issued { key }"
)
_LIST = """
query($first: Int!, $after: String) {
  tenants(first: $first, after: $after) {
    items { id name platform maxRunsInFlight createdAt } pageInfo { hasNextPage endCursor }
  }
}"""


def add_to(tenants: typer.Typer) -> None:
    command(tenants, "create")(create)
    command(tenants, "list")(listed)


async def create(
    session: Session,
    name: Annotated[str, typer.Argument(help="Lower case letters, digits and `-`; it stays as it is.")],
) -> None:
    """Make a tenant and its first ADMIN key, which is printed this once. Needs a platform key."""
    async with session.client() as client:
        done = (await client.execute(_CREATE, {"name": name}))["done"]
        url = client.url
    tenant, key = done["tenant"], done["issued"]["key"]
    session.output.result({"tenant": tenant, "apiKey": key})
    if session.output.machine:
        return
    file = profile_file(session.choice, os.environ)
    say, show = session.output.say, session.output.people.print
    say(f"tenant {escape(name)}, id {tenant['id']}; its first ADMIN key, shown this once:")
    show(key, highlight=False, markup=False, soft_wrap=True)
    say(f"[dim]To act for it, put these lines, with the key, into {escape(str(file))} (chmod 600),[/]")
    say(f"[dim]and pass --profile {escape(name)}; or set HEADRACE_API_KEY:[/]")
    show(f'[{name}]\nurl = "{url}"\napi_key = "..."', highlight=False, markup=False, soft_wrap=True)


async def listed(
    session: Session,
    first: First = 50,
    after: After = None,
) -> None:
    """List the deployment's tenants with their ids, by name. Needs a platform key."""
    async with session.client() as client:
        found = (await client.execute(_LIST, {"first": first, "after": after}))["tenants"]
    session.output.result(found)
    shown = table("tenant", "id", "runs in flight, at most", "made")
    for one in found["items"]:
        name = f"{one['name']} (platform)" if one["platform"] else one["name"]
        shown.add_row(*cells(name, one["id"], one["maxRunsInFlight"], one["createdAt"]))
    session.output.show(shown)
    session.output.more(found["pageInfo"])
