"""Runs that wait for an approval."""

from typing import Any

from tests.integration.control_plane_runs.acting import Client, Fleet, publish, started

DOCUMENT = {
    "workflow": "orders",
    "steps": [{"key": "ok", "type": "approval", "approval": {"title": "Refund?"}}],
}
FORM = {
    "type": "object",
    "required": ["amount"],
    "properties": {"amount": {"type": "integer"}},
    "additionalProperties": False,
}


async def asked(client: Client, fleet: Fleet, due_in: float | None = None, **says: Any) -> str:
    """A run that waits for an approval."""
    await publish(client, DOCUMENT)
    run = await started(client, input={})
    await fleet.claim(run)
    await fleet.open_wait(run, "ok", "APPROVAL", due_in, **says)
    await fleet.park(run, "APPROVAL")
    return run
