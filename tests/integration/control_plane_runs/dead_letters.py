"""Runs that gave up, and what is asked about their dead letters."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from headrace.ids import new_id
from headrace.messages import Event
from headrace.workflow.state import EventKind

from tests.integration.control_plane_runs.acting import FAILURE, Client, Fleet, started
from tests.integration.control_plane_runs.rerunning import completed, end, failed

LIST = """query($filter: DeadLetterFilter, $first: Int!, $after: String) {
  deadLetters(filter: $filter, first: $first, after: $after) {
    items { id status step workflow group { source action code } error { code message } closedReason
            run { id } replayedBy { id origin { id } } }
    pageInfo { hasNextPage endCursor } } }"""
GROUPS = "query { deadLetterGroups { group { source action code } count example } }"
REPLAY = (
    "mutation($id: ID!, $how: ReplayInput) { replayDeadLetter(id: $id, how: $how) { __typename ... on Run { id } "
    + FAILURE
    + "} }"
)
REPLAY_ALL = (
    """mutation($group: DeadLetterGroupInput!, $how: ReplayInput, $rate: Int!) {
      replayDeadLetters(group: $group, how: $how, perSecond: $rate) { __typename ... on Replay { id status total } """
    + FAILURE
    + "} }"
)
SHOWN = "query($id: ID!) { replay(id: $id) { status total replayed refused refusal } }"
DISCARD = (
    """mutation($ids: [ID!], $group: DeadLetterGroupInput, $workflow: String, $reason: String!) {
      discardDeadLetters(ids: $ids, group: $group, workflow: $workflow, reason: $reason) { __typename
        ... on DiscardedDeadLetters { count } """
    + FAILURE
    + "} }"
)


async def given_up(acme: Client, fleet: Fleet, code: str = "HTTP_500") -> str:
    """A run whose second step failed for good."""
    run = await started(acme)
    await fleet.claim(run)
    await fleet.apply(run, completed("fetch", output=1), failed("refund", code), end(code))
    return run


async def letters(client: Client, **wanted: Any) -> list[Any]:
    items: list[Any] = (await client(LIST, filter=wanted or None, first=50))["items"]
    return items


async def ended(client: Client, replay: str) -> Any:
    """What a replay shows once it goes on no longer; waits for that, for 30 seconds at most."""
    async with asyncio.timeout(30):
        while (shown := await client(SHOWN, id=replay))["status"] == "RUNNING":
            await asyncio.sleep(0.05)
    return shown


async def of_nobody(fleet: Fleet, count: int = 1, **data: Any) -> None:
    """That many dead letters of no tenant: events of runs that nobody knows."""
    for _ in range(count):
        at = datetime.now(UTC)
        event = Event(new_id(), new_id(), 1, 1, EventKind.COMPLETED, at, "a", {"status": "SUCCESS", **data})
        await fleet.applier.apply([event])
