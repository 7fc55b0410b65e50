"""Runs are canceled, paused and resumed."""

from typing import Any

from tests.integration.control_plane_runs.acting import FAILURE, Client


async def cancel(client: Client, run: str) -> Any:
    return await client(
        "mutation($id: ID!) { cancelRun(id: $id) { __typename ... on Run { status cancelRequested } "
        + FAILURE
        + "} }",
        id=run,
    )


async def ask(client: Client, what: str, run: str) -> Any:
    return await client(
        f"mutation($id: ID!) {{ {what}(id: $id) {{ __typename ... on Run {{ status waitReason pauseRequested"
        f" cancelRequested }} {FAILURE} }} }}",
        id=run,
    )
