"""API keys that may do less than their role, and last no longer than the deployment allows."""

from datetime import UTC, datetime, timedelta

import pytest
from headrace.postgres.pool import Pool
from headrace_control.auth.permissions import Permission
from headrace_control.auth.roles import Role
from headrace_control.settings import ControlPlaneSettings

from tests.integration.control_plane.conftest import Client, new_tenant
from tests.integration.control_plane.keys import CREATE, create
from tests.integration.control_plane.people import joined, remove


async def test_a_scope_narrows_what_the_role_allows(admin: Client) -> None:
    made = await create(admin, Role.DESIGNER, Permission.READ, Permission.START_RUNS)
    assert made["apiKey"]["permissions"] == ["READ", "START_RUNS"]
    narrow = Client(admin.http, made["key"])
    assert (await narrow("{ tenant { name } }"))["tenant"] == {"name": "acme"}
    answer = await narrow('mutation { deleteApp(name: "x") { ... on Failure { code message } } }')
    assert answer["deleteApp"] == {"code": "FORBIDDEN", "message": "this key is not for DESIGN"}
    only_start = Client(admin.http, (await create(admin, Role.OPERATOR, Permission.START_RUNS))["key"])
    assert (await only_start.error("{ tenant { name } }"))["extensions"]["code"] == "FORBIDDEN"
    whole = await create(admin, Role.VIEWER)
    assert whole["apiKey"]["permissions"] == ["READ"]


async def test_a_key_that_may_design_publishes_a_draft_without_reading_others(admin: Client) -> None:
    narrow = Client(admin.http, (await create(admin, Role.DESIGNER, Permission.DESIGN))["key"])
    document = {"workflow": "w", "steps": [{"key": "take", "type": "transform", "input": 1}]}
    drafted = await narrow(
        "mutation($d: JSON!) { saveDraft(document: $d) { ... on SavedDraft { version { id } } } }", d=document
    )
    published = await narrow(
        """mutation($id: ID!) { publishVersion(id: $id) {
            ... on PublishedVersion { version { number } } ... on Failure { code message } } }""",
        id=drafted["saveDraft"]["version"]["id"],
    )
    assert published["publishVersion"] == {"version": {"number": 1}}


async def test_a_scope_says_what_the_role_allows_and_something(admin: Client) -> None:
    wrong = await create(admin, Role.VIEWER, Permission.READ, Permission.DESIGN)
    assert [p["path"] for p in wrong["problems"]] == ["permissions[1]"]
    nothing = (await admin(CREATE, role=Role.VIEWER, permissions=[]))["createApiKey"]
    assert [p["path"] for p in nothing["problems"]] == ["permissions"]


async def test_a_narrowed_key_makes_no_wider_one(admin: Client) -> None:
    made = await create(admin, Role.ADMIN, Permission.MANAGE_KEYS, Permission.READ)
    narrow = Client(admin.http, made["key"])
    assert (await create(narrow, Role.ADMIN))["code"] == "FORBIDDEN"
    assert (await create(narrow, Role.DESIGNER, Permission.DESIGN))["code"] == "FORBIDDEN"
    assert (await create(narrow, Role.VIEWER))["apiKey"]["permissions"] == ["READ"]


async def test_a_key_ends_when_it_says_and_not_before_now(admin: Client, owner: Pool) -> None:
    past = await create(admin, Role.VIEWER, expiresAt="2020-01-31T12:00:00Z")
    assert [p["path"] for p in past["problems"]] == ["expiresAt"]
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    key = Client(admin.http, (await create(admin, Role.VIEWER, expiresAt=soon))["key"])
    assert (await key.post("{ tenant { name } }")).status_code == 200
    await owner.execute("UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE role = 'VIEWER'")
    assert (await key.post("{ tenant { name } }")).status_code == 401


async def test_issuing_and_revoking_a_key_is_recorded(admin: Client, owner: Pool) -> None:
    key_id = (await create(admin, Role.VIEWER))["apiKey"]["id"]
    await admin("mutation($id: ID!) { revokeApiKey(id: $id) { ... on ApiKey { id } } }", id=key_id)
    rows = await owner.fetch(
        "SELECT action, target, actor_name FROM audit_inbox WHERE target = $1", f"api_key/{key_id}"
    )
    assert {(row["action"], row["target"]) for row in rows} == {
        ("api_key.create", f"api_key/{key_id}"),
        ("api_key.revoke", f"api_key/{key_id}"),
    }
    assert {row["actor_name"] for row in rows} == {"first admin"}


class TestWithACap:
    @pytest.fixture
    def settings(self, settings: ControlPlaneSettings) -> ControlPlaneSettings:
        return settings.model_copy(update={"api_key_max_days": 30.0})

    async def test_no_key_lasts_longer(self, admin: Client) -> None:
        late = (datetime.now(UTC) + timedelta(days=31)).isoformat()
        wrong = await create(admin, Role.VIEWER, expiresAt=late)
        assert [p["message"] for p in wrong["problems"]] == ["keys of this deployment last 30 days at most"]
        ends = datetime.fromisoformat((await create(admin, Role.VIEWER))["apiKey"]["expiresAt"])
        assert timedelta(days=29) < ends - datetime.now(UTC) <= timedelta(days=30, minutes=1)


async def test_a_key_is_its_makers_if_that_is_a_member(admin: Client, platform: Client, owner: Pool) -> None:
    member, session = await joined(owner, admin, "lee@example.com", Role.ADMIN)
    mine = Client(admin.http, (await create(session, Role.ADMIN))["key"])
    await create(mine, Role.VIEWER)
    await create(admin, Role.VIEWER)
    listed = (await admin("{ apiKeys { items { owner } } }"))["apiKeys"]["items"]
    # Newest first: the admin's own, which is nobody's, as is the tenant's first.
    assert [key["owner"] for key in listed] == [None, member, member, None]
    # Another tenant's first key is not of who made the tenant.
    _, operator = await joined(owner, platform, "op@example.com", Role.ADMIN)
    theirs = await new_tenant(operator, "theirs")
    assert (await theirs("{ apiKeys { items { owner } } }"))["apiKeys"]["items"] == [{"owner": None}]
    # One who has left stays the owner of what was made.
    await remove(admin, member)
    assert (await mine("{ tenant { name } }"))["tenant"] == {"name": "acme"}
