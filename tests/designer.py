"""What a designer and an operator do, over GraphQL, in few words."""

import asyncio
from collections.abc import Mapping
from typing import Any

from fleet import Fleet
from headrace_cli.runs.history import children_of, shown_run
from headrace_cli.runs.verify import verify

ENDED = {"SUCCESS", "FAILED", "CANCELED"}

_RUN = """
query ($id: ID!) { run(id: $id) {
  id status waitReason result error { code message }
  steps { key status attemptCount input output error { code message }
          attempts { number outcome httpStatus error { code message } address } }
} }
"""
_PAST = """query ($id: ID!, $after: String) { runAt(id: $id) { status result steps(first: 200, after: $after) {
  items { key status attemptCount output error { code message } } pageInfo { hasNextPage endCursor } } } }"""

_FAILED = """
fragment Failed on Failure { code message ... on InvalidInput { problems { path message mend } } }
"""


class Designer:
    """Acts for the tenant of `key` (the fleet's first admin by default)."""

    def __init__(self, fleet: Fleet, key: str | None = None) -> None:
        self._fleet, self._key = fleet, key

    async def do(self, query: str, **variables: Any) -> Any:
        return await self._fleet.graphql(query, self._key, **variables)

    async def mutate(self, query: str, **variables: Any) -> Any:
        """The payload of a mutation with one field; an expected failure fails the test."""
        (payload,) = (await self.do(query + _FAILED, **variables)).values()
        assert "code" not in payload, payload
        return payload

    async def app(self, name: str, base_url: str, auth: Mapping[str, Any] | None = None) -> None:
        await self.mutate(
            """mutation ($input: AppInput!) { createApp(input: $input) {
                 ok: __typename ...Failed } }""",
            input={"name": name, "baseUrl": base_url, "auth": auth or {"kind": "NONE"}},
        )

    async def action(self, app: str, name: str, method: str, endpoint: str, **definition: Any) -> None:
        await self.mutate(
            """mutation ($app: String!, $name: String!, $definition: JSON!) {
                 saveAction(app: $app, name: $name, definition: $definition) {
                   ok: __typename ...Failed } }""",
            app=app,
            name=name,
            definition={
                "method": method,
                "endpointTemplate": endpoint,
                "approvalClass": "A",
                **definition,
            },
        )

    async def connection(self, app: str, name: str, secrets: Mapping[str, str], config: Any = None) -> None:
        await self.mutate(
            """mutation ($input: ConnectionInput!) { createConnection(input: $input) {
                 ok: __typename ...Failed } }""",
            input={"app": app, "name": name, "secrets": secrets, "config": config},
        )

    async def secret(self, name: str, value: str) -> None:
        await self.mutate(
            """mutation ($name: String!, $value: String!) { setSecret(name: $name, value: $value) {
                 ok: __typename ...Failed } }""",
            name=name,
            value=value,
        )

    async def publish(self, document: Mapping[str, Any]) -> None:
        """Long-lived or not, with all safeguards or not: most tests are about what the engine makes of it."""
        await self.mutate(
            """mutation ($document: JSON!, $waiver: String) {
                 publishWorkflow(document: $document, waiver: $waiver) { ok: __typename ...Failed } }""",
            document=document,
            waiver="a test of the engine",
        )

    async def start(self, workflow: str, **given: Any) -> str:
        payload = await self.mutate(
            """mutation ($workflow: String!, $input: JSON, $key: String) {
                 startRun(workflow: $workflow, input: $input, idempotencyKey: $key) {
                   ok: __typename ... on Run { id } ...Failed } }""",
            workflow=workflow,
            input=given,
        )
        return str(payload["id"])

    async def cancel(self, run_id: str) -> None:
        await self.mutate(
            "mutation ($id: ID!) { cancelRun(id: $id) { ok: __typename ...Failed } }", id=run_id
        )

    async def signal(self, run_id: str, name: str, payload: Any = None) -> None:
        await self.mutate(
            """mutation ($id: ID!, $name: String!, $payload: JSON) {
                 signalRun(runId: $id, name: $name, payload: $payload) { ok: __typename ...Failed } }""",
            id=run_id,
            name=name,
            payload=payload,
        )

    async def decide(self, run_id: str, step: str, decision: str, reason: str = "") -> None:
        await self.mutate(
            """mutation ($id: ID!, $step: String!, $decision: Verdict!, $reason: String!) {
                 decideApproval(runId: $id, step: $step, decision: $decision, reason: $reason) {
                   ok: __typename ...Failed } }""",
            id=run_id,
            step=step,
            decision=decision,
            reason=reason,
        )

    async def run(self, run_id: str) -> Any:
        return (await self.do(_RUN, id=run_id))["run"]

    async def ended(self, run_id: str, seconds: float = 60, wanted: set[str] | None = None) -> Any:
        """The run, once it has ended (or has one of the `wanted` statuses)."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    run = await self.run(run_id)
                    if run["status"] in (wanted or ENDED):
                        return run
                    await asyncio.sleep(0.1)  # asked from outside, as a user without a subscription would
        except TimeoutError:
            raise AssertionError(
                f"not ended: {await self.run(run_id)}\n{self._fleet.process_logs()}"
            ) from None

    async def execute(self, document: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """As the command line's client asks."""
        found: dict[str, Any] = await self.do(document, **(variables or {}))
        return found

    async def verified(self, run_id: str) -> None:
        """The history of a run that has ended explains it, and the runs that it began."""
        verified = await verify(self, run_id)
        assert not verified.differences, verified.differences
        assert verified.events
        await self._shown_as_it_was(run_id)
        for child in await children_of(self, run_id):
            if child.status in ENDED:
                await self.verified(child.id)

    async def _shown_as_it_was(self, run_id: str) -> None:
        """A run's newest revision shows what its rows say, but for what another run has undone since."""
        shown = await shown_run(self, run_id)
        past: dict[str, Any] = {}
        after = None
        while True:
            found = (await self.do(_PAST, id=run_id, after=after))["runAt"]
            past |= {row["key"]: row for row in found["steps"]["items"]}
            if not found["steps"]["pageInfo"]["hasNextPage"]:
                break
            after = found["steps"]["pageInfo"]["endCursor"]
        assert (found["status"], found["result"]) == (shown.status, shown.result)
        # The loops of the run that this one undoes, which lead to its rows, are no part of its past.
        rows = {k: row for k, row in shown.rows.items() if not (shown.undoes and row.taken_from)}
        assert past.keys() == rows.keys()
        for key, row in rows.items():
            was = past[key]
            statuses = {row.status} | ({"SUCCESS"} if row.status == "COMPENSATED" else set())
            assert was["status"] in statuses, (key, was, row)
            error = row.error.as_json() if row.error else None
            assert (was["attemptCount"], was["output"], was["error"]) == (row.attempts, row.output, error), (
                key
            )


def step(run: Any, key: str) -> Any:
    (found,) = [s for s in run["steps"] if s["key"] == key]
    return found
