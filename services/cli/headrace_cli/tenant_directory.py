"""`headrace tenants create | new-key | list`: the tenants of a deployment, for the platform's admins."""

import os
from typing import Annotated

import typer

from headrace_cli.client import mutation
from headrace_cli.command import Session, command
from headrace_cli.output import cells, safe, table
from headrace_cli.page_options import After, First
from headrace_cli.profile import profile_file

_CREATE = mutation(
    "$name: String!",
    "createTenant(name: $name)",
    "NewTenant",
    "tenant { id name } issued { key apiKey { expiresAt } }",
)
_NEW_KEY = mutation(
    "$tenant: String!", "createAdminKey(tenant: $tenant)", "IssuedApiKey", "key apiKey { expiresAt }"
)
_LIST = """
query($first: Int!, $after: String) {
  tenants(first: $first, after: $after) {
    items { id name platform maxRunsInFlight createdAt } pageInfo { hasNextPage endCursor }
  }
}"""


def add_to(tenants: typer.Typer) -> None:
    command(tenants, "create")(create)
    command(tenants, "new-key")(new_key)
    command(tenants, "list")(listed)


async def create(
    session: Session,
    name: Annotated[str, typer.Argument(help="Lower case letters, digits and `-`; it stays as it is.")],
) -> None:
    """Make a tenant and its first ADMIN key, which is printed this once. Needs a platform key."""
    async with session.client() as client:
        done = (await client.execute(_CREATE, {"name": name}))["done"]
        url = client.url
    tenant, issued = done["tenant"], done["issued"]
    expires_at = issued["apiKey"]["expiresAt"]
    session.output.result({"tenant": tenant, "apiKey": issued["key"], "expiresAt": expires_at})
    first = f"tenant {safe(name)}, id {tenant['id']}; its first ADMIN key, shown this once:"
    _hand_over(session, name, url, first, issued["key"], expires_at)


async def new_key(session: Session, tenant: Annotated[str, typer.Argument(help="Its name.")]) -> None:
    """Issue an ADMIN key of a tenant that has no admin left, which is printed this once. Needs a platform key."""
    async with session.client() as client:
        issued = (await client.execute(_NEW_KEY, {"tenant": tenant}))["done"]
        url = client.url
    expires_at = issued["apiKey"]["expiresAt"]
    session.output.result({"apiKey": issued["key"], "expiresAt": expires_at})
    first = f"a new ADMIN key of {safe(tenant)}, shown this once; its audit says who made it:"
    _hand_over(session, tenant, url, first, issued["key"], expires_at)


def _hand_over(session: Session, name: str, url: str, first: str, key: str, expires_at: str | None) -> None:
    """Show a tenant's key to people, and how to use it."""
    if session.output.machine:
        return
    file = profile_file(session.choice, os.environ)
    say, show = session.output.say, session.output.people.print
    say(first)
    show(key, highlight=False, markup=False, soft_wrap=True)
    if expires_at:
        say(f"It ends at {expires_at}.")
    say(f"[dim]To act for it, put these lines, with the key, into {safe(str(file))} (chmod 600),[/]")
    say(f"[dim]and pass --profile {safe(name)}; or set HEADRACE_API_KEY:[/]")
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
    shown = table("tenant", "id", "runs in flight, at most", "made", ids="id")
    for one in found["items"]:
        name = f"{one['name']} (platform)" if one["platform"] else one["name"]
        shown.add_row(*cells(name, one["id"], one["maxRunsInFlight"], one["createdAt"]))
    session.output.show(shown)
    session.output.more(found["pageInfo"])
