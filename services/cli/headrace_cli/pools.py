"""`headrace pools`: runner pools, whose runs go where, and how those that wait get out of one."""

from typing import Annotated

import typer
from headrace.errors import InvalidInput, Problem

from headrace_cli.client import mutation
from headrace_cli.command import Session, command
from headrace_cli.output import cells, safe, table

_LIST = "{ runnerPools { name createdAt tenants runners unfinishedRuns } }"
_OWN = "{ tenantPools { pool granted } }"
_CREATE = mutation("$name: String!", "createRunnerPool(name: $name)", "RunnerPool", "name")
_REMOVE = mutation("$name: String!", "removeRunnerPool(name: $name)", "RemovedRunnerPool", "name")
_GRANT = mutation(
    "$tenant: String!, $pool: String!, $also: [String!]",
    "setTenantPools(tenant: $tenant, pool: $pool, also: $also)",
    "TenantPools",
    "pool granted",
)
_BIND = mutation(
    "$workflow: String!, $pool: String",
    "setWorkflowPool(workflow: $workflow, pool: $pool)",
    "WorkflowPool",
    "workflow pool",
)
_DRAIN = mutation(
    "$name: String!, $into: String!, $tenant: String",
    "drainRunnerPool(name: $name, into: $into, tenant: $tenant)",
    "DrainedRunnerPool",
    "name runs",
)

Name = Annotated[str, typer.Argument(metavar="POOL", help="Its name.")]


def add_to(app: typer.Typer) -> None:
    pools = typer.Typer(no_args_is_help=True, help="Runner pools: whose runs are advanced by which runners.")
    command(pools, "list")(listed)
    command(pools, "own")(own)
    command(pools, "create")(create)
    command(pools, "remove")(remove)
    command(pools, "tenant")(tenant)
    command(pools, "workflow")(workflow)
    command(pools, "drain")(drain)
    app.add_typer(pools, name="pools")


async def listed(session: Session) -> None:
    """List all pools (operators)."""
    async with session.client() as client:
        found = (await client.execute(_LIST))["runnerPools"]
    session.output.result(found)
    shown = table("pool", "granted to", "runners", "unfinished runs")
    for one in found:
        runs = "-" if one["unfinishedRuns"] is None else one["unfinishedRuns"]
        shown.add_row(*cells(one["name"], f"{one['tenants']} tenants", one["runners"], runs))
    session.output.show(shown)


async def own(session: Session) -> None:
    """Say where the tenant's runs go, and to which pools its workflows may be bound."""
    async with session.client() as client:
        found = (await client.execute(_OWN))["tenantPools"]
    session.output.result(found)
    session.output.say(f"{safe(found['pool'])}; granted: {safe(', '.join(found['granted']) or 'none')}")


async def create(session: Session, name: Name) -> None:
    """Make a pool (operators)."""
    async with session.client() as client:
        await client.execute(_CREATE, {"name": name})
    session.output.result({"name": name})
    session.output.say(f"the pool {safe(name)} is there: start runners with HEADRACE_POOL={safe(name)}")


async def remove(session: Session, name: Name) -> None:
    """Take away a pool that nobody uses (operators)."""
    async with session.client() as client:
        await client.execute(_REMOVE, {"name": name})
    session.output.result({"name": name})
    session.output.say(f"the pool {safe(name)} is gone")


async def tenant(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="TENANT", help="Its name.")],
    pool: Annotated[str, typer.Argument(metavar="POOL", help="Where its runs go.")],
    also: Annotated[
        list[str] | None, typer.Option(help="To which others its workflows may be bound; more than once.")
    ] = None,
) -> None:
    """Bind a tenant to a pool, from its next runs on (operators)."""
    async with session.client() as client:
        variables = {"tenant": name, "pool": pool, "also": also or []}
        done = (await client.execute(_GRANT, variables))["done"]
    session.output.result({"pool": done["pool"], "granted": done["granted"]})
    session.output.say(f"runs of {safe(name)} that start now go to {safe(pool)}")


async def workflow(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="WORKFLOW", help="Its name.")],
    pool: Annotated[str | None, typer.Argument(metavar="[POOL]", help="Where its runs go.")] = None,
    own: Annotated[bool, typer.Option("--own", help="To the tenant's own pool.")] = False,
) -> None:
    """Bind a workflow to a pool that the tenant is granted, from its next runs on."""
    if (pool is None) != own:
        raise InvalidInput(
            [Problem("POOL", "one of a pool and --own is needed", "name a pool, or pass --own")]
        )
    async with session.client() as client:
        await client.execute(_BIND, {"workflow": name, "pool": pool})
    session.output.result({"workflow": name, "pool": pool})
    session.output.say(f"runs of {safe(name)} that start now go to {safe(pool or 'the pool of its tenant')}")


async def drain(
    session: Session,
    name: Name,
    into: Annotated[str, typer.Option(help="The pool that its unfinished runs are put into.")],
    tenant: Annotated[str | None, typer.Option(help="Those of this tenant alone.")] = None,
) -> None:
    """Put the unfinished runs of a pool into another one (operators)."""
    async with session.client() as client:
        done = (await client.execute(_DRAIN, {"name": name, "into": into, "tenant": tenant}))["done"]
    session.output.result({"pool": name, "into": into, "runs": done["runs"]})
    session.output.say(f"{done['runs']} runs of {safe(name)} are in {safe(into)} now")
