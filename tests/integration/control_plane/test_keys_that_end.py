"""No API key outlives the key that made it, and a tenant without an admin gets a new key."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from headrace.postgres.pool import Pool
from headrace_control.auth.permissions import Permission
from headrace_control.auth.roles import Role
from headrace_control.settings import ControlPlaneSettings

from tests.integration.control_plane.conftest import Client, new_tenant
from tests.integration.control_plane.keys import create
from tests.integration.control_plane.people import joined

CREATE_TENANT = """
mutation($name: String!) {
  createTenant(name: $name) { ... on NewTenant { issued { key apiKey { expiresAt } } } ... on Failure { code } }
}
"""
NEW_KEY = """
mutation($tenant: String!) {
  createAdminKey(tenant: $tenant) {
    ... on IssuedApiKey { key apiKey { id name role permissions expiresAt owner } } ... on Failure { code message }
  }
}
"""


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def ending(client: Client, lasts: timedelta, role: Role = Role.ADMIN) -> tuple[Client, datetime]:
    """A key of the client's tenant that ends, and when."""
    ends = datetime.now(UTC) + lasts
    made = await create(client, role, expiresAt=ends.isoformat())
    return Client(client.http, made["key"]), ends


async def keys_end(owner: Pool, tenant: str, at: str) -> None:
    """Every key of the tenant ends that long from now."""
    await owner.execute(
        """UPDATE api_keys k SET expires_at = headrace_now() + $2::text::interval
           FROM tenants t WHERE t.id = k.tenant_id AND t.name = $1""",
        tenant,
        at,
    )


async def recorded(owner: Pool, tenant: str, action: str) -> list[Any]:
    rows = await owner.fetch(
        """SELECT a.actor_name, a.actor_kind, a.target FROM audit_inbox a JOIN tenants t ON t.id = a.tenant_id
           WHERE t.name = $1 AND a.action = $2 ORDER BY a.id""",
        tenant,
        action,
    )
    return [tuple(row) for row in rows]


class TestTheMakersEnd:
    async def test_a_later_end_is_refused_and_says_where(self, admin: Client) -> None:
        short, ends = await ending(admin, timedelta(hours=1))
        late = await create(short, Role.VIEWER, expiresAt=(ends + timedelta(seconds=1)).isoformat())
        (problem,) = late["problems"]
        assert problem["path"] == "expiresAt"
        assert problem["message"] == "the key that asks ends sooner, and none that it makes outlives it"
        assert problem["mend"].startswith(f"give a time until {ends.isoformat()}, or none;")

    async def test_a_key_without_an_end_gets_it(self, admin: Client) -> None:
        short, ends = await ending(admin, timedelta(hours=1))
        for _ in range(3):  # nor does any of those that it makes in turn last longer
            made = await create(short, Role.ADMIN)
            assert at(made["apiKey"]["expiresAt"]) == ends
            short = Client(admin.http, made["key"])

    async def test_an_end_before_it_stays(self, admin: Client) -> None:
        short, ends = await ending(admin, timedelta(hours=1))
        for sooner in (ends, ends - timedelta(minutes=30)):
            made = await create(short, Role.VIEWER, expiresAt=sooner.isoformat())
            assert at(made["apiKey"]["expiresAt"]) == sooner

    async def test_a_person_and_a_key_without_an_end_issue_as_they_like(
        self, admin: Client, owner: Pool
    ) -> None:
        _, person = await joined(owner, admin, "lee@example.com", Role.ADMIN)
        for maker in (admin, person):
            assert (await create(maker, Role.ADMIN))["apiKey"]["expiresAt"] is None
            made = await create(maker, Role.ADMIN, expiresAt="2999-01-31T12:00:00Z")
            assert made["apiKey"]["expiresAt"] == "2999-01-31T12:00:00Z"

    async def test_it_holds_for_the_first_key_of_a_new_tenant(self, platform: Client) -> None:
        short, ends = await ending(platform, timedelta(hours=1))
        made = (await short(CREATE_TENANT, name="acme"))["createTenant"]["issued"]
        assert at(made["apiKey"]["expiresAt"]) == ends
        assert at((await short(NEW_KEY, tenant="acme"))["createAdminKey"]["apiKey"]["expiresAt"]) == ends


class TestWithACap:
    @pytest.fixture
    def settings(self, settings: ControlPlaneSettings) -> ControlPlaneSettings:
        return settings.model_copy(update={"api_key_max_days": 30.0})

    async def test_a_tenants_first_key_ends_as_well(self, platform: Client) -> None:
        made = (await platform(CREATE_TENANT, name="acme"))["createTenant"]["issued"]
        lasts = at(made["apiKey"]["expiresAt"]) - datetime.now(UTC)
        assert timedelta(days=29) < lasts <= timedelta(days=30, minutes=1)
        assert "key" in await create(Client(platform.http, made["key"]), Role.VIEWER)

    async def test_the_sooner_of_the_two_ends_counts(self, platform: Client) -> None:
        short, ends = await ending(platform, timedelta(days=1))
        assert at((await create(short, Role.VIEWER))["apiKey"]["expiresAt"]) == ends
        far = await create(platform, Role.VIEWER, expiresAt="2999-01-31T12:00:00Z")
        assert [p["message"] for p in far["problems"]] == ["keys of this deployment last 30 days at most"]

    async def test_before_the_last_key_ends_the_operator_issues_the_next(
        self, platform: Client, owner: Pool
    ) -> None:
        acme = await new_tenant(platform, "acme")
        await acme("{ me { role } }")
        assert (await platform(NEW_KEY, tenant="acme"))["createAdminKey"]["code"] == "CONFLICT"
        await keys_end(owner, "acme", "8 days")
        assert (await platform(NEW_KEY, tenant="acme"))["createAdminKey"]["code"] == "CONFLICT"
        await keys_end(owner, "acme", "6 days")
        made = (await platform(NEW_KEY, tenant="acme"))["createAdminKey"]
        lasts = at(made["apiKey"]["expiresAt"]) - datetime.now(UTC)
        assert timedelta(days=29) < lasts <= timedelta(days=30, minutes=1)
        assert (await acme("{ me { role } }"))["me"] == {"role": "ADMIN"}  # nobody is shut out meanwhile


class TestATenantWithoutAnAdmin:
    async def test_it_gets_a_key_and_its_audit_says_of_whom(self, platform: Client, owner: Pool) -> None:
        await new_tenant(platform, "acme")  # the key is lost
        made = (await platform(NEW_KEY, tenant="acme"))["createAdminKey"]
        key = made["apiKey"]
        assert (key["name"], key["role"], key["expiresAt"], key["owner"]) == (
            "new admin",
            "ADMIN",
            None,
            None,
        )
        assert set(key["permissions"]) >= {"MANAGE_KEYS", "READ_AUDIT"}
        acme = Client(platform.http, made["key"])
        assert (await acme("{ tenant { name } }"))["tenant"] == {"name": "acme"}
        act = ("first admin", "API_KEY", "tenant/acme")
        assert await recorded(owner, "acme", "admin_key.create") == [act]
        assert await recorded(owner, "platform", "admin_key.create") == [act]
        assert (await recorded(owner, "acme", "api_key.create"))[-1][2] == f"api_key/{key['id']}"

    async def test_an_admin_who_can_come_in_keeps_the_operator_out(
        self, platform: Client, owner: Pool
    ) -> None:
        acme = await new_tenant(platform, "acme")
        await joined(owner, acme, "lee@example.com", Role.ADMIN)  # uses the first key, too
        refused = (await platform(NEW_KEY, tenant="acme"))["createAdminKey"]
        assert refused["code"] == "CONFLICT"
        assert await recorded(owner, "acme", "admin_key.create") == []
        await keys_end(owner, "acme", "-1 second")  # then there is the person alone
        assert (await platform(NEW_KEY, tenant="acme"))["createAdminKey"]["code"] == "CONFLICT"
        await owner.execute("UPDATE members SET status = 'REMOVED', removed_at = headrace_now()")
        assert "key" in (await platform(NEW_KEY, tenant="acme"))["createAdminKey"]

    async def test_keys_that_make_no_keys_are_no_way_in(self, platform: Client, owner: Pool) -> None:
        acme = await new_tenant(platform, "acme")
        designer = await acme.with_role(Role.DESIGNER)
        narrow = Client(acme.http, (await create(acme, Role.ADMIN, Permission.READ))["key"])
        manager = Client(
            acme.http, (await create(acme, Role.ADMIN, Permission.READ, Permission.MANAGE_KEYS))["key"]
        )
        for key in (designer, narrow, manager):
            await key("{ tenant { name } }")
        await owner.execute(
            "UPDATE api_keys SET revoked_at = headrace_now() WHERE tenant_id = ("
            "SELECT id FROM tenants WHERE name = 'acme') AND name = 'first admin'"
        )
        assert (await platform(NEW_KEY, tenant="acme"))["createAdminKey"]["code"] == "CONFLICT"
        keys = (await manager("{ apiKeys { items { id permissions } } }"))["apiKeys"]["items"]
        own = next(key["id"] for key in keys if set(key["permissions"]) == {"READ", "MANAGE_KEYS"})
        await manager("mutation($id: ID!) { revokeApiKey(id: $id) { __typename } }", id=own)
        assert "key" in (await platform(NEW_KEY, tenant="acme"))["createAdminKey"]

    async def test_for_the_platforms_admins_of_other_tenants_alone(
        self, platform: Client, admin: Client
    ) -> None:
        await new_tenant(platform, "lost")
        for caller in (admin, await platform.with_role(Role.OPERATOR)):
            assert (await caller(NEW_KEY, tenant="lost"))["createAdminKey"]["code"] == "FORBIDDEN"
        assert (await platform(NEW_KEY, tenant="nobody"))["createAdminKey"]["code"] == "NOT_FOUND"
        own = (await platform(NEW_KEY, tenant="platform"))["createAdminKey"]
        assert own == {
            "code": "CONFLICT",
            "message": "a platform tenant gets a new key by `headrace bootstrap --new-key`",
        }
