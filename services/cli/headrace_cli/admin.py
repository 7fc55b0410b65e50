"""`headrace migrate`, `bootstrap` and `restored`: what an operator does to a database."""

from pathlib import Path
from typing import Annotated

import typer
from headrace.errors import InvalidInput, Problem
from headrace.postgres.migrate import migrate as bring_up_to_date
from headrace.postgres.migrations import Phase
from headrace.postgres.pool import WORKER, open_pool
from headrace_control.restores.deletions import DeletedTenant, delete_again, put_off, read_list
from headrace_control.restores.service import begin_anew, refuse_unready
from headrace_control.tenants.service import bootstrap as make_platform_tenant

from headrace_cli.command import Session, command
from headrace_cli.dev.deployment import MIGRATIONS
from headrace_cli.output import safe

DatabaseUrl = Annotated[
    str,
    typer.Option(
        envvar="HEADRACE_DATABASE_URL",
        show_envvar=True,
        help="The database, as a login that may create roles and tables.",
    ),
]


def add_to(app: typer.Typer) -> None:
    command(app, "migrate", connects=False)(migrate)
    command(app, "bootstrap", connects=False)(bootstrap)
    command(app, "restored", connects=False)(restored)


async def migrate(
    session: Session,
    database_url: DatabaseUrl,
    phase: Annotated[
        Phase,
        typer.Option(
            help="contract: also take away what no service needs any more, once all are of this release."
        ),
    ] = Phase.EXPAND,
) -> None:
    """Bring the database to the newest schema. Safe to repeat, and from many places at once."""
    applied = await bring_up_to_date(database_url, MIGRATIONS, phase)
    session.output.result({"applied": applied})
    for name in applied:
        session.output.say(f"applied {safe(name)}")
    if not applied:
        session.output.say("nothing to do: the schema is the newest")


async def bootstrap(
    session: Session,
    database_url: DatabaseUrl,
    tenant: Annotated[str, typer.Option(help="The platform tenant's name.")] = "platform",
    new_key: Annotated[bool, typer.Option("--new-key", help="Issue one more key if it is there.")] = False,
) -> None:
    """Make the platform tenant and its first ADMIN key, which is printed this once."""
    owner = await open_pool(database_url)
    try:
        made = await make_platform_tenant(owner, tenant, new_key=new_key)
    finally:
        await owner.close()
    session.output.result(
        {"tenant": {"id": str(made.tenant.id), "name": made.tenant.name}, "apiKey": made.key.text}
    )
    if not session.output.machine:
        session.output.say(f"tenant {safe(made.tenant.name)}; its ADMIN key, shown this once:")
        session.output.people.print(made.key.text, highlight=False, markup=False, soft_wrap=True)


def _listed(file: Path) -> list[DeletedTenant]:
    try:
        return read_list(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        mend = "name one that `headrace tenants deleted --file` wrote"
        raise InvalidInput([Problem("--deleted", "there is no such file", mend)]) from None


async def restored(
    session: Session,
    database_url: DatabaseUrl,
    deleted: Annotated[
        Path | None,
        typer.Option(
            help="The newest list that `headrace tenants deleted --file` wrote: what came back of these tenants goes."
        ),
    ] = None,
) -> None:
    """After a restore, before runners start: fence off what is left of the time that was lost, delete again what was
    deleted. Safe to repeat."""
    gone = _listed(deleted) if deleted else []
    owner = await open_pool(database_url)
    try:
        await refuse_unready(owner)
        worker = await open_pool(database_url, WORKER)
        try:
            again = await delete_again(owner, worker, gone)
            later = await put_off(owner)
            runs = await begin_anew(owner, worker)
        finally:
            await worker.close()
    finally:
        await owner.close()
    ending = [{"tenantId": str(tenant_id), "dueAt": due_at.isoformat()} for tenant_id, due_at in later]
    session.output.result({"runs": runs, "deletedAgain": again, "toBeDeleted": ending})
    if gone:
        session.output.say(f"{again} of {len(gone)} deleted tenants had come back, and are gone again")
    for tenant_id, due_at in later:
        session.output.say(
            f"tenant {tenant_id} is to be deleted at {due_at:%Y-%m-%d %H:%M}Z, unless that was taken back meanwhile:"
            " headrace tenants keep"
        )
    session.output.say(f"{runs} unfinished runs go on from what was restored; runners may be started")
