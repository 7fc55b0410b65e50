"""Members: invited, given roles, removed; never without an admin, never another tenant's."""

import asyncio
from typing import Any

from headrace.postgres.pool import Pool
from headrace_control.auth.permissions import Permission
from headrace_control.auth.roles import Role

from tests.integration.control_plane.conftest import Client
from tests.integration.control_plane.keys import create
from tests.integration.control_plane.people import MEMBER, change_role, invite, joined, remove

ME = "{ me { actor { kind name } role permissions tenant { name } } }"
MEMBERS = "query($status: MemberStatus) { members(status: $status) { items { email role status } } }"


async def test_everybody_may_ask_who_they_are(owner: Pool, admin: Client) -> None:
    _, kim = await joined(owner, admin, "kim@example.com", Role.VIEWER)
    assert (await kim(ME))["me"] == {
        "actor": {"kind": "MEMBER", "name": "kim@example.com"},
        "role": "VIEWER",
        "permissions": ["READ"],
        "tenant": {"name": "acme"},
    }
    narrow = Client(admin.http, (await create(admin, Role.ADMIN, Permission.DECIDE))["key"])
    me = (await narrow(ME))["me"]
    assert (me["actor"]["kind"], me["permissions"]) == ("API_KEY", ["DECIDE"])


async def test_an_invitation_is_shown_once_and_made_anew(owner: Pool, admin: Client) -> None:
    first = await invite(admin, " Kim@Example.COM ", Role.VIEWER)
    assert (first["member"]["email"], first["member"]["status"]) == ("kim@example.com", "INVITED")
    second = await invite(admin, "kim@example.com", Role.APPROVER)
    assert second["member"]["id"] == first["member"]["id"]
    assert second["member"]["role"] == "APPROVER"
    assert second["code"] != first["code"]
    (row,) = await owner.fetch("SELECT members::text AS everything FROM members")
    assert first["code"] not in row["everything"]
    assert second["code"] not in row["everything"]
    _, lee = await joined(owner, admin, "lee@example.com", Role.ADMIN)
    assert (await invite(lee, "lee@example.com"))["code"] == "CONFLICT"
    assert (await invite(lee, "sam@example.com"))["member"]["invitedBy"] == "lee@example.com"


async def test_an_address_is_one_in_ascii(admin: Client) -> None:
    assert (await invite(admin, "\u212aim@example.com"))["code"] == "INVALID_INPUT"


async def test_an_invitation_is_revoked_and_its_place_is_free_again(admin: Client) -> None:
    member = (await invite(admin, "kim@example.com"))["member"]["id"]
    query = "mutation($id: ID!) { revokeInvitation(id: $id) { " + MEMBER + "} }"
    assert (await admin(query, id=member))["revokeInvitation"]["status"] == "REMOVED"
    assert (await admin(query, id=member))["revokeInvitation"]["code"] == "NOT_FOUND"
    assert (await invite(admin, "kim@example.com"))["member"]["id"] != member
    shown = (await admin(MEMBERS))["members"]["items"]
    assert [one["status"] for one in shown] == ["INVITED", "REMOVED"]
    shown = (await admin(MEMBERS, status="INVITED"))["members"]["items"]
    assert [one["email"] for one in shown] == ["kim@example.com"]


async def test_a_role_holds_from_the_next_request_on(owner: Pool, admin: Client) -> None:
    member, kim = await joined(owner, admin, "kim@example.com", Role.VIEWER)
    assert (await invite(kim, "sam@example.com"))["code"] == "FORBIDDEN"
    assert (await change_role(admin, member, Role.ADMIN))["role"] == "ADMIN"
    assert (await invite(kim, "sam@example.com"))["member"]["status"] == "INVITED"
    assert (await change_role(admin, member, Role.VIEWER))["role"] == "VIEWER"
    assert (await invite(kim, "sam@example.com"))["code"] == "FORBIDDEN"


async def test_who_is_removed_is_out_at_once(owner: Pool, admin: Client) -> None:
    member, kim = await joined(owner, admin, "kim@example.com", Role.ADMIN)
    assert (await kim.post(ME)).status_code == 200
    assert (await remove(admin, member))["status"] == "REMOVED"
    assert (await kim.post(ME)).status_code == 401
    assert (await change_role(admin, member, Role.ADMIN))["code"] == "NOT_FOUND"
    assert (await remove(admin, member))["code"] == "NOT_FOUND"


async def test_a_removed_members_session_is_dead_by_the_member_alone(owner: Pool, admin: Client) -> None:
    _, kim = await joined(owner, admin, "kim@example.com", Role.ADMIN)
    await owner.execute("UPDATE members SET status = 'REMOVED', removed_at = now()")
    assert (await kim.post(ME)).status_code == 401


async def test_the_last_admin_stays_unless_a_key_is_left(owner: Pool, admin: Client) -> None:
    first, kim = await joined(owner, admin, "kim@example.com", Role.ADMIN)
    await create(admin, Role.ADMIN, Permission.READ)  # a key that could not help
    await owner.execute("UPDATE api_keys SET revoked_at = now() WHERE permissions IS NULL")
    assert (await change_role(kim, first, Role.VIEWER))["code"] == "CONFLICT"
    assert (await remove(kim, first))["code"] == "CONFLICT"
    assert (await change_role(kim, first, Role.ADMIN))["role"] == "ADMIN"
    second, lee = await joined(owner, kim, "lee@example.com", Role.ADMIN)
    outcomes = await asyncio.gather(remove(kim, second), remove(lee, first), return_exceptions=True)
    assert [answer for answer in outcomes if isinstance(answer, dict) and answer.get("status") == "REMOVED"]
    left = await owner.fetchval("SELECT count(*) FROM members WHERE role = 'ADMIN' AND status = 'ACTIVE'")
    assert left == 1


async def test_an_admin_key_lets_the_last_admin_go(owner: Pool, admin: Client) -> None:
    first, kim = await joined(owner, admin, "kim@example.com", Role.ADMIN)
    assert (await remove(kim, first))["status"] == "REMOVED"


async def test_sessions_are_ended_by_their_member_or_an_admin(owner: Pool, admin: Client) -> None:
    member, kim = await joined(owner, admin, "kim@example.com", Role.VIEWER)
    other, lee = await joined(owner, admin, "lee@example.com", Role.VIEWER)
    ended = "... on EndedSessions { count } ... on Failure { code }"
    query = "mutation($id: ID) { revokeSessions(member: $id) { " + ended + "} }"
    assert (await lee(query, id=member))["revokeSessions"] == {"code": "FORBIDDEN"}
    assert (await admin(query))["revokeSessions"] == {"code": "FORBIDDEN"}
    assert (await admin(query, id=member))["revokeSessions"] == {"count": 1}
    assert (await kim.post(ME)).status_code == 401
    # An empty id names nobody, and not oneself.
    assert (await lee(query, id=""))["revokeSessions"] == {"code": "NOT_FOUND"}
    assert (await lee(query))["revokeSessions"] == {"count": 1}
    assert (await lee.post(ME)).status_code == 401
    assert (await admin(query, id=other))["revokeSessions"] == {"count": 0}


async def test_a_session_ends(owner: Pool, admin: Client) -> None:
    nobody = (await Client(admin.http, "hs_" + "x" * 43).post(ME)).json()["errors"][0]["message"]
    for number, change in enumerate(
        (
            "expires_at = headrace_now()",
            "last_used_at = headrace_now() - interval '25 hours'",
            "ended_at = headrace_now()",
        )
    ):
        _, kim = await joined(owner, admin, f"kim{number}@example.com", Role.VIEWER)
        assert (await kim.post(ME)).status_code == 200
        await owner.execute(f"UPDATE sessions SET {change}")
        answer = await kim.post(ME)
        assert (answer.status_code, answer.json()["errors"][0]["message"]) == (401, nobody)


async def test_a_session_that_is_used_goes_on(owner: Pool, admin: Client) -> None:
    _, kim = await joined(owner, admin, "kim@example.com", Role.VIEWER)
    await owner.execute("UPDATE sessions SET last_used_at = headrace_now() - interval '23 hours'")
    assert (await kim.post(ME)).status_code == 200
    age = await owner.fetchval("SELECT extract(epoch FROM headrace_now() - last_used_at) FROM sessions")
    assert age < 60


async def test_another_tenants_members_are_not_found(owner: Pool, admin: Client, stranger: Client) -> None:
    member, _ = await joined(owner, admin, "kim@example.com", Role.VIEWER)
    revoke = "mutation($id: ID!) { revokeSessions(member: $id) { ... on Failure { code message } } }"
    answers: list[Any] = [
        await change_role(stranger, member, Role.ADMIN),
        await remove(stranger, member),
        (await stranger(revoke, id=member))["revokeSessions"],
    ]
    assert {(answer["code"], answer["message"]) for answer in answers} == {("NOT_FOUND", "member not found")}
    assert (await stranger(MEMBERS))["members"]["items"] == []


async def test_a_narrowed_key_makes_no_admin(admin: Client) -> None:
    made = await create(admin, Role.ADMIN, Permission.MANAGE_MEMBERS, Permission.READ)
    narrow = Client(admin.http, made["key"])
    assert (await invite(narrow, "kim@example.com", Role.ADMIN))["code"] == "FORBIDDEN"
    invited = await invite(narrow, "kim@example.com", Role.VIEWER)
    assert (await change_role(narrow, invited["member"]["id"], Role.DESIGNER))["code"] == "FORBIDDEN"


async def test_every_change_is_recorded(owner: Pool, admin: Client) -> None:
    member, _ = await joined(owner, admin, "kim@example.com", Role.VIEWER)
    invited = (await invite(admin, "sam@example.com"))["member"]["id"]
    await admin("mutation($id: ID!) { revokeInvitation(id: $id) { __typename } }", id=invited)
    await change_role(admin, member, Role.DESIGNER)
    await admin("mutation($id: ID!) { revokeSessions(member: $id) { __typename } }", id=member)
    await remove(admin, member)
    rows = await owner.fetch(
        "SELECT action, target, before_digest, after_digest FROM audit_inbox WHERE target LIKE 'member/%' ORDER BY at"
    )
    assert [(row["action"], row["target"].removeprefix("member/")) for row in rows] == [
        ("member.invite", invited),
        ("member.revoke_invitation", invited),
        ("member.change_role", member),
        ("member.revoke_sessions", member),
        ("member.remove", member),
    ]
    changed = rows[2]
    assert changed["before_digest"] != changed["after_digest"]
