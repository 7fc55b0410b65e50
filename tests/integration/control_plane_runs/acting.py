"""What tenants, runners and the reporter do, in few words."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
from headrace.ids import new_id
from headrace.messages import Event
from headrace.workflow.state import EventKind
from headrace_reporter.apply import Applier
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

FAILURE = """
... on Failure { code message }
... on InvalidInput { problems { path message mend code } }
"""


@dataclass(frozen=True)
class Client:
    """Speaks GraphQL with one tenant's key."""

    http: httpx.AsyncClient
    key: str

    async def post(self, query: str, **variables: Any) -> Any:
        return (await self.post_bytes(orjson.dumps({"query": query, "variables": variables}))).json()

    async def post_bytes(self, body: bytes) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        return await self.http.post("/graphql", content=body, headers=headers)

    async def __call__(self, query: str, **variables: Any) -> Any:
        """The one field of an operation without errors."""
        body = await self.post(query, **variables)
        assert "errors" not in body, body["errors"]
        (value,) = body["data"].values()
        return value

    async def error(self, query: str, **variables: Any) -> Any:
        """The first of an operation's errors."""
        return (await self.post(query, **variables))["errors"][0]

    @contextlib.asynccontextmanager
    async def subscribe(self, query: str, **variables: Any) -> AsyncIterator["Subscription"]:
        url = f"ws://{self.http.base_url.netloc.decode()}/graphql"
        async with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None) as socket:
            subscription = Subscription(socket)
            await subscription.send(type="connection_init", payload={"authorization": f"Bearer {self.key}"})
            assert (await subscription.receive())["type"] == "connection_ack"
            await subscription.send(
                id="1", type="subscribe", payload={"query": query, "variables": variables}
            )
            yield subscription


@dataclass(frozen=True)
class Subscription:
    socket: ClientConnection

    async def send(self, **message: Any) -> None:
        await self.socket.send(orjson.dumps(message).decode())

    async def receive(self) -> Any:
        async with asyncio.timeout(20):
            return orjson.loads(await self.socket.recv())

    async def next(self) -> Any:
        """The one field of what comes next."""
        message = await self.receive()
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message["payload"]
        (value,) = message["payload"]["data"].values()
        return value

    async def until(self, **wanted: Any) -> Any:
        """The next one with these values."""
        while True:
            found = await self.next()
            if all(found[name] == value for name, value in wanted.items()):
                return found

    async def completed(self) -> None:
        assert (await self.receive())["type"] == "complete"


class Fleet:
    """What runners and the reporter do to a run: claims by SQL, events through the real applier."""

    def __init__(self, admin: asyncpg.Connection, applier: Applier) -> None:
        self.admin, self.applier = admin, applier

    async def claim(self, run: str) -> None:
        await self.admin.execute(
            """UPDATE runs SET status = 'RUNNING', wait_reason = NULL, epoch = epoch + 1, claimed_by = $2,
               claimed_in_call = 1, started_at = coalesce(started_at, now()) WHERE id = $1""",
            UUID(run),
            new_id(),
        )

    async def apply(self, run: str, *events: tuple[str, str | None, dict[str, Any]]) -> None:
        """Events of (kind, step, data), after those that were applied before."""
        (row,) = await self.admin.fetch(
            "SELECT tenant_id, epoch, fence_epoch, fence_seq FROM runs WHERE id = $1", UUID(run)
        )
        begun = row["fence_seq"] if row["fence_epoch"] == row["epoch"] else 0
        await self.applier.apply(
            [
                Event(
                    row["tenant_id"],
                    UUID(run),
                    row["epoch"],
                    begun + number,
                    EventKind(kind),
                    datetime.now(UTC),
                    step,
                    data,
                )
                for number, (kind, step, data) in enumerate(events, 1)
            ]
        )

    async def park(self, run: str, reason: str, seconds: float | None = None) -> None:
        """As the reporter does when the holder has parked the run, until a time if one is given."""
        dispatch = new_id()
        await self.admin.execute("DELETE FROM dispatches WHERE run_id = $1", UUID(run))
        await self.admin.execute(
            """UPDATE runs SET status = CASE WHEN compensating IS NULL THEN 'WAITING' ELSE status END,
               wait_reason = $2, claimed_by = NULL, claimed_in_call = NULL, dispatch_id = $3 WHERE id = $1""",
            UUID(run),
            reason,
            dispatch,
        )
        if seconds is not None:
            await self.admin.execute(
                """INSERT INTO dispatches (id, tenant_id, run_id, due_at)
                   SELECT dispatch_id, tenant_id, id, now() + $2 * interval '1 second' FROM runs WHERE id = $1""",
                UUID(run),
                seconds,
            )

    async def open_wait(
        self, run: str, step: str, kind: str, due_in: float | None = None, **data: Any
    ) -> None:
        """As the reporter does when it applies `waiting` of an approval or a signal."""
        await self.admin.execute(
            """INSERT INTO waits (tenant_id, run_id, step, kind, data, opened_at, due_at)
               SELECT tenant_id, id, $2, $3, $4, now(), now() + $5 * interval '1 second' FROM runs WHERE id = $1""",
            UUID(run),
            step,
            kind,
            orjson.dumps({"kind": kind, **data}).decode(),
            due_in,
        )

    async def inbox(self, run: str) -> list[tuple[int, str, str | None, str | None, Any]]:
        """The run's messages: seq, kind, step, name, data."""
        rows = await self.admin.fetch(
            "SELECT seq, kind, step, name, data FROM inbox WHERE run_id = $1 ORDER BY seq", UUID(run)
        )
        return [(r["seq"], r["kind"], r["step"], r["name"], orjson.loads(r["data"])) for r in rows]

    async def finish(self, run: str) -> None:
        await self.apply(run, ("finished", None, {"status": "SUCCESS", "result": {"all": "good"}}))

    async def dispatches(self, run: str) -> list[tuple[bool, bool, bool]]:
        """Of the run's dispatch row, if there is one: is it the current one, was it sent, is it due?"""
        found = await self.admin.fetch(
            """SELECT d.id = r.dispatch_id AS current, d.sent_at IS NOT NULL AS sent, d.due_at <= now() AS due
               FROM dispatches d JOIN runs r ON r.id = d.run_id WHERE r.id = $1""",
            UUID(run),
        )
        return [(row["current"], row["sent"], row["due"]) for row in found]


async def new_tenant(platform: Client, name: str) -> Client:
    made = await platform(
        "mutation($name: String!) { createTenant(name: $name) { ... on NewTenant { issued { key } } } }",
        name=name,
    )
    return Client(platform.http, made["issued"]["key"])


async def with_role(client: Client, role: str) -> Client:
    """Another key of the same tenant."""
    made = await client(
        'mutation($r: Role!) { createApiKey(name: "k", role: $r) { ... on IssuedApiKey { key } } }', r=role
    )
    return Client(client.http, made["key"])


async def design(client: Client) -> None:
    """What the document `orders` refers to: apps, actions, connections, a secret."""
    for app, connection in (("shop", "shop-main"), ("bank", "bank-main")):
        made = await client(
            "mutation($i: AppInput!) { createApp(input: $i) { __typename " + FAILURE + "} }",
            i={"name": app, "baseUrl": "http://127.0.0.1:9", "auth": {"kind": "BASIC"}},
        )
        assert made["__typename"] == "App", made
        made = await client(
            "mutation($i: ConnectionInput!) { createConnection(input: $i) { __typename " + FAILURE + "} }",
            i={
                "app": app,
                "name": connection,
                "config": {"username": "u"},
                "secrets": {"password": secrets.token_hex(8)},
            },
        )
        assert made["__typename"] == "Connection", made
    await save_action(client, "get-order", {"method": "GET", "endpointTemplate": "/orders/{order}"})
    await save_action(
        client,
        "refund",
        {
            "method": "POST",
            "endpointTemplate": "/refunds",
            # Where a policy holds it, the workflow is long-lived, and its steps need their safeguards.
            "idempotency": {"mode": "KEY"},
            "reversibility": "IRREVERSIBLE",
            "bodySchema": {
                "type": "object",
                "required": ["amount"],
                "properties": {"amount": {"type": "integer"}},
                "additionalProperties": False,
            },
        },
    )
    made = await client('mutation { setSecret(name: "token", value: "a long enough value") { __typename } }')
    assert made["__typename"] == "Secret", made


async def save_action(client: Client, name: str, definition: dict[str, Any]) -> None:
    """One that says nothing else runs by itself; `approvalClass` None leaves the class out."""
    stated = {"approvalClass": "A", **definition}
    made = await client(
        """mutation($n: String!, $d: JSON!) { saveAction(app: "shop", name: $n, definition: $d) {
             __typename """
        + FAILURE
        + "} }",
        n=name,
        d={key: value for key, value in stated.items() if value is not None},
    )
    assert made["__typename"] == "SavedAction", made


ORDERS = {
    "workflow": "orders",
    "parameters": {
        "type": "object",
        "required": ["order"],
        "properties": {"order": {"type": "string"}, "amount": {"type": "integer"}},
        "additionalProperties": False,
    },
    "env": {"TOKEN": {"secret": "token"}},
    "steps": [
        {
            "key": "fetch",
            "action": "shop/get-order",
            "connection": "shop-main",
            "input": {"order": "{{ input.order }}"},
        },
        {"key": "refund", "action": "shop/refund", "connection": "shop-main", "input": {"amount": 3}},
    ],
    "result": {"order": "{{ steps.fetch.output.body }}"},
}


def orders(**changes: Any) -> dict[str, Any]:
    """The document `orders`, with other values in some places."""
    return {**deepcopy(ORDERS), **changes}


_VERSION = "id number status digest note publishedAt"


async def publish(client: Client, document: object, note: str | None = None) -> Any:
    return await client(
        """mutation($d: JSON!, $n: String) { publishWorkflow(document: $d, note: $n) { __typename
             ... on PublishedVersion { created version { """
        + _VERSION
        + " } } "
        + FAILURE
        + "} }",
        d=document,
        n=note,
    )


async def save_draft(client: Client, document: object, note: str | None = None) -> Any:
    return await client(
        """mutation($d: JSON!, $n: String) { saveDraft(document: $d, note: $n) { __typename
             ... on SavedDraft { version { """
        + _VERSION
        + " } problems { path code mend } } "
        + FAILURE
        + "} }",
        d=document,
        n=note,
    )


async def publish_version(client: Client, version: str) -> Any:
    return await client(
        "mutation($id: ID!) { publishVersion(id: $id) { __typename ... on PublishedVersion { created version { "
        + _VERSION
        + " } } "
        + FAILURE
        + "} }",
        id=version,
    )


async def deprecate(client: Client, version: str) -> Any:
    return await client(
        "mutation($id: ID!) { deprecateVersion(id: $id) { __typename ... on WorkflowVersion { "
        + _VERSION
        + " } "
        + FAILURE
        + "} }",
        id=version,
    )


async def start(client: Client, workflow: str = "orders", **how: Any) -> Any:
    how.setdefault("input", {"order": "17"})
    return await client(
        """mutation($w: String!, $input: JSON, $version: Int, $key: String) {
             startRun(workflow: $w, input: $input, version: $version, idempotencyKey: $key) { __typename
               ... on Run { id status createdAt version { number } } """
        + FAILURE
        + "} }",
        w=workflow,
        **how,
    )


async def started(client: Client, workflow: str = "orders", **how: Any) -> str:
    """The id of a run just started."""
    run = await start(client, workflow, **how)
    assert run["__typename"] == "Run", run
    return str(run["id"])
