"""`headrace own-queues`: what an operator does where the queues are marked as those of a deployment that is gone."""

from typing import Annotated
from uuid import UUID

import typer
from headrace.bus.open import open_bus
from headrace.bus.port import JOBS, LOGS, events_queue
from headrace.errors import Conflict
from headrace.postgres.deployment import deployment_of
from headrace.postgres.pool import WORKER, one_statement, open_pool
from headrace.postgres.schema import check_schema

from headrace_cli.admin import DatabaseUrl
from headrace_cli.command import Session, command


def add_to(app: typer.Typer) -> None:
    command(app, "own-queues", connects=False)(own_queues)


async def own_queues(
    session: Session,
    database_url: DatabaseUrl,
    bus_url: Annotated[
        str,
        typer.Option(
            envvar="HEADRACE_BUS_URL", show_envvar=True, help="The bus, as the control plane's user."
        ),
    ],
    bus_namespace: Annotated[
        str,
        typer.Option(envvar="HEADRACE_BUS_NAMESPACE", show_envvar=True, help="What the queues begin with."),
    ] = "",
    partitions: Annotated[
        int,
        typer.Option(
            envvar="HEADRACE_PARTITIONS", show_envvar=True, help="How many queues of events there are."
        ),
    ] = 4,
) -> None:
    """Take over the queues of another deployment that is gone for good. Refused while somebody takes from them."""
    deployment = await _deployment(database_url)
    bus = await open_bus(bus_url, partitions=partitions, namespace=bus_namespace)
    try:
        queues = (JOBS, LOGS, *map(events_queue, range(partitions)))
        depths = {queue: await bus.depth(queue) for queue in queues}
        if taken := [queue for queue, depth in depths.items() if depth.consumers]:
            raise Conflict(f"runners or reporters take from {', '.join(taken)}: stop them first")
        await bus.own(deployment, anyway=True)
    finally:
        await bus.close()
    left = {queue: depth.ready for queue, depth in depths.items() if depth.ready}
    session.output.result({"left": left})
    for queue, count in left.items():
        session.output.say(f"{queue} holds {count} messages from before")
    session.output.say("the queues are this deployment's; its services may be started")


async def _deployment(database_url: str) -> UUID:
    worker = await open_pool(database_url, WORKER)
    try:
        async with one_statement(worker) as db:
            await check_schema(db)
        return await deployment_of(worker)
    finally:
        await worker.close()
