"""Log-in by OpenID Connect: from the client's wish to a session, and what must not come of it."""

import asyncio
import base64
import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
import uvicorn
from headrace.postgres.pool import Pool
from headrace_control.auth.roles import Role
from headrace_control.settings import ControlPlaneSettings
from loopback import loopback
from pydantic import SecretStr

from tests.integration.control_plane.conftest import Client
from tests.integration.control_plane.people import invite, remove
from tests.issuer import CLIENT_ID, CLIENT_SECRET, Issuer, ec_key, signed

REDIRECT = "http://127.0.0.1:5000/done"
ALLOWED = "https://console.example.com/logged-in?from=headrace"
ME = "{ me { actor { kind name } role tenant { name } } }"


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer()
    with loopback() as listening:
        issuer.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(issuer.app(), lifespan="off", log_config=None))
        task = asyncio.create_task(server._serve(sockets=[listening]))
        yield issuer
        server.should_exit = True
        await task


@pytest.fixture
def settings(settings: ControlPlaneSettings, issuer: Issuer) -> ControlPlaneSettings:
    return settings.model_copy(
        update={
            "oidc_issuer": issuer.url,
            "oidc_client_id": CLIENT_ID,
            "oidc_client_secret": SecretStr(CLIENT_SECRET),
            "login_redirects": ALLOWED,
        }
    )


@dataclass
class Person:
    """A client of ours, and the browser of who uses it."""

    issuer: Issuer
    browser: httpx.AsyncClient
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(40))
    redirect: str = REDIRECT

    async def begin(self, **asked: str) -> httpx.Response:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        params = {"redirect": self.redirect, "challenge": challenge, "state": "of-the-client", **asked}
        return await self.browser.get("/auth/login", params=params)

    async def provider(self, **asked: str) -> dict[str, str]:
        """What the browser brings back from the provider."""
        return self.issuer.authorize((await self.begin(**asked)).headers["location"])

    async def callback(self, answer: dict[str, str]) -> httpx.Response:
        return await self.browser.get("/auth/callback", params=answer)

    async def log_in(self, **asked: str) -> dict[str, str]:
        """What reaches the client: a code, or an error."""
        return told(await self.callback(await self.provider(**asked)))

    async def exchange(self, code: str, **other: str) -> httpx.Response:
        body = {"code": code, "verifier": self.verifier, "redirect": self.redirect, **other}
        return await self.browser.post("/auth/token", json=body)

    async def session(self, **asked: str) -> Client:
        answer = await self.log_in(**asked)
        made = await self.exchange(answer["code"])
        assert made.status_code == 200, made.text
        return Client(self.browser, made.json()["token"])


def told(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 303, answer.text
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


@pytest.fixture
async def people(issuer: Issuer, http: httpx.AsyncClient) -> AsyncIterator[Any]:
    """Makes people, each with a browser of their own."""
    async with contextlib.AsyncExitStack() as stack:

        async def person(**given: Any) -> Person:
            browser = httpx.AsyncClient(transport=http._transport, base_url="http://test")
            return Person(issuer, await stack.enter_async_context(browser), **given)

        yield person


@pytest.fixture
async def kim(people: Any) -> Person:
    return await people()


async def joined(kim: Person, admin: Client, role: Role = Role.VIEWER) -> Client:
    return await kim.session(invitation=(await invite(admin, "kim@example.com", role))["code"])


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


async def test_an_answer_counts_once_and_in_the_browser_that_asked(
    kim: Person, people: Any, admin: Client, owner: Pool
) -> None:
    await joined(kim, admin)
    lee = await people()
    # Login CSRF: the attacker's own answer, brought by another's browser, which may have begun a log-in, too.
    answer = await kim.provider(tenant="acme")
    assert (await lee.callback(answer)).status_code == 410
    await lee.begin(tenant="acme")
    assert (await lee.callback(answer)).status_code == 410
    assert (await lee.callback({**answer, "state": "ht_" + "x" * 43})).status_code == 410
    assert (await lee.callback({"code": answer["code"]})).status_code == 410
    # It was not spent by these, and is by the one that may.
    assert "code" in told(await kim.callback(answer))
    assert (await kim.callback(answer)).status_code == 410
    # State and cookie are right, the provider's code is of another log-in: its PKCE and its nonce are, too.
    mine, theirs = await kim.provider(tenant="acme"), await lee.provider(tenant="acme")
    assert told(await kim.callback({**mine, "code": theirs["code"]}))["error"] == "UNAUTHENTICATED"
    late = await kim.provider(tenant="acme")
    await owner.execute("UPDATE logins SET expires_at = headrace_now()")
    assert (await kim.callback(late)).status_code == 410
    await kim.begin(tenant="acme")
    assert await owner.fetchval("SELECT count(*) FROM logins WHERE expires_at <= headrace_now()") == 0


async def test_a_code_counts_once_for_who_began_and_soon(
    kim: Person, people: Any, admin: Client, owner: Pool
) -> None:
    await joined(kim, admin)
    lee = await people()
    refused = set()
    for other in (
        {"verifier": lee.verifier},
        {"verifier": "short"},
        {"redirect": "http://127.0.0.1:5001/done"},
    ):
        code = (await kim.log_in(tenant="acme"))["code"]
        answer = await kim.exchange(code, **other)
        refused.add((answer.status_code, answer.json()["errors"][0]["message"]))
        # Whoever guessed has spent it.
        assert (await kim.exchange(code)).status_code == 401
    code = (await kim.log_in(tenant="acme"))["code"]
    outcomes = await asyncio.gather(*(kim.exchange(code) for _ in range(5)))
    assert sorted(outcome.status_code for outcome in outcomes) == [200, 401, 401, 401, 401]
    code = (await kim.log_in(tenant="acme"))["code"]
    await owner.execute("UPDATE login_codes SET expires_at = headrace_now()")
    late, unknown = await kim.exchange(code), await kim.exchange("hl_" + "x" * 43)
    session = await kim.exchange(outcomes[0].text)
    for answer in (late, unknown, session):
        refused.add((answer.status_code, answer.json()["errors"][0]["message"]))
    assert refused == {(401, "this code is not valid; log in anew")}


async def test_what_the_provider_says_of_another_is_not_taken(kim: Person, admin: Client) -> None:
    await joined(kim, admin)
    issuer = kim.issuer
    answer = issuer.authorize((await kim.begin(tenant="acme")).headers["location"], iss="https://evil.test")
    assert told(await kim.callback(answer))["error"] == "UNAUTHENTICATED"
    answer = issuer.authorize((await kim.begin(tenant="acme")).headers["location"], iss=issuer.url)
    assert "code" in told(await kim.callback(answer))
    for claims in (
        {"nonce": "replayed"},
        {"aud": "other"},
        {"iss": "https://evil.test"},
        {"exp": 1},
        {"azp": "other"},
        {"iat": 9e12, "exp": 9e12},
    ):
        issuer.claims = claims
        assert (await kim.log_in(tenant="acme"))["error"] == "UNAUTHENTICATED", claims
    issuer.claims = {}
    issuer.sign = lambda issuer, claims: signed(claims, ec_key("first"))
    assert (await kim.log_in(tenant="acme"))["error"] == "UNAUTHENTICATED"
    refused = {
        "state": (await kim.provider(tenant="acme"))["state"],
        "error": "<script>",
        "error_description": "x",
    }
    failed = await kim.callback(refused)
    assert "%3Cscript" not in failed.headers["location"]
    assert told(failed)["error"] == "UNAUTHENTICATED"


async def test_a_provider_that_promises_to_name_itself_has_to(kim: Person, admin: Client) -> None:
    kim.issuer.configuration = {"authorization_response_iss_parameter_supported": True}
    code = (await invite(admin, "kim@example.com"))["code"]
    assert (await kim.log_in(invitation=code))["error"] == "UNAUTHENTICATED"
    answer = kim.issuer.authorize((await kim.begin(invitation=code)).headers["location"], iss=kim.issuer.url)
    assert "code" in told(await kim.callback(answer))


async def test_a_configuration_of_another_issuer_begins_nothing(kim: Person) -> None:
    kim.issuer.configuration = {"issuer": "https://evil.test"}
    assert (await kim.begin(tenant="acme")).status_code == 503


BAD_REDIRECTS = (
    "https://evil.test/",
    "http://evil.test:5000/",
    "http://127.0.0.1.evil.test:5000/",
    "http://127.0.0.1:5000@evil.test/",
    "http://evil.test@127.0.0.1:5000/",
    "http://127.0.0.1:5000\\@evil.test/",
    "http://127.0.0.1\\.evil.test:5000/",
    "http://127.0.0.1/no-port",
    "http://127.0.0.1:0/",
    "http://127.0.0.1:65536/",
    "http://localhost:5000/",
    "http://0.0.0.0:5000/",
    "http://2130706433:5000/",
    "http://0x7f.1:5000/",
    "http://127.1:5000/",
    "http://[::ffff:127.0.0.1]:5000/",
    "http://[::1%25eth0]:5000/",
    "http:127.0.0.1:5000/",
    "http:/127.0.0.1:5000/",
    "http:///127.0.0.1:5000/",
    "//127.0.0.1:5000/",
    "https://127.0.0.1:5000/",
    "HTTP://127.0.0.1:5000/",
    "javascript:alert(1)//http://127.0.0.1:5000/",
    "http://127.0.0.1:5000/#fragment",
    "http://127.0.0.1:5000/?code=mine",
    "http://127.0.0.1:5000/\r\nSet-Cookie: a=b",
    " http://127.0.0.1:5000/",
    "http://127.0.0.1:5000/\u2028",
    "http://\uff11\uff12\uff17.0.0.1:5000/",
    "http://127.0.0.1:5000/" + "x" * 500,
    ALLOWED + "&more=1",
    ALLOWED.replace("https", "http"),
    ALLOWED.replace("console", "Console"),
    "",
)


async def test_a_log_in_ends_at_loopback_or_at_a_named_address(people: Any) -> None:
    for url in (REDIRECT, "http://[::1]:5000/done", ALLOWED):
        assert (await (await people(redirect=url)).begin(tenant="acme")).status_code == 303, url
    for url in BAD_REDIRECTS:
        refused = await (await people(redirect=url)).begin(tenant="acme")
        assert (refused.status_code, refused.headers.get("location")) == (422, None), url


async def test_what_a_log_in_begins_with_is_checked(kim: Person, admin: Client, owner: Pool) -> None:
    for asked in (
        {},
        {"tenant": "acme", "invitation": "hi_" + "x" * 43},
        {"tenant": "Acme; --"},
        {"invitation": "hs_" + "x" * 43},
        {"tenant": "acme", "challenge": "plain"},
        {"tenant": "acme", "state": ""},
        {"tenant": "acme", "state": "a\nb"},
        {"tenant": "acme\0"},
    ):
        assert (await kim.begin(**asked)).status_code == 422, asked
    twice = await kim.browser.get("/auth/login?tenant=acme&tenant=other")
    assert twice.json()["errors"][0]["extensions"]["problems"][0]["path"] == "tenant"
    for body in (b"", b"[]", b'{"code": 1}', b"{" * 9000, b'{"code": "' + b"x" * 20_000 + b'"}'):
        assert (await kim.browser.post("/auth/token", content=body)).status_code == 422
    assert await owner.fetchval("SELECT count(*) FROM logins") == 0


async def test_one_address_begins_no_flood_of_log_ins(kim: Person, owner: Pool) -> None:
    await kim.begin(tenant="acme")
    await owner.execute(
        """INSERT INTO logins SELECT sha256(n::text::bytea), browser_hash, nonce, verifier, tenant, NULL, challenge,
               redirect, client_state, origin, expires_at
           FROM logins, generate_series(1, 199) AS n"""
    )
    assert (await kim.begin(tenant="acme")).status_code == 413
    await owner.execute("UPDATE logins SET expires_at = headrace_now()")
    assert (await kim.begin(tenant="acme")).status_code == 303


async def test_the_addresses_of_one_subscriber_begin_no_flood_of_log_ins(kim: Person, owner: Pool) -> None:
    app: Any = kim.browser._transport.app  # type: ignore[attr-defined]
    statuses = []
    for number in range(201):
        other = httpx.ASGITransport(app, client=(f"2001:db8:1:2::{number:x}", 1))
        async with httpx.AsyncClient(transport=other, base_url=kim.browser.base_url) as browser:
            statuses.append((await replace(kim, browser=browser).begin(tenant="acme")).status_code)
    assert statuses == [303] * 200 + [413]


async def test_no_role_reads_log_ins_on_their_way(pool: Pool) -> None:
    for statement in ("SELECT * FROM logins", "SELECT * FROM login_codes", "DELETE FROM login_codes"):
        with pytest.raises(Exception, match="permission denied"):
            await pool.execute(statement)
