"""Queries that are listed: run by their hash, and alone where it is set so."""

import hashlib
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from fixtures_edge import Edge, Keyed
from headrace.errors import InvalidInput
from headrace_control.graphql.persisted import read_documents
from headrace_control.graphql.schema import create_schema
from headrace_control.web.policy import HttpPolicy

from tests.security.public_face import NAME, ask, code, face, opened_socket

pytestmark = pytest.mark.asyncio(loop_scope="module")


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def by_hash(digest: Any, **more: Any) -> dict[str, Any]:
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": digest}}, **more}


async def test_a_listed_query_is_run_by_its_hash_and_nobody_adds_one(edge: Edge) -> None:
    other = "{ __typename }"
    async with face(edge, HttpPolicy(documents={sha256(NAME): NAME})) as http:
        headers = {"authorization": f"Bearer {edge.admin.key}"}

        async def post(body: Any) -> httpx.Response:
            return await http.post("/graphql", json=body, headers=headers)

        assert (await post(by_hash(sha256(NAME)))).json()["data"] == {"tenant": {"name": "acme"}}
        assert code(await post(by_hash(sha256(other)))) == "PERSISTED_QUERY_NOT_FOUND"
        assert (await post(by_hash(sha256(other), query=other))).json()["data"] == {"__typename": "Query"}
        assert code(await post(by_hash(sha256(other)))) == "PERSISTED_QUERY_NOT_FOUND"
        assert code(await post(by_hash(sha256(NAME), query=other))) == "INVALID_INPUT"
        for digest in (None, 1, {}, [], "", sha256(NAME).upper()):
            assert "data" not in (await post(by_hash(digest))).json()


async def test_only_listed_queries_run_where_it_is_set_so(edge: Edge) -> None:
    policy = HttpPolicy(documents={sha256(NAME): NAME}, documents_only=True)
    async with face(edge, policy) as http:
        admin = Keyed(http, edge.admin.key)
        assert (await admin(NAME))["tenant"]["name"] == "acme"
        for query in (NAME + " ", "{ __typename }", "query " + NAME):
            answer = await admin.post(query)
            assert (answer.status_code, code(answer)) == (403, "QUERY_NOT_LISTED")
    async with opened_socket(edge, edge.admin, policy) as ws:
        assert (await ask(ws, "{ __typename }"))["payload"][0]["extensions"]["code"] == "QUERY_NOT_LISTED"
        assert (await ask(ws, NAME))["payload"]["data"] == {"tenant": {"name": "acme"}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"a": 1}',
        '{"a": "{ tenant { name } }"}',
        orjson.dumps({sha256("{ nonsense }"): "{ nonsense }"}).decode(),
        orjson.dumps({sha256("{"): "{"}).decode(),
        orjson.dumps({sha256("{" * 3_000): "{" * 3_000}).decode(),
    ],
)
async def test_a_list_that_is_wrong_is_refused_at_the_start(tmp_path: Path, text: str) -> None:
    schema = create_schema().core
    path = tmp_path / "queries.json"
    with pytest.raises(InvalidInput):
        read_documents(path, schema)
    path.write_text(text)
    with pytest.raises(InvalidInput):
        read_documents(path, schema)
    path.write_bytes(orjson.dumps({sha256(NAME): NAME}))
    assert read_documents(path, schema) == {sha256(NAME): NAME}
