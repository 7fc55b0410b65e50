"""Connections and secrets: what goes in never comes out, and a test call tells its outcome alone."""

import asyncio
from typing import Any

import pytest
from headrace.ids import new_id
from headrace.postgres.pool import Pool
from headrace_control.auth.roles import Role

from tests.integration.control_plane.conftest import Client
from tests.integration.control_plane.designs import (
    CREATE_CONNECTION,
    DELETE_CONNECTION,
    DELETE_SECRET,
    ROTATE,
    SET_SECRET,
    TEST_CONNECTION,
    UPDATE_CONNECTION,
    create_app,
    create_connection,
)
from tests.target import Target

CANARY = "canary-5f2a9c"
CUSTOM = {"kind": "CUSTOM_HEADER", "headers": ["X-One", "X-Two"]}
EVERYTHING = """
{ connections { items { name baseUrl config secretFields tokenVersion tokenError app { name } } }
  secrets { items { id name } } }
"""


async def test_secrets_are_write_only_and_sealed(admin: Client, owner: Pool) -> None:
    await create_app(admin)
    made = await create_connection(admin)
    assert made["secretFields"] == ["apiKey"]
    await admin(SET_SECRET, name="pin", value=CANARY)
    shown = await admin.post(EVERYTHING)
    assert shown.json()["data"]["secrets"]["items"][0]["name"] == "pin"
    assert CANARY not in shown.text
    for table in ("connections", "connection_secrets", "secrets", "data_keys"):
        for row in await owner.fetch(f"SELECT t::text AS everything FROM {table} t"):
            assert CANARY not in row["everything"]
            assert CANARY.encode().hex() not in row["everything"]


@pytest.mark.parametrize(
    ("auth", "config", "secrets", "paths"),
    [
        ({"kind": "BASIC"}, {}, {}, {"config.username", "secrets.password"}),
        ({"kind": "BASIC"}, {"username": "a:b"}, {"password": "x"}, {"config.username"}),
        ({"kind": "BASIC"}, {"username": "a", "password": CANARY}, {"password": "x"}, {"config.password"}),
        ({"kind": "API_KEY"}, {}, {"apiKey": f"{CANARY}\r\nX: y"}, {"secrets.apiKey"}),
        ({"kind": "API_KEY"}, {}, {"apiKey": {"value": CANARY}}, {"secrets.apiKey"}),
        ({"kind": "API_KEY"}, {}, CANARY, {"secrets"}),
        (CUSTOM, {}, {"X-One": "1", "X-Three": CANARY}, {"secrets.X-Two", "secrets.X-Three"}),
        ({"kind": "NONE"}, {}, {"apiKey": CANARY}, {"secrets.apiKey"}),
        (
            {"kind": "OAUTH2", "tokenUrl": "https://id.example/t", "grant": "refresh_token"},
            {"scopes": [1]},
            {},
            {"config.clientId", "config.scopes[0]", "secrets.clientSecret", "secrets.refreshToken"},
        ),
    ],
)
async def test_every_problem_of_a_connection_comes_at_once_and_unquoted(
    admin: Client, auth: Any, config: Any, secrets: Any, paths: set[str]
) -> None:
    await create_app(admin, auth=auth)
    given = {"app": "shop", "name": "shop-main", "config": config, "secrets": secrets}
    response = await admin.post(CREATE_CONNECTION, input=given)
    answer = response.json()["data"]["createConnection"]
    found = {problem["path"].replace('["', ".").replace('"]', "") for problem in answer["problems"]}
    assert found == paths
    assert CANARY not in response.text


@pytest.mark.parametrize("config", [[], {"username": "a"}])
async def test_a_config_that_has_no_keys_is_to_be_left_out(admin: Client, config: Any) -> None:
    await create_app(admin)
    (problem,) = (await create_connection(admin, config=config))["problems"]
    assert problem["mend"] == "Leave it out."


async def test_connections_are_the_tenants_own(admin: Client, stranger: Client) -> None:
    await create_app(admin)
    await create_connection(admin)
    assert (await create_connection(admin))["code"] == "CONFLICT"
    assert (await create_connection(stranger))["message"] == "app not found"
    await create_app(stranger)
    await create_connection(stranger)
    assert (await stranger(DELETE_CONNECTION, name="shop-main"))["deleteConnection"]["name"] == "shop-main"
    for name in ("shop-main", "never-was"):
        for operation, given in (
            (ROTATE, {"secrets": {"apiKey": "new"}}),
            (UPDATE_CONNECTION, {"input": {"baseUrl": "https://x.example"}}),
            (DELETE_CONNECTION, {}),
            (TEST_CONNECTION, {"method": "GET", "path": ""}),
        ):
            (answer,) = (await stranger(operation, name=name, **given)).values()
            assert (answer["code"], answer["message"]) == ("NOT_FOUND", "connection not found")
    assert (await admin('{ connection(name: "shop-main") { name } }'))["connection"] is not None


async def test_a_base_url_is_set_and_taken_back(admin: Client) -> None:
    await create_app(admin)
    await create_connection(admin)
    for change, after in (
        ({"baseUrl": "https://eu.shop.example"}, "https://eu.shop.example"),
        ({"config": {}}, "https://eu.shop.example"),
        ({"baseUrl": None}, None),
    ):
        answer = (await admin(UPDATE_CONNECTION, name="shop-main", input=change))["updateConnection"]
        assert answer["baseUrl"] == after


async def test_only_admins_manage_connections_and_secrets(admin: Client) -> None:
    await create_app(admin)
    await create_connection(admin)
    for role in (Role.DESIGNER, Role.OPERATOR, Role.APPROVER, Role.VIEWER):
        client = await admin.with_role(role)
        assert (await create_connection(client, "other"))["code"] == "FORBIDDEN"
        rotated = await client(ROTATE, name="shop-main", secrets={"apiKey": "new"})
        assert rotated["rotateConnectionSecret"]["code"] == "FORBIDDEN"
        assert (await client(SET_SECRET, name="pin", value="x"))["setSecret"]["code"] == "FORBIDDEN"
        assert (await client('{ connection(name: "shop-main") { name } }'))["connection"][
            "name"
        ] == "shop-main"


async def test_what_a_published_version_uses_is_not_deleted(admin: Client, owner: Pool) -> None:
    await create_app(admin)
    connection = await create_connection(admin)
    await admin(SET_SECRET, name="pin", value=CANARY)
    tenant_id = await owner.fetchval("SELECT id FROM tenants WHERE name = 'acme'")
    workflow_id = new_id()
    await owner.execute(
        "INSERT INTO workflows (tenant_id, id, name) VALUES ($1, $2, 'refund')", tenant_id, workflow_id
    )
    await owner.execute(
        "INSERT INTO workflow_versions (tenant_id, id, workflow_id, version, status, document, resolved, digest,"
        " published_at) VALUES ($1, $2, $3, 1, 'PUBLISHED', '{}', $4, 'd', now())",
        tenant_id,
        new_id(),
        workflow_id,
        {
            "connections": {"shop-main": connection["id"]},
            "document": {"env": {"PIN": {"secret": "pin"}, "REGION": "pin"}},
        },
    )
    refused = (await admin(DELETE_CONNECTION, name="shop-main"))["deleteConnection"]
    assert refused["code"] == "CONFLICT"
    assert "refund 1" in refused["message"]
    assert (await admin(DELETE_SECRET, name="pin"))["deleteSecret"]["code"] == "CONFLICT"
    await owner.execute("UPDATE workflow_versions SET status = 'DEPRECATED'")
    assert (await admin(DELETE_CONNECTION, name="shop-main"))["deleteConnection"]["name"] == "shop-main"
    assert (await admin(DELETE_SECRET, name="pin"))["deleteSecret"]["name"] == "pin"


async def test_a_connection_test_makes_a_real_call_and_tells_no_content(admin: Client) -> None:
    async with Target() as target:
        target.on("/v1/orders", body={"echo": CANARY})
        target.on("/v1/closed", status=403, body={"echo": CANARY})
        await create_app(admin, baseUrl=f"{target.url}/v1")
        await create_connection(admin)
        well = await admin.post(TEST_CONNECTION, name="shop-main", method="GET", path="/orders?full=true")
        answer = well.json()["data"]["testConnection"]
        assert (answer["ok"], answer["status"], answer["address"]) == (True, 200, "127.0.0.1")
        assert target.of("/v1/orders")[0].headers["x-api-key"] == CANARY
        ill = await admin.post(TEST_CONNECTION, name="shop-main", method="HEAD", path="/closed")
        answer = ill.json()["data"]["testConnection"]
        assert (answer["ok"], answer["status"], answer["errorCode"]) == (False, 403, "HTTP_403")
        assert CANARY not in well.text + ill.text
        await admin(ROTATE, name="shop-main", secrets={"apiKey": "rotated-canary"})
        await admin(TEST_CONNECTION, name="shop-main", method="GET", path="/orders")
        assert target.of("/v1/orders")[1].headers["x-api-key"] == "rotated-canary"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("FETCH", ""),
        ("DELETE", "/orders/17"),
        ("POST", ""),
        ("GET", "https://evil.example/"),
        ("GET", "//evil.example"),
        ("GET", "/a/../b"),
        ("GET", "/x#y"),
    ],
)
async def test_a_connection_test_stays_on_its_base_url_and_changes_nothing(
    admin: Client, method: str, path: str
) -> None:
    await create_app(admin)
    await create_connection(admin)
    answer = (await admin(TEST_CONNECTION, name="shop-main", method=method, path=path))["testConnection"]
    assert answer["code"] == "INVALID_INPUT"


async def test_no_connection_of_an_app_that_is_never_called_is_tested(admin: Client) -> None:
    async with Target() as target:
        target.on("/v1/orders")
        await create_app(admin, baseUrl=f"{target.url}/v1")
        await create_connection(admin)
        await admin(
            'mutation { setPolicyRule(app: "shop", approvalClass: C, reason: "frozen") { __typename } }'
        )
        answer = (await admin(TEST_CONNECTION, name="shop-main", method="GET", path="/orders"))[
            "testConnection"
        ]
        assert answer["code"] == "CONFLICT"
        assert target.of("/v1/orders") == []


async def test_a_connection_test_goes_where_the_egress_policy_lets_it(admin: Client) -> None:
    await create_app(admin, baseUrl="http://169.254.169.254/latest")
    await create_connection(admin)
    answer = (await admin(TEST_CONNECTION, name="shop-main", method="GET", path=""))["testConnection"]
    assert (answer["ok"], answer["errorCode"], answer["address"]) == (False, "EGRESS_DENIED", None)


async def test_limits_of_a_connection_stand_instead_of_its_apps(admin: Client) -> None:
    shown = '{ connection(name: "shop-main") { limits breaker openUntil app { limits } } }'
    await create_app(admin, limits={"requestsPerSecond": 2.5})
    await create_connection(admin, limits={"requestsPerSecond": 10, "burst": 3})
    assert (await admin(shown))["connection"] == {
        "limits": {"requestsPerSecond": 10.0, "burst": 3},
        "breaker": "CLOSED",
        "openUntil": None,
        "app": {"limits": {"requestsPerSecond": 2.5, "burst": 3}},
    }
    await admin(UPDATE_CONNECTION, name="shop-main", input={"config": {}})
    assert (await admin(shown))["connection"]["limits"] is not None
    await admin(UPDATE_CONNECTION, name="shop-main", input={"limits": None})
    assert (await admin(shown))["connection"]["limits"] is None
    for wrong in ({"requestsPerSecond": 0}, {"requestsPerSecond": True}, {"burst": 1}):
        refused = await create_connection(admin, "other", limits=wrong)
        assert [p["path"] for p in refused["problems"]] == ["limits.requestsPerSecond"]


async def test_what_is_known_of_a_connections_target_is_shown_and_goes_with_it(
    admin: Client, owner: Pool
) -> None:
    await create_app(admin)
    await create_connection(admin)
    await owner.execute(
        """INSERT INTO throttles (tenant_id, connection_id, open_until)
           SELECT tenant_id, id, now() + interval '1 hour' FROM connections"""
    )
    shown = '{ connection(name: "shop-main") { breaker openUntil } }'
    found = (await admin(shown))["connection"]
    assert found["breaker"] == "OPEN"
    assert found["openUntil"] is not None
    await owner.execute("UPDATE throttles SET open_until = now()")
    assert (await admin(shown))["connection"]["breaker"] == "HALF_OPEN"
    assert (await admin(DELETE_CONNECTION, name="shop-main"))["deleteConnection"]["name"] == "shop-main"
    assert await owner.fetchval("SELECT count(*) FROM throttles") == 0


async def test_a_secret_that_is_set_by_many_at_once_is_set_by_each(admin: Client) -> None:
    answers = await asyncio.gather(
        *(admin(SET_SECRET, name="pin", value=f"{CANARY}-{number}") for number in range(8))
    )
    assert {answer["setSecret"].get("name") for answer in answers} == {"pin"}, answers
