"""Whole numbers that no reader of ours can hold are refused with their place, never rounded."""

import itertools
import json
from typing import Any

from tests.integration.control_plane.conftest import Client

FAILED = "__typename ... on Failure { code message } ... on InvalidInput { problems { path message mend } }"
APP = 'mutation { createApp(input: {name: "shop", baseUrl: "https://shop", auth: {kind: "NONE"}}) { __typename } }'
NUMBERS = [2**63, 2**64, -(2**64) - 1, 10**300]

# What takes JSON, with the number within, and the place that is told.
TAKERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a run's input": (
        'mutation ($v: JSON) { done: startRun(workflow: "w", input: $v) { %s } }',
        "input.deep[1].n",
        {"deep": [0, {"n": "NUMBER"}]},
    ),
    "a workflow": (
        "mutation ($v: JSON!) { done: publishWorkflow(document: $v) { %s } }",
        "steps[0].input.n",
        {"workflow": "w", "steps": [{"key": "a", "type": "transform", "input": {"n": "NUMBER"}}]},
    ),
    "an action": (
        'mutation ($v: JSON!) { done: saveAction(app: "shop", name: "get", definition: $v) { %s } }',
        "timeoutMs",
        {"method": "GET", "endpointTemplate": "/", "timeoutMs": "NUMBER"},
    ),
    "an app's auth": (
        'mutation ($v: JSON!) { done: createApp(input: {name: "b", baseUrl: "https://b", auth: $v}) { %s } }',
        "auth",
        {"kind": "API_KEY", "in": "header", "name": "NUMBER"},
    ),
    "a connection's config": (
        'mutation ($v: JSON!) { done: createConnection(input: {app: "shop", name: "c", config: $v}) { %s } }',
        "config",
        {"n": "NUMBER"},
    ),
    "a connection's secrets": (
        'mutation ($v: JSON!) { done: createConnection(input: {app: "shop", name: "c", secrets: $v}) { %s } }',
        "secrets",
        {"n": "NUMBER"},
    ),
}


async def answer(admin: Client, query: str, variables: str) -> Any:
    body = f'{{"query": {json.dumps(query)}, "variables": {variables}}}'
    headers = {"authorization": f"Bearer {admin.key}", "content-type": "application/json"}
    return (await admin.http.post("/graphql", content=body, headers=headers)).json()


async def test_a_number_beyond_64_bits_is_refused_by_its_place(admin: Client) -> None:
    await admin(APP)
    for (taker, (query, place, value)), number in itertools.product(TAKERS.items(), NUMBERS):
        variables = json.dumps({"v": value}).replace('"NUMBER"', str(number))
        done = (await answer(admin, query % FAILED, variables))["data"]["done"]
        assert done["code"] == "INVALID_INPUT", (taker, done)
        assert any(p["path"].startswith(place) and p["mend"] for p in done["problems"]), (taker, done)


async def test_a_number_within_64_bits_is_kept_as_it_was_written(admin: Client) -> None:
    document = {"workflow": "w", "steps": [{"key": "a", "type": "transform", "input": {"n": "NUMBER"}}]}
    number = 2**63 - 1
    variables = json.dumps({"v": document}).replace('"NUMBER"', str(number))
    shown = "... on PublishedVersion { version { document } }"
    query = f"mutation ($v: JSON!) {{ done: publishWorkflow(document: $v) {{ {shown} }} }}"
    done = (await answer(admin, query, variables))["data"]["done"]
    assert done["version"]["document"]["steps"][0]["input"]["n"] == number


async def test_one_that_stands_in_the_query_is_refused_too(admin: Client) -> None:
    for digits in (*map(str, NUMBERS), "1" + "0" * 5000):
        query = f'mutation {{ done: startRun(workflow: "w", input: {{n: {digits}}}) {{ {FAILED} }} }}'
        got = await answer(admin, query, "{}")
        code = got["data"]["done"]["code"] if got.get("data") else got["errors"][0]["extensions"]["code"]
        assert code in ("INVALID_INPUT", "BAD_QUERY"), got


async def test_one_that_not_even_a_double_can_hold_is_refused(admin: Client) -> None:
    got = await answer(admin, "query ($v: JSON) { tenant { name } }", '{"v": 1' + "0" * 5000 + "}")
    assert got["errors"][0]["extensions"]["code"] == "BAD_QUERY"
