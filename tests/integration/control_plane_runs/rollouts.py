"""A version is tried on a part of the starts."""

from typing import Any

from tests.integration.control_plane_runs.acting import FAILURE, Client, orders, publish
from tests.integration.control_plane_runs.audit_examples import mutate

ROLLOUT = "... on Rollout { id status percent stable { number } candidate { number } }"
PUBLISH = (
    """mutation($d: JSON!, $r: RolloutInput) { publishWorkflow(document: $d, rollout: $r) { __typename
  ... on PublishedVersion { created version { number } rollout { percent candidate { number } } } """
    + FAILURE
    + "} }"
)
STABLE, CANDIDATE = 1, 2


async def rolled_out(client: Client, percent: float = 10, **terms: Any) -> Any:
    """A workflow with a stable version, and a candidate that is published for a part of its starts."""
    await publish(client, orders())
    made = await client(PUBLISH, d=orders(env={}), r={"percent": percent, **terms})
    assert (made["__typename"], made["created"]) == ("PublishedVersion", True), made
    return made


async def act(client: Client, verb: str, wanted: str = ROLLOUT, **given: Any) -> Any:
    return await mutate(client, f"{verb}Rollout", {"workflow": "orders", **given}, wanted)
