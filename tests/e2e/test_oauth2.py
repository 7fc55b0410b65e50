"""Connections with OAuth2 against an authorization server that is not ours: one refresh, whoever asks for it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio
from designer import Designer, step
from fleet import Fleet
from oauth2_parties import AuthorizationServer, Client, Resource
from proxy import proxied

# One deployment serves all of these tests: they share its loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")

# Two runners carry so many runs each, so that twenty at once need both.
CAPACITY = 10


@dataclass(frozen=True)
class Parties:
    designer: Designer
    server: AuthorizationServer
    resource: Resource

    async def connect(
        self,
        name: str,
        client: Client,
        *,
        refresh_token: str = "",
        proof: str = "BASIC",
        token_url: str = "",
        **action: Any,
    ) -> None:
        """An app and a connection called `name`, and a workflow for each path of the resource."""
        grant = "REFRESH_TOKEN" if refresh_token else "CLIENT_CREDENTIALS"
        auth = {
            "kind": "OAUTH2",
            "tokenUrl": token_url or self.server.token_url,
            "grant": grant,
            "scopes": ["orders"],
            "clientAuth": proof,
        }
        await self.designer.app(name, self.resource.url, auth)
        secrets = {"clientSecret": client.secret}
        if refresh_token:
            secrets["refreshToken"] = refresh_token
        await self.designer.connection(name, name, secrets, {"clientId": client.id})
        for path in ("orders", "slow"):
            await self.designer.action(name, path, "GET", f"/{path}", **action)
            await self.publish(f"{name}-{path}", name, path)

    async def publish(self, workflow: str, name: str, *paths: str) -> None:
        steps = [
            {"key": f"{path}_{n}", "action": f"{name}/{path}", "connection": name}
            for n, path in enumerate(paths)
        ]
        await self.designer.publish({"workflow": workflow, "steps": steps})

    async def run(self, workflow: str) -> Any:
        return await self.designer.ended(await self.designer.start(workflow))

    async def connection(self, name: str) -> Any:
        query = "query ($name: String!) { connection(name: $name) { tokenError tokenExpiresAt } }"
        return (await self.designer.do(query, name=name))["connection"]

    async def audited(self, action: str, connection: str, least: int) -> list[Any]:
        """The details of what was recorded of a connection, newest first, once there are so many."""
        found = await self.designer.do("query ($n: String!) { connection(name: $n) { id } }", n=connection)
        wanted = {"action": action, "target": f"connection/{found['connection']['id']}"}
        async with asyncio.timeout(20):
            while True:
                query = "query ($f: AuditFilter) { auditRecords(filter: $f) { items { detail } } }"
                records = (await self.designer.do(query, f=wanted))["auditRecords"]["items"]
                if len(records) >= least:
                    return [one["detail"] for one in records]
                await asyncio.sleep(0.1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def designer(module_fleet: Fleet) -> Designer:
    """Two runners, each with a control plane of its own to ask."""
    await module_fleet.control_plane()
    other = await module_fleet.another_control_plane()
    await asyncio.gather(
        module_fleet.reporter(),
        module_fleet.runner(HEADRACE_CAPACITY=str(CAPACITY)),
        module_fleet.runner(HEADRACE_CAPACITY=str(CAPACITY), HEADRACE_CONTROL_PLANE_URL=other),
    )
    return Designer(module_fleet)


@pytest_asyncio.fixture(loop_scope="module")
async def parties(designer: Designer, oauth2_url: str) -> AsyncIterator[Parties]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        server = AuthorizationServer(oauth2_url, http)
        async with Resource(server, await server.register()) as resource:
            yield Parties(designer, server, resource)


@pytest.mark.parametrize("proof", ["BASIC", "POST"])
async def test_client_credentials(parties: Parties, proof: str) -> None:
    server, name = parties.server, f"machine-{proof.lower()}"
    client = await server.register(proof=f"client_secret_{proof.lower()}")
    await parties.connect(name, client, proof=proof)
    first, second = await parties.run(f"{name}-orders"), await parties.run(f"{name}-orders")
    for run in (first, second):
        assert step(run, "orders_0")["output"]["body"] == {"client": client.id, "scope": "orders"}, run
    assert await server.grants(client, "client_credentials") == [None], "the second run used the same token"
    (token, _), _ = parties.resource.tokens
    await server.revoke(client, token)
    third = await parties.run(f"{name}-orders")
    assert [a["httpStatus"] for a in step(third, "orders_0")["attempts"]] == [200]
    assert [let_in for _, let_in in parties.resource.tokens] == [True, True, False, True]
    assert await server.grants(client, "client_credentials") == [None, None]
    used = await parties.audited("connection.use", name, 3)
    assert {one["run"] for one in used} == {first["id"], second["id"], third["id"]}
    for call in (call for one in used for call in one["calls"]):
        assert (call["host"], call["address"].rpartition(":")[0] or call["address"]) == (
            "127.0.0.1",
            "127.0.0.1",
        )
    assert [one["version"] for one in await parties.audited("token.refresh", name, 2)] == [2, 1]


async def test_a_rotating_refresh_token_is_used_once(parties: Parties) -> None:
    server, resource = parties.server, parties.resource
    client = await server.register()
    original = await server.authorize(client)
    await parties.connect("rotating", client, refresh_token=original)
    for turn in range(1, 4):
        run = await parties.run("rotating-orders")
        assert run["status"] == "SUCCESS", run
        assert await server.grants(client, "refresh_token") == [None] * turn
        # From now on the resource wants another: the next run brings this one, is refused, and refreshes.
        resource.unwelcome.add(resource.tokens[-1][0])
    tokens = [token for token, _ in resource.tokens]
    assert [let_in for _, let_in in resource.tokens] == [True, False, True, False, True]
    assert len(set(tokens)) == 3
    # The one that the connection was made with is spent: using it twice would have ended everything.
    spent = await server.refresh(client, original)
    assert (spent.status_code, spent.json()["error"]) == (400, "invalid_grant")


async def test_a_token_expires_in_the_middle_of_a_run(parties: Parties) -> None:
    server, resource = parties.server, parties.resource
    client = await server.register(access_token_seconds=3)
    await parties.connect("brief", client, refresh_token=await server.authorize(client))
    await parties.publish("brief-three", "brief", "orders", "slow", "orders")
    run_id = await parties.designer.start("brief-three")
    await resource.waits()
    before = await server.grants(client, "refresh_token")
    held = resource.held[-1]
    async with asyncio.timeout(30):
        while (await server.introspect(client, held))["active"]:
            await asyncio.sleep(0.2)  # the server's clock is the one that counts
    resource.release()
    run = await parties.designer.ended(run_id)
    assert run["status"] == "SUCCESS", run
    assert [s["attemptCount"] for s in run["steps"]] == [1, 1, 1]
    slow = [(token == held, let_in) for token, let_in in resource.tokens[1:3]]
    assert slow == [(True, False), (False, True)], "refused, and brought again with a new token"
    after = await server.grants(client, "refresh_token")
    assert set(after) == {None}
    assert len(after) <= len(before) + 2, "one for the call that was refused, at most one for the next step"


async def test_twenty_runs_at_the_same_moment_make_one_refresh(parties: Parties) -> None:
    server, resource = parties.server, parties.resource
    # A token endpoint that takes its time lets everybody come while the first one waits.
    client = await server.register(token_answer_ms=1000)
    await parties.connect("crowd", client, refresh_token=await server.authorize(client))
    runs = await asyncio.gather(*(parties.designer.start("crowd-slow") for _ in range(2 * CAPACITY)))
    await resource.waits(2 * CAPACITY)
    assert await server.grants(client, "refresh_token") == [None], "nobody had a token: one asked for it"
    assert len(set(resource.held)) == 1
    resource.unwelcome.update(resource.held)
    resource.release()
    ended = await asyncio.gather(*(parties.designer.ended(run) for run in runs))
    assert {run["status"] for run in ended} == {"SUCCESS"}
    assert {step(run, "slow_0")["attemptCount"] for run in ended} == {1}
    assert await server.grants(client, "refresh_token") == [None, None], (
        "all were refused: one asked for another"
    )
    let_in = [token for token, let_in in resource.tokens if let_in]
    assert (len(let_in), len(set(let_in))) == (2 * CAPACITY, 1)


async def test_a_refused_refresh_token_ends_with_a_new_one(parties: Parties) -> None:
    server = parties.server
    client = await server.register()
    original = await server.authorize(client)
    await parties.connect("refused", client, refresh_token=original)
    assert (await parties.run("refused-orders"))["status"] == "SUCCESS"
    # A thief's use of the spent token ends all that was granted with it, the access token too.
    assert (await server.refresh(client, original)).status_code == 400
    run = await parties.run("refused-orders")
    assert (run["status"], run["error"]["code"]) == ("FAILED", "TOKEN_REFUSED")
    assert "rotate the connection's secret" in run["error"]["message"]
    assert (await parties.connection("refused"))["tokenError"] == "invalid_grant"
    asked = await server.grants(client, "refresh_token")
    assert asked == [None, "invalid_grant", "invalid_grant"]
    again = await parties.run("refused-orders")
    assert again["error"]["code"] == "TOKEN_REFUSED"
    assert await server.grants(client, "refresh_token") == asked, (
        "what is known to be refused is not asked for"
    )
    await parties.designer.mutate(
        """mutation ($secrets: JSON!) { rotateConnectionSecret(name: "refused", secrets: $secrets) {
             ok: __typename ...Failed } }""",
        secrets={"refreshToken": await server.authorize(client)},
    )
    assert (await parties.run("refused-orders"))["status"] == "SUCCESS"
    assert (await parties.connection("refused"))["tokenError"] is None


async def test_a_token_endpoint_that_is_away_is_asked_again(parties: Parties) -> None:
    server, resource = parties.server, parties.resource
    client = await server.register()
    address = urlsplit(server.url)
    async with proxied(lambda: asyncio.open_connection(address.hostname, address.port)) as proxy:
        token_url = f"http://127.0.0.1:{proxy.port}{urlsplit(server.token_url).path}"
        retry = {"strategy": "FIXED", "maxAttempts": 50, "initialDelayMs": 200}
        await parties.connect("outage", client, token_url=token_url, retry=retry)
        assert (await parties.run("outage-orders"))["status"] == "SUCCESS"
        resource.unwelcome.add(resource.tokens[-1][0])
        await proxy.stop()
        run_id = await parties.designer.start("outage-orders")
        async with asyncio.timeout(30):
            while not step(await parties.designer.run(run_id), "orders_0")["attempts"]:
                await asyncio.sleep(0.1)  # asked from outside, as a user would
        await proxy.start()
        run = await parties.designer.ended(run_id)
    first, *_, last = step(run, "orders_0")["attempts"]
    assert (first["error"]["code"], first["httpStatus"]) == ("TOKEN_UNAVAILABLE", 401)
    assert (run["status"], last["httpStatus"]) == ("SUCCESS", 200)
    assert await server.grants(client, "client_credentials") == [None, None]
