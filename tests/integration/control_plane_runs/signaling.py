"""Runs that wait for a signal, or for a person to settle a doubt; and signals to them."""

from typing import Any

from tests.integration.control_plane_runs.acting import FAILURE, Client, Fleet, orders, publish, started

PAID = {"type": "object", "required": ["amount"], "properties": {"amount": {"type": "integer"}}}
DOCUMENT = {
    "workflow": "orders",
    "steps": [
        {"key": "paid", "type": "signal", "signal": {"schema": PAID}},
        {"key": "wait_for_delivery", "type": "signal", "signal": {"name": "delivered"}},
    ],
}


async def signal(client: Client, run: str, name: str = "paid", **how: Any) -> Any:
    return await client(
        """mutation($run: ID!, $name: String!, $payload: JSON, $key: String) {
             signalRun(runId: $run, name: $name, payload: $payload, idempotencyKey: $key) { __typename
               ... on SentMessage { runId seq sentAt repeated } """
        + FAILURE
        + "} }",
        run=run,
        name=name,
        **how,
    )


async def waiting(client: Client, fleet: Fleet) -> str:
    await publish(client, DOCUMENT)
    run = await started(client, input={})
    await fleet.claim(run)
    await fleet.park(run, "SIGNAL")
    return run


async def in_doubt(client: Client, fleet: Fleet) -> str:
    await publish(client, orders())
    run = await started(client)
    await fleet.claim(run)
    await fleet.apply(
        run,
        ("completed", "fetch", {"status": "SUCCESS"}),
        ("started", "refund", {}),
        ("completed", "refund", {"status": "UNKNOWN", "error": {"code": "X", "message": "lost"}}),
        ("parked", None, {"reason": "IN_DOUBT", "resumeAt": None}),
    )
    return run
