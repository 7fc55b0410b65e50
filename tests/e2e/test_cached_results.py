"""A result that stands for a call: the target is not asked again, and the document does not see the difference."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from designer import Designer, step
from fleet import Fleet
from target import Call, Target

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("module_fleet", ["embedded"], indirect=True, scope="module"),
]
HOUR = {"ttlMs": 3_600_000}
FORGET = """mutation ($action: String) { forgetCachedResults(action: $action) {
  ... on ForgottenResults { results } ... on Failure { code } } }"""

_ROTATE = """mutation ($new: String!) { rotateConnectionSecret(name: "main", secrets: {apiKey: $new}) {
  ok: __typename ...Failed } }"""


@dataclass(frozen=True)
class World:
    target: Target
    designer: Designer
    fleet: Fleet

    async def ran(self, workflow: str, **given: Any) -> Any:
        """The run, once it has ended well; its history folds to its rows."""
        run_id = await self.designer.start(workflow, **given)
        run = await self.designer.ended(run_id)
        assert run["status"] == "SUCCESS", run
        await self.designer.verified(run_id)
        return run

    async def rotate(self, key: str) -> None:
        await self.designer.mutate(_ROTATE, new=key)

    @property
    def calls(self) -> int:
        return len(self.target.calls)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployed(module_fleet: Fleet) -> AsyncIterator[World]:
    async with Target() as target:
        await module_fleet.start_all()
        designer = Designer(module_fleet)
        auth = {"kind": "API_KEY", "in": "header", "name": "x-key"}
        await designer.app("shop", target.url, auth)
        await designer.connection("shop", "main", {"apiKey": "first-key-of-the-shop"})
        for name in ("price", "rate", "stock"):
            query = {"type": "object", "properties": {"of": {}, "at": {}}}
            await designer.action("shop", name, "GET", f"/{name}", querySchema=query)
        yield World(target, designer, module_fleet)


@pytest.fixture
def world(deployed: World) -> World:
    deployed.target.calls.clear()
    deployed.target.answers.clear()

    async def numbered(call: Call) -> web.StreamResponse:
        return web.json_response({"n": deployed.calls})

    for path in ("/price", "/rate", "/stock"):
        deployed.target.answers[path] = numbered
    return deployed


def asking(action: str, **more: Any) -> dict[str, Any]:
    return {"key": "ask", "action": f"shop/{action}", "input": {"of": "{{ input.of }}"}, "cache": HOUR} | more


async def test_the_next_run_takes_the_result(world: World) -> None:
    then = {
        "key": "then",
        "type": "transform",
        "input": "{{ steps.ask.output.body.n }} {{ steps.ask.status }}",
    }
    when = {"field": "status", "operator": "eq", "value": "SUCCESS"}
    document = {"workflow": "prices", "steps": [asking("price"), then], "result": "{{ steps.then.output }}"}
    await world.designer.publish({**document, "edges": [{"from": "ask", "to": "then", "when": when}]})
    first = await world.ran("prices", of="tea")
    second = await world.ran("prices", of="tea")
    other = await world.ran("prices", of="milk")
    assert [run["result"] for run in (first, second, other)] == ["1 SUCCESS", "1 SUCCESS", "2 SUCCESS"]
    assert [step(run, "ask")["status"] for run in (first, second, other)] == ["SUCCESS", "CACHED", "SUCCESS"]
    taken = step(second, "ask")
    assert (taken["attempts"], taken["attemptCount"], taken["input"]) == ([], 0, {"of": "tea"})
    assert world.calls == 2
    events = await world.designer.do(
        "query ($id: ID!) { run(id: $id) { events(first: 50) { items { kind data } } } }", id=second["id"]
    )
    items = events["run"]["events"]["items"]
    (taken_from,) = [e["data"]["cached"]["runId"] for e in items if "cached" in (e["data"] or {})]
    assert taken_from == first["id"]
    # Another document may share it; what it makes of the answer is another result.
    await world.designer.publish({"workflow": "shared", "steps": [asking("price")]})
    await world.designer.publish({"workflow": "part", "steps": [asking("price", output={"n": "$.body.n"})]})
    assert step(await world.ran("shared", of="tea"), "ask")["status"] == "CACHED"
    assert step(await world.ran("part", of="tea"), "ask")["output"] == {"n": 3}
    # A re-run is asked for to have its calls made.
    again = await world.designer.mutate(
        """mutation ($id: ID!) { rerunRun(run: $id, how: {steps: ["ask"]}) {
             ok: __typename ... on Run { id } ...Failed } }""",
        id=second["id"],
    )
    assert step(await world.designer.ended(again["id"]), "ask")["status"] == "SUCCESS"
    assert (world.calls, step(await world.ran("prices", of="tea"), "ask")["output"]["body"]) == (4, {"n": 4})


async def test_a_key_stands_for_the_request(world: World) -> None:
    given = {"of": "{{ input.of }}", "at": "{{ run.startedAt }}"}
    await world.designer.publish({"workflow": "rates", "steps": [asking("rate", input=given)]})
    keyed = asking("rate", input=given, cache={**HOUR, "key": "{{ input.of }}"})
    await world.designer.publish({"workflow": "keyed", "steps": [keyed]})
    found = [
        step(await world.ran(w, of="eur"), "ask")["status"] for w in ("rates", "rates", "keyed", "keyed")
    ]
    assert found == ["SUCCESS", "SUCCESS", "SUCCESS", "CACHED"]


async def test_items_of_a_loop_take_results(world: World) -> None:
    loop = asking(
        "stock", input={"of": "{{ item }}"}, forEach={"items": "{{ input.of }}", "maxConcurrency": 1}
    )
    await world.designer.publish(
        {"workflow": "stocks", "steps": [loop], "result": "{{ steps.ask.output.results }}"}
    )
    first = await world.ran("stocks", of=["a", "b"])
    second = await world.ran("stocks", of=["b", "a", "c"])
    assert [[one["body"]["n"] for one in run["result"]] for run in (first, second)] == [[1, 2], [2, 1, 3]]
    assert world.calls == 3


async def test_what_was_another_account_or_is_forgotten_stands_for_nothing(world: World) -> None:
    own = asking("price", connection="main")
    await world.designer.publish({"workflow": "own", "steps": [own]})
    for status in ("SUCCESS", "CACHED"):
        assert step(await world.ran("own", of="own"), "ask")["status"] == status
    await world.rotate("second-key-of-the-shop")
    for status in ("SUCCESS", "CACHED"):
        assert step(await world.ran("own", of="own"), "ask")["status"] == status
    listed = (await world.designer.do("{ cachedResults { action results } }"))["cachedResults"]
    assert {one["action"]: one["results"] for one in listed}["shop/price"] >= 2
    assert (await world.designer.do(FORGET, action="shop/price"))["forgetCachedResults"]["results"] >= 2
    assert "shop/price" not in str(await world.designer.do("{ cachedResults { action } }"))
    assert step(await world.ran("own", of="own"), "ask")["status"] == "SUCCESS"
    refused = (await world.designer.do(FORGET, action="shop/nothing"))["forgetCachedResults"]
    assert refused["code"] == "NOT_FOUND"


async def test_a_run_that_has_the_credential_of_before_keeps_nothing_for_those_after(world: World) -> None:
    own = asking("price", connection="main")
    first = {"key": "first", "action": "shop/stock"}
    late = {"workflow": "late", "steps": [first, own], "edges": [{"from": "first", "to": "ask"}]}
    await world.designer.publish(late)
    await world.designer.publish({"workflow": "after", "steps": [own]})
    world.target.hold("/stock")
    run = await world.designer.start("late", of="late")
    await world.target.called("/stock")
    await world.rotate("third-key-of-the-shop")
    world.target.release("/stock")
    assert (await world.designer.ended(run))["status"] == "SUCCESS"
    assert step(await world.ran("after", of="late"), "ask")["status"] == "SUCCESS"
    keys = [call.headers["x-key"] for call in world.target.of("/price")]
    assert keys == ["second-key-of-the-shop", "third-key-of-the-shop"]


async def test_a_sensitive_part_keeps_a_result_to_its_run(world: World) -> None:
    async def echo(call: Call) -> web.StreamResponse:
        return web.json_response({"echo": call.query.get("of")})

    world.target.answers["/stock"] = echo
    secret = {"type": "object", "properties": {"of": {"type": "string", "x-sensitive": True}}}
    await world.designer.publish({"workflow": "hidden", "parameters": secret, "steps": [asking("stock")]})
    for _ in range(2):
        run = await world.ran("hidden", of="a-canary-of-some-length")
        assert step(run, "ask")["status"] == "SUCCESS"
    assert (world.calls, "canary" in json.dumps(run)) == (2, False)
