"""Tenants and API keys: shown once, kept as hashes, ended at once."""

import asyncio
from typing import Any

import httpx
import pytest
from headrace.errors import Conflict
from headrace.postgres.pool import Pool
from headrace_control.auth.roles import Role
from headrace_control.tenants.service import bootstrap

from tests.integration.control_plane.conftest import Client

KEYS = """
query($first: Int!, $after: String) {
  apiKeys(first: $first, after: $after) {
    items { id name prefix role revokedAt } pageInfo { hasNextPage endCursor }
  }
}
"""
TENANTS = """
query($first: Int!, $after: String) {
  tenants(first: $first, after: $after) {
    items { id name platform maxRunsInFlight createdAt } pageInfo { hasNextPage endCursor }
  }
}
"""
CREATE_TENANT = """
mutation($name: String!) { createTenant(name: $name) { __typename ... on Failure { code message } } }
"""


async def test_only_one_bootstrap_of_many_at_once_makes_the_platform_tenant(owner: Pool) -> None:
    outcomes = await asyncio.gather(*(bootstrap(owner, "platform") for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 4
    with pytest.raises(Conflict):
        await bootstrap(owner, "again")
    again = await bootstrap(owner, "again", new_key=True)
    assert again.tenant.name == "platform"


async def test_a_key_is_kept_as_a_hash_only(owner: Pool, platform: Client) -> None:
    rows = await owner.fetch("SELECT api_keys::text AS everything FROM api_keys")
    assert rows
    secret = platform.key.rpartition("_")[2] if platform.key.count("_") == 2 else platform.key[12:]
    assert all(platform.key not in row["everything"] and secret not in row["everything"] for row in rows)


async def test_no_key_a_wrong_key_and_a_revoked_key_get_the_same_answer(
    http: httpx.AsyncClient, admin: Client
) -> None:
    viewer = await admin.with_role(Role.VIEWER)
    assert (await viewer("{ tenant { name } }"))["tenant"]["name"] == "acme"
    keys = (await admin(KEYS, first=10))["apiKeys"]["items"]
    key_id = next(key["id"] for key in keys if key["role"] == "VIEWER")
    await admin("mutation($id: ID!) { revokeApiKey(id: $id) { ... on ApiKey { revokedAt } } }", id=key_id)

    answers = [
        await http.post("/graphql", json={"query": "{ tenant { name } }"}),
        await Client(http, "hr_00000000_" + "x" * 43).post("{ tenant { name } }"),
        await viewer.post("{ tenant { name } }"),
    ]
    assert {answer.status_code for answer in answers} == {401}
    errors = [answer.json()["errors"][0] for answer in answers]
    assert len({error["message"] for error in errors}) == 1
    assert {error["extensions"]["code"] for error in errors} == {"UNAUTHENTICATED"}


async def test_only_platform_admins_create_tenants(platform: Client, admin: Client) -> None:
    assert (await admin(CREATE_TENANT, name="other"))["createTenant"]["code"] == "FORBIDDEN"
    assert (await platform(CREATE_TENANT, name="acme"))["createTenant"]["code"] == "CONFLICT"
    assert (await platform(CREATE_TENANT, name="No Name"))["createTenant"]["code"] == "INVALID_INPUT"


async def test_keys_are_paged_newest_first_and_stay_within_the_tenant(
    admin: Client, stranger: Client
) -> None:
    for _ in range(4):
        await admin.with_role(Role.OPERATOR)
    seen, after = [], None
    while True:
        found = (await admin(KEYS, first=2, after=after))["apiKeys"]
        seen += [key["id"] for key in found["items"]]
        after = found["pageInfo"]["endCursor"]
        if not found["pageInfo"]["hasNextPage"]:
            break
    assert len(seen) == len(set(seen)) == 5
    assert seen == sorted(seen, reverse=True)
    others = {key["id"] for key in (await stranger(KEYS, first=200))["apiKeys"]["items"]}
    assert others.isdisjoint(seen)
    gone = await stranger(
        "mutation($id: ID!) { revokeApiKey(id: $id) { ... on Failure { code message } } }", id=seen[0]
    )
    assert gone["revokeApiKey"] == {"code": "NOT_FOUND", "message": "API key not found"}


@pytest.mark.parametrize(
    ("first", "after"), [(0, None), (201, None), (10, "nonsense"), (10, "WyJydW5zIiwiMSJd")]
)
async def test_a_page_out_of_bounds_or_a_foreign_cursor_is_refused(
    admin: Client, first: int, after: str | None
) -> None:
    assert (await admin.error(KEYS, first=first, after=after))["extensions"]["code"] == "INVALID_INPUT"


async def listed(client: Client, first: int) -> list[Any]:
    """Every tenant, read page by page."""
    items, after = [], None
    while True:
        found = (await client(TENANTS, first=first, after=after))["tenants"]
        assert 0 < len(found["items"]) <= first
        items += found["items"]
        after = found["pageInfo"]["endCursor"]
        if not found["pageInfo"]["hasNextPage"]:
            return items


async def test_the_platform_lists_the_tenants_by_name_whatever_the_page(
    platform: Client, admin: Client, stranger: Client
) -> None:
    for name in ("zebra", "beta", "yak"):
        assert (await platform(CREATE_TENANT, name=name))["createTenant"]["__typename"] == "NewTenant"
    tenants = await listed(platform, 200)
    assert [tenant["name"] for tenant in tenants] == ["acme", "beta", "platform", "stranger", "yak", "zebra"]
    assert [tenant["name"] for tenant in tenants if tenant["platform"]] == ["platform"]
    assert tenants[0] == (await admin("{ tenant { id name platform maxRunsInFlight createdAt } }"))["tenant"]
    for first in (1, 2, 3, 6):
        assert await listed(platform, first) == tenants

    # A tenant that is made meanwhile takes no other one's place.
    page = (await platform(TENANTS, first=2, after=None))["tenants"]
    await platform(CREATE_TENANT, name="aardvark")
    rest = (await platform(TENANTS, first=200, after=page["pageInfo"]["endCursor"]))["tenants"]
    assert page["items"] + rest["items"] == tenants


async def test_only_the_platforms_admins_list_tenants(platform: Client, admin: Client) -> None:
    for role in set(Role) - {Role.ADMIN}:
        others = await platform.with_role(role)
        assert (await others.error(TENANTS, first=10))["extensions"]["code"] == "FORBIDDEN", role
    refused = await admin.error(TENANTS, first=10)
    assert refused["extensions"]["code"] == "FORBIDDEN"
    assert "platform" not in str(refused)


@pytest.mark.parametrize(
    ("first", "after"), [(0, None), (201, None), (10, "nonsense"), (10, "WyJydW5zIiwiMSJd")]
)
async def test_a_page_of_tenants_out_of_bounds_or_a_foreign_cursor_is_refused(
    platform: Client, first: int, after: str | None
) -> None:
    assert (await platform.error(TENANTS, first=first, after=after))["extensions"]["code"] == "INVALID_INPUT"
