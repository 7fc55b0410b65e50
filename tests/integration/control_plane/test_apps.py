"""Apps and actions: checked as a whole, by tenant, revisions for ever."""

import asyncio
from typing import Any

import asyncpg
import pytest
from headrace.postgres.pool import Pool
from headrace_control.auth.roles import Role

from tests.integration.control_plane.conftest import Client
from tests.integration.control_plane.designs import (
    ACTION,
    API_KEY,
    DELETE_APP,
    SET_SECRET_FOR,
    UPDATE_APP,
    create_app,
    create_connection,
    save_action,
)

OAUTH2 = {"kind": "OAUTH2", "tokenUrl": "https://id.example/token"}
APPS = """
query($first: Int!, $after: String) {
  apps(first: $first, after: $after) { items { name } pageInfo { hasNextPage endCursor } }
}
"""
ACTIONS = "{ actions { items { name app { name baseUrl } latest { revision } } } }"
_WAITING = """SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND datname = current_database()"""
REVISIONS = """
query($first: Int!, $after: String) {
  actionRevisions(app: "shop", name: "get-order", first: $first, after: $after) {
    items { revision definition } pageInfo { hasNextPage endCursor }
  }
}
"""


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"kind": "NONE"}, {"kind": "NONE"}),
        ({"kind": "BASIC"}, {"kind": "BASIC"}),
        ({"kind": "API_KEY"}, {"kind": "API_KEY", "in": "header", "name": "X-Api-Key", "prefix": ""}),
        ({"kind": "CUSTOM_HEADER", "headers": ["X-A"]}, {"kind": "CUSTOM_HEADER", "headers": ["X-A"]}),
        (
            {
                **OAUTH2,
                "grant": "refresh_token",
                "scopes": ["a"],
                "clientAuth": "post",
                "extra": {"audience": "x"},
            },
            {
                **OAUTH2,
                "grant": "REFRESH_TOKEN",
                "scopes": ["a"],
                "clientAuth": "POST",
                "extra": {"audience": "x"},
            },
        ),
    ],
)
async def test_every_kind_of_auth_is_read_and_shown(admin: Client, given: Any, stored: Any) -> None:
    assert (await create_app(admin, auth=given))["auth"] == stored


async def test_every_problem_of_an_app_comes_at_once(admin: Client) -> None:
    answer = await create_app(
        admin,
        name="My Shop",
        baseUrl="ftp://user@shop.example/?x=1",
        auth={"kind": "OAUTH2", "grant": "PASSWORD", "headers": [], "colour": "red"},
    )
    assert answer["code"] == "INVALID_INPUT"
    assert {problem["path"] for problem in answer["problems"]} == {
        "name",
        "baseUrl",
        "auth.tokenUrl",
        "auth.grant",
        "auth.headers",
        "auth.colour",
    }
    assert all(problem["mend"] for problem in answer["problems"])


@pytest.mark.parametrize(
    "url",
    ["https://u:p@a.example", "https://a.example?x=1", "https://a.example#x", "/orders", "https://", "x\0y"],
)
async def test_a_base_url_is_only_a_base(admin: Client, url: str) -> None:
    response = await admin.post(
        "mutation($input: AppInput!) { createApp(input: $input) { ... on Failure { code } } }",
        input={"name": "shop", "baseUrl": url, "auth": API_KEY},
    )
    assert "INVALID_INPUT" in response.text or "BAD_QUERY" in response.text


async def test_apps_are_the_tenants_own(admin: Client, stranger: Client) -> None:
    await create_app(admin)
    assert (await create_app(admin))["code"] == "CONFLICT"
    assert (await create_app(stranger))["name"] == "shop"
    assert (await stranger(DELETE_APP, name="shop"))["deleteApp"]["name"] == "shop"
    assert (await stranger('{ app(name: "shop") { id } }'))["app"] is None
    for missing in ("shop", "never-was"):
        answer = (await stranger(UPDATE_APP, name=missing, input={"title": "x"}))["updateApp"]
        assert (answer["code"], answer["message"]) == ("NOT_FOUND", "app not found")
    assert (await admin('{ app(name: "shop") { name } }'))["app"] == {"name": "shop"}


async def test_an_app_in_use_stays_and_keeps_its_kind(admin: Client) -> None:
    await create_app(admin)
    await create_connection(admin)
    assert (await admin(DELETE_APP, name="shop"))["deleteApp"]["code"] == "CONFLICT"
    changed = await admin(UPDATE_APP, name="shop", input={"auth": {"kind": "NONE"}})
    assert changed["updateApp"]["code"] == "CONFLICT"


async def test_a_designer_can_not_move_where_secrets_are_sent(admin: Client) -> None:
    await create_app(admin)
    await create_app(admin, "ledger", auth=OAUTH2)
    await create_connection(admin)
    await create_connection(
        admin, "ledger-main", "ledger", config={"clientId": "c"}, secrets={"clientSecret": "canary"}
    )
    partner, login = "https://hooks.partner.example", "https://login.partner.example"
    await create_app(admin, "swapped", baseUrl=partner, auth={**OAUTH2, "tokenUrl": f"{login}/token"})
    await create_connection(
        admin, "swapped-main", "swapped", config={"clientId": "c"}, secrets={"clientSecret": "s"}
    )
    designer = await admin.with_role(Role.DESIGNER)
    for name, change in (
        ("shop", {"baseUrl": "https://elsewhere.example"}),
        ("ledger", {"auth": {**OAUTH2, "tokenUrl": "https://elsewhere.example/token"}}),
        # The client secret would go where access tokens did.
        ("swapped", {"baseUrl": login, "auth": {**OAUTH2, "tokenUrl": f"{partner}/collect"}}),
    ):
        assert (await designer(UPDATE_APP, name=name, input=change))["updateApp"]["code"] == "FORBIDDEN"
        assert "code" not in (await admin(UPDATE_APP, name=name, input=change))["updateApp"]
    assert (await designer(UPDATE_APP, name="shop", input={"title": "Shop"}))["updateApp"]["title"] == "Shop"


async def test_an_app_that_secrets_name_stays_where_it_is(admin: Client) -> None:
    """Whoever says which apps a secret may be sent to says where they are."""
    await create_app(admin)
    narrowed = await admin(SET_SECRET_FOR, name="token", value="a long value", apps=["shop", "gone", "shop"])
    assert [(p["path"], p["code"]) for p in narrowed["setSecret"]["problems"]] == [("apps[1]", "UNKNOWN_APP")]
    assert (await admin(SET_SECRET_FOR, name="token", value="v", apps=[]))["setSecret"][
        "code"
    ] == "INVALID_INPUT"
    narrowed = await admin(SET_SECRET_FOR, name="token", value="a long value", apps=["shop"])
    assert narrowed["setSecret"]["apps"] == ["shop"]
    assert (await admin("{ secrets { items { name apps } } }"))["secrets"]["items"] == [
        {"name": "token", "apps": ["shop"]}
    ]
    designer, moved = await admin.with_role(Role.DESIGNER), {"baseUrl": "https://elsewhere.example"}
    assert (await designer(UPDATE_APP, name="shop", input=moved))["updateApp"]["code"] == "FORBIDDEN"
    assert (await designer(DELETE_APP, name="shop"))["deleteApp"]["code"] == "CONFLICT"
    assert (await designer(UPDATE_APP, name="shop", input={"title": "Shop"}))["updateApp"]["title"] == "Shop"
    await admin(SET_SECRET_FOR, name="token", value="a long value", apps=None)
    assert "code" not in (await designer(UPDATE_APP, name="shop", input=moved))["updateApp"]
    assert (await designer(DELETE_APP, name="shop"))["deleteApp"]["name"] == "shop"


async def test_an_app_has_a_retry_policy_for_its_actions(admin: Client) -> None:
    written = {"strategy": "FIXED", "maxAttempts": 4, "on": ["RATE_LIMITED"]}
    whole = {**written, "initialDelayMs": 200, "maxDelayMs": 10_000}
    assert (await create_app(admin, retry=written))["retry"] == whole
    changed = (await admin(UPDATE_APP, name="shop", input={"title": "Shop"}))["updateApp"]
    assert changed["retry"] == whole
    changed = (await admin(UPDATE_APP, name="shop", input={"retry": None}))["updateApp"]
    assert changed["retry"] is None
    refused = (await admin(UPDATE_APP, name="shop", input={"retry": {"strategy": "SOON"}}))["updateApp"]
    assert [p["path"] for p in refused["problems"]] == ["retry.strategy"]


async def test_apps_are_paged_by_name_while_others_arrive(admin: Client) -> None:
    for name in ("b", "d", "f", "h"):
        await create_app(admin, name)
    first = (await admin(APPS, first=2))["apps"]
    await create_app(admin, "a")
    await create_app(admin, "e")
    second = (await admin(APPS, first=2, after=first["pageInfo"]["endCursor"]))["apps"]
    third = (await admin(APPS, first=2, after=second["pageInfo"]["endCursor"]))["apps"]
    assert [[app["name"] for app in each["items"]] for each in (first, second, third)] == [
        ["b", "d"],
        ["e", "f"],
        ["h"],
    ]
    assert [each["pageInfo"]["hasNextPage"] for each in (first, second, third)] == [True, True, False]


async def test_saving_the_same_again_answers_the_same_revision(admin: Client) -> None:
    await create_app(admin)
    first = await save_action(admin, ACTION)
    again = await save_action(admin, {**ACTION, "timeoutMs": 30_000, "name": "get-order"})
    other = await save_action(admin, {**ACTION, "timeoutMs": 5_000})
    assert (first["created"], again["created"], other["created"]) == (True, False, True)
    assert again["action"]["latest"]["id"] == first["action"]["latest"]["id"]
    assert other["action"]["latest"]["revision"] == 2


async def test_saves_at_once_number_revisions_without_gap_or_double(admin: Client) -> None:
    await create_app(admin)
    saved = await asyncio.gather(
        *(save_action(admin, {**ACTION, "timeoutMs": 1_000 + number}) for number in range(8))
    )
    assert all(one["created"] for one in saved)
    page = (await admin(REVISIONS, first=5))["actionRevisions"]
    rest = (await admin(REVISIONS, first=5, after=page["pageInfo"]["endCursor"]))["actionRevisions"]
    assert [one["revision"] for one in page["items"] + rest["items"]] == [8, 7, 6, 5, 4, 3, 2, 1]


async def test_a_revision_never_changes(admin: Client, owner: Pool) -> None:
    await create_app(admin)
    await save_action(admin, ACTION)
    with pytest.raises(asyncpg.RaiseError):
        await owner.execute("UPDATE action_revisions SET definition = '{}'")


async def test_every_problem_of_an_action_comes_at_once(admin: Client) -> None:
    await create_app(admin)
    answer = await save_action(
        admin,
        {
            "name": "other",
            "method": "FETCH",
            "endpointTemplate": "https://evil.example/x",
            "bodySchema": {"type": "strung"},
            "timeoutMs": -1,
        },
    )
    paths = {problem["path"] for problem in answer["problems"]}
    assert {"name", "method", "endpointTemplate", "timeoutMs"} <= paths
    assert any(path.startswith("bodySchema") for path in paths)
    assert (await save_action(admin, ACTION, app="never-was"))["code"] == "NOT_FOUND"


async def test_a_page_of_actions_looks_their_apps_up_together(admin: Client, composed: Any) -> None:
    for app in ("a", "b"):
        await create_app(admin, app)
        await save_action(admin, ACTION, app=app)
    found = (await admin(ACTIONS))["actions"]["items"]
    assert [(one["app"]["name"], one["name"], one["latest"]["revision"]) for one in found] == [
        ("a", "get-order", 1),
        ("b", "get-order", 1),
    ]


async def test_an_action_of_an_app_that_is_being_deleted_is_not_saved(admin: Client, owner: Pool) -> None:
    await create_app(admin)
    async with owner.acquire() as other:
        deleting = other.transaction()
        await deleting.start()
        await other.execute("SELECT id FROM apps FOR UPDATE")
        await other.execute("DELETE FROM apps")
        saving = asyncio.create_task(save_action(admin, ACTION))
        async with asyncio.timeout(30):
            while not await owner.fetchval(_WAITING):
                await asyncio.sleep(0.01)  # nothing tells of a lock
        await deleting.commit()
    assert (await saving)["code"] == "NOT_FOUND"
