"""`headrace tenants delete | keep | deleted`: the end of a tenant, and the list that a restore needs."""

from pathlib import Path
from typing import Annotated

import typer
from headrace.postgres.pool import WORKER, open_pool
from headrace_control.restores.deletions import deleted_tenants

from headrace_cli.admin import DatabaseUrl
from headrace_cli.client import mutation
from headrace_cli.command import Session, command
from headrace_cli.output import safe

_FIELDS = "tenantId tenant askedAt cancelAt dueAt"
_DELETE = mutation(
    "$tenant: String!, $confirm: String!, $graceDays: Int!, $cancelRuns: Boolean!",
    "deleteTenant(tenant: $tenant, confirm: $confirm, graceDays: $graceDays, cancelRuns: $cancelRuns)",
    "TenantDeletion",
    _FIELDS,
)
_KEEP = mutation("$tenant: String!", "keepTenant(tenant: $tenant)", "TenantDeletion", _FIELDS)


def add_to(tenants: typer.Typer) -> None:
    command(tenants, "delete")(delete)
    command(tenants, "keep")(keep)
    command(tenants, "deleted", connects=False)(deleted)


async def delete(
    session: Session,
    tenant: Annotated[str, typer.Argument(help="Its name.")],
    confirm: Annotated[str, typer.Option(help="Its name once more: everything of it will be deleted.")],
    grace_days: Annotated[int, typer.Option(help="How long it can be kept yet, 1 to 365.")] = 30,
    cancel_runs: Annotated[
        bool, typer.Option("--cancel-runs", help="Cancel its runs now, not 12 hours before the end.")
    ] = False,
) -> None:
    """Have a tenant deleted, with everything of it; nothing starts in it from now on. Needs a platform key."""
    given = {"tenant": tenant, "confirm": confirm, "graceDays": grace_days, "cancelRuns": cancel_runs}
    async with session.client() as client:
        done = (await client.execute(_DELETE, given))["done"]
    session.output.result(done)
    session.output.say(
        f"{safe(tenant)} will be deleted at {done['dueAt']}; until then: headrace tenants keep"
    )


async def keep(session: Session, tenant: Annotated[str, typer.Argument(help="Its name.")]) -> None:
    """Take a tenant's deletion back, while its time is not over. Needs a platform key."""
    async with session.client() as client:
        done = (await client.execute(_KEEP, {"tenant": tenant}))["done"]
    session.output.result(done)
    session.output.say(f"{safe(tenant)} is kept")


async def deleted(
    session: Session,
    database_url: DatabaseUrl,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Write the list there too, for `headrace restored`.")
    ] = None,
) -> None:
    """List the tenants that were deleted. Keep the list with your backups: it holds ids and times alone."""
    worker = await open_pool(database_url, WORKER, max_size=1)
    try:
        found = await deleted_tenants(worker)
    finally:
        await worker.close()
    if file is not None:
        file.write_text("".join(f"{one.encode()}\n" for one in found), encoding="utf-8")
    session.output.result([one.shown() for one in found])
    for one in found:
        state = f"deleted at {one.done_at}" if one.done_at else "being deleted"
        session.output.say(f"{one.tenant_id} {state}")
    if not found:
        session.output.say("no tenant was deleted")
