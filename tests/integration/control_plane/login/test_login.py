"""Log-in by OpenID Connect: who gets in, from the client's wish to a session, and who does not."""

import asyncio
from typing import Any

from headrace.postgres.pool import Pool
from headrace_control.auth.roles import Role

from tests.integration.control_plane.conftest import Client
from tests.integration.control_plane.login.logging_in import ME, REDIRECT, Person, joined, told
from tests.integration.control_plane.people import invite, remove


async def test_an_invited_person_joins_logs_in_again_and_out(kim: Person, admin: Client, owner: Pool) -> None:
    begun = await kim.begin(invitation=(await invite(admin, "kim@example.com", Role.DESIGNER))["code"])
    cookie = begun.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=lax", "path=/", "max-age=600"))
    assert begun.headers["cache-control"] == "no-store"
    back = await kim.callback(kim.issuer.authorize(begun.headers["location"]))
    assert back.headers["location"].startswith(f"{REDIRECT}?")
    assert "hs_" not in back.headers["location"]
    answer = told(back)
    assert answer["state"] == "of-the-client"
    made = (await kim.exchange(answer["code"])).json()
    assert (made["tenant"], made["email"], made["role"]) == ("acme", "kim@example.com", "DESIGNER")
    first = Client(kim.browser, made["token"])
    me = {
        "actor": {"kind": "MEMBER", "name": "kim@example.com"},
        "role": "DESIGNER",
        "tenant": {"name": "acme"},
    }
    assert (await first(ME))["me"] == me
    second = await kim.session(tenant="acme")
    assert (await second(ME))["me"] == me
    headers = {"authorization": f"Bearer {second.key}"}
    assert (await kim.browser.post("/auth/logout", headers=headers)).status_code == 204
    assert (await second.post(ME)).status_code == 401
    assert (await kim.browser.post("/auth/logout", headers=headers)).status_code == 401
    assert (await first.post(ME)).status_code == 200
    key = {"authorization": f"Bearer {admin.key}"}
    assert (await kim.browser.post("/auth/logout", headers=key)).status_code == 409
    kept = await owner.fetch("SELECT sessions::text AS everything FROM sessions")
    assert all(made["token"] not in row["everything"] for row in kept)
    acts = await owner.fetch(
        "SELECT action, actor_name FROM audit_inbox WHERE actor_kind = 'MEMBER' ORDER BY at, id"
    )
    assert [row["action"] for row in acts] == ["member.join", "session.begin", "session.begin", "session.end"]
    assert {row["actor_name"] for row in acts} == {"kim@example.com"}


async def test_no_cookie_authenticates(kim: Person, admin: Client) -> None:
    session = await joined(kim, admin)
    for name in ("headrace-login", "__Host-headrace-login", "session", "authorization"):
        kim.browser.cookies.set(name, session.key)
    assert (await kim.browser.post("/graphql", json={"query": ME})).status_code == 401


async def test_an_invitation_is_for_one_verified_address_and_works_once(
    kim: Person, people: Any, admin: Client, owner: Pool
) -> None:
    code = (await invite(admin, "kim@example.com"))["code"]
    for claims in (
        {"email": "lee@example.com"},
        {"email": "\u212aim@example.com"},
        {"email": None},
        {"email": ["kim@example.com"]},
        {"email_verified": False},
        {"email_verified": None},
        {"email_verified": "false"},
        {"email_verified": 1},
    ):
        kim.issuer.claims = claims
        refused = await kim.log_in(invitation=code)
        assert refused["error"] in ("FORBIDDEN", "UNAUTHENTICATED"), claims
        assert "code" not in refused
    assert await owner.fetchval("SELECT count(*) FROM members WHERE status = 'ACTIVE'") == 0
    refusals = "SELECT count(*) FROM audit_inbox WHERE action = 'member.join' AND outcome = 'REFUSED'"
    assert await owner.fetchval(refusals) > 0
    kim.issuer.claims = {"email": "KIM@example.com"}
    first, second = (
        await kim.provider(invitation=code),
        await (lee := await people()).provider(invitation=code),
    )
    answers = [told(answer) for answer in await asyncio.gather(kim.callback(first), lee.callback(second))]
    assert sorted("code" in answer for answer in answers) == [False, True]
    kim.issuer.claims = {"sub": "another kim"}
    assert (await kim.log_in(invitation=code))["error"] == "FORBIDDEN"
    assert await owner.fetchval("SELECT count(*) FROM members WHERE status = 'ACTIVE'") == 1


async def test_an_invitation_that_is_over_or_revoked_lets_nobody_in(
    kim: Person, admin: Client, owner: Pool
) -> None:
    invited = await invite(admin, "kim@example.com")
    answer = await kim.provider(invitation=invited["code"])
    await owner.execute("UPDATE members SET code_expires_at = headrace_now()")
    assert told(await kim.callback(answer))["error"] == "FORBIDDEN"
    again = (await invite(admin, "kim@example.com"))["code"]
    assert (await kim.log_in(invitation=invited["code"]))["error"] == "FORBIDDEN"
    answer = await kim.provider(invitation=again)
    await admin("mutation($id: ID!) { revokeInvitation(id: $id) { __typename } }", id=invited["member"]["id"])
    assert told(await kim.callback(answer))["error"] == "FORBIDDEN"


async def test_the_address_may_be_told_by_the_userinfo_of_the_same_person(kim: Person, admin: Client) -> None:
    code = (await invite(admin, "kim@example.com"))["code"]
    kim.issuer.claims = {"email": None, "email_verified": None}
    verified = {"email": "kim@example.com", "email_verified": True}
    for said, error in (
        ({"sub": "lee", **verified}, "UNAUTHENTICATED"),
        (verified, "UNAUTHENTICATED"),
        ({"sub": "kim", **verified, "email_verified": False}, "FORBIDDEN"),
    ):
        kim.issuer.userinfo = said
        assert (await kim.log_in(invitation=code))["error"] == error
    kim.issuer.userinfo = {"sub": "kim", **verified}
    assert "code" in await kim.log_in(invitation=code)


async def test_only_this_tenants_members_get_in(
    kim: Person, admin: Client, stranger: Client, owner: Pool
) -> None:
    session = await joined(kim, admin)
    others = [await kim.log_in(tenant=tenant) for tenant in ("stranger", "nobodys")]
    assert others[0] == others[1]
    assert others[0]["error"] == "FORBIDDEN"
    kim.issuer.claims = {"sub": "lee"}
    assert (await kim.log_in(tenant="acme"))["error"] == "FORBIDDEN"
    # One person, two tenants: two members, and each session is of one of them.
    kim.issuer.claims = {}
    there = await kim.session(invitation=(await invite(stranger, "kim@example.com", Role.ADMIN))["code"])
    assert (await there(ME))["me"]["tenant"]["name"] == "stranger"
    assert (await session(ME))["me"]["role"] == "VIEWER"
    member = await owner.fetchval("SELECT id FROM members WHERE role = 'VIEWER'")
    answer = await kim.log_in(tenant="acme")
    await remove(admin, str(member))
    assert (await kim.exchange(answer["code"])).status_code == 401
    assert (await kim.log_in(tenant="acme"))["error"] == "FORBIDDEN"
    assert (await there.post(ME)).status_code == 200
