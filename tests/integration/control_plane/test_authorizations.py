"""Connections that a person authorizes at the provider, and what must not come of it."""

import asyncio
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from aiohttp import web
from headrace.postgres.pool import Pool
from headrace_control.auth.roles import Role
from headrace_control.authorizations.service import MOST
from headrace_control.settings import ControlPlaneSettings

from tests.consenting_provider import CLIENT_ID, CLIENT_SECRET, ConsentingProvider
from tests.integration.control_plane.conftest import Client
from tests.integration.control_plane.designs import FAILURE, TEST_CONNECTION, UPDATE_APP, create_app
from tests.integration.control_plane.designs import create_connection as created
from tests.target import Call, Target

REDIRECT = "http://127.0.0.1:5000/done"
ALLOWED = "https://console.example.com/authorized?from=headrace"
STATE = "of-the-client"
SHOWN = "status tokenError authorizedBy authorizedAt authorizationEndsAt secretFields"
AUTHORIZE = (
    "mutation($name: String!, $redirect: String!, $state: String!) {"
    " authorizeConnection(name: $name, redirect: $redirect, state: $state) {"
    f" ... on AuthorizationBegun {{ url callback expiresAt }} {FAILURE} }} }}"
)
FINISH = (
    "mutation($code: String!) { finishAuthorization(code: $code) {"
    f" ... on Connection {{ name {SHOWN} }} ... on ProviderRefused {{ reason }} {FAILURE} }} }}"
)


@pytest.fixture
def settings(settings: ControlPlaneSettings) -> ControlPlaneSettings:
    return settings.model_copy(
        update={
            "authorization_redirects": ALLOWED,
            "public_url": "https://headrace.example.com",
            "token_endpoint_seconds": 1.0,
        }
    )


@pytest.fixture
def provider(target: Target) -> ConsentingProvider:
    return ConsentingProvider(target)


@pytest.fixture
async def crm(admin: Client, provider: ConsentingProvider) -> str:
    """A connection that nobody has authorized yet."""
    return await connect(admin, provider)


async def connect(client: Client, provider: ConsentingProvider, name: str = "crm", **auth: Any) -> str:
    await create_app(client, name, baseUrl=provider.target.url, auth=provider.auth(**auth))
    secrets = {} if auth.get("clientAuth") == "NONE" else {"clientSecret": CLIENT_SECRET}
    made = await created(client, name, name, config={"clientId": CLIENT_ID}, secrets=secrets)
    assert made["id"], made
    return name


async def begin(client: Client, name: str = "crm", redirect: str = REDIRECT, state: str = STATE) -> Any:
    given = {"name": name, "redirect": redirect, "state": state}
    return (await client(AUTHORIZE, **given))["authorizeConnection"]


async def callback(http: httpx.AsyncClient, answer: dict[str, str]) -> httpx.Response:
    return await http.get("/oauth/callback", params=answer)


async def told(http: httpx.AsyncClient, answer: dict[str, str]) -> dict[str, str]:
    """What reaches the client by way of the browser."""
    back = await callback(http, answer)
    assert back.status_code == 303, back.text
    assert back.headers["location"].startswith(f"{REDIRECT}?")
    assert back.headers["cache-control"] == "no-store"
    return dict(parse_qsl(urlsplit(back.headers["location"]).query))


async def code_of(client: Client, provider: ConsentingProvider, name: str = "crm") -> str:
    """A code that an authorization can be finished by."""
    answer = await told(client.http, provider.consent((await begin(client, name))["url"]))
    assert answer["state"] == STATE
    return answer["code"]


async def finish(client: Client, code: str) -> Any:
    return (await client(FINISH, code=code))["finishAuthorization"]


async def state_of(client: Client, name: str = "crm") -> Any:
    return (await client(f"query($n: String!) {{ connection(name: $n) {{ {SHOWN} }} }}", n=name))[
        "connection"
    ]


async def test_a_connection_is_authorized_used_and_refreshed(
    admin: Client, crm: str, provider: ConsentingProvider, target: Target, owner: Pool
) -> None:
    assert (await state_of(admin))["status"] == "NEEDS_AUTHORIZATION"
    tested = await admin(TEST_CONNECTION, name="crm", method="GET", path="/orders")
    assert tested["testConnection"]["errorCode"] == "TOKEN_REFUSED"
    assert "authorize the connection" in tested["testConnection"]["message"]
    assert provider.asked == []
    begun = await begin(admin)
    assert begun["callback"] == "https://headrace.example.com/oauth/callback"
    answer = await told(admin.http, provider.consent(begun["url"]))
    done = await finish(admin, answer["code"])
    assert (done["status"], done["authorizedBy"], done["tokenError"]) == ("READY", "first admin", None)
    assert done["secretFields"] == ["clientSecret", "refreshToken"]
    tested = await admin(TEST_CONNECTION, name="crm", method="GET", path="/orders")
    assert tested["testConnection"]["ok"]
    (used,) = target.of("/orders")
    assert used.headers["authorization"].startswith("Bearer access-")
    # From then on it is refreshed as any other is.
    target.answers["/orders"] = _only_once(used.headers["authorization"])
    tested = await admin(TEST_CONNECTION, name="crm", method="GET", path="/orders")
    assert tested["testConnection"]["ok"]
    assert [(form["grant_type"], error) for form, error in provider.asked] == [
        ("authorization_code", None),
        ("refresh_token", None),
    ]
    left = "SELECT count(*) FROM connection_secrets WHERE field LIKE 'oauth:pending:%'"
    assert await owner.fetchval(left) == await owner.fetchval("SELECT count(*) FROM authorizations") == 0


def _only_once(refused: str) -> Any:
    async def answer(call: Call) -> web.StreamResponse:
        return web.json_response({}, status=401 if call.headers["authorization"] == refused else 200)

    return answer


async def test_a_state_is_good_for_one_answer(admin: Client, crm: str, provider: ConsentingProvider) -> None:
    answer = provider.consent((await begin(admin))["url"])
    assert "code" in await told(admin.http, answer)
    for replayed in (answer, {**answer, "code": "another"}, {**answer, "state": "hx_" + "x" * 43}, {}):
        refused = await callback(admin.http, replayed)
        assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (410, "EXPIRED")
    twice = await admin.http.get("/oauth/callback", params=[("state", answer["state"])] * 2)
    assert twice.status_code == 422
    begun = await begin(admin)
    answers = await asyncio.gather(*(callback(admin.http, provider.consent(begun["url"])) for _ in range(5)))
    assert sorted(one.status_code for one in answers) == [303, 410, 410, 410, 410]


async def test_a_code_is_good_for_one_finish_by_who_began(
    admin: Client, stranger: Client, crm: str, provider: ConsentingProvider
) -> None:
    """Another admin of the tenant, and another tenant's, are told what a code of nobody is answered."""
    nobodys = await finish(admin, "hf_" + "x" * 43)
    assert (nobodys["code"], nobodys["message"]) == ("NOT_FOUND", "authorization not found")
    colleague = await admin.with_role(Role.ADMIN)
    for other in (colleague, stranger):
        code = await code_of(admin, provider)
        assert await finish(other, code) == nobodys
    assert provider.asked == []
    # A colleague who had the code has it from somewhere: it is used up. To another tenant it is nothing.
    assert (await finish(admin, code))["status"] == "READY"
    assert await finish(admin, code) == nobodys
    code = await code_of(admin, provider)
    await finish(colleague, code)
    assert await finish(admin, code) == nobodys
    assert len(provider.asked) == 1
    viewer = await admin.with_role(Role.DESIGNER)
    assert (await begin(viewer))["code"] == (await finish(viewer, code))["code"] == "FORBIDDEN"


async def test_nobodys_consent_is_attached_to_anothers_connection(
    admin: Client, stranger: Client, crm: str, provider: ConsentingProvider
) -> None:
    """A code that one person's browser got is no use with another's state: the provider wants its own verifier."""
    await connect(stranger, provider)
    victims = provider.consent((await begin(stranger))["url"])
    attackers = provider.consent((await begin(admin))["url"])
    injected = await told(admin.http, {**attackers, "code": victims["code"]})
    refused = await finish(admin, injected["code"])
    assert (refused["code"], refused["reason"]) == ("PROVIDER_REFUSED", "invalid_grant")
    assert "canary" not in str(refused)
    assert (await state_of(admin))["status"] == "NEEDS_AUTHORIZATION"
    assert provider.asked[0][1] == "invalid_grant"


async def test_what_is_over_is_over(
    admin: Client, crm: str, provider: ConsentingProvider, owner: Pool
) -> None:
    begun, code = await begin(admin), await code_of(admin, provider)
    await owner.execute("UPDATE authorizations SET expires_at = now()")
    assert (await callback(admin.http, provider.consent(begun["url"]))).status_code == 410
    assert (await finish(admin, code))["code"] == "NOT_FOUND"
    await begin(admin)
    assert await owner.fetchval("SELECT count(*) FROM authorizations") == 1
    assert (
        await owner.fetchval("SELECT count(*) FROM connection_secrets WHERE field LIKE 'oauth:pending:%'")
        == 1
    )
    for _ in range(MOST - 1):
        await begin(admin)
    assert (await begin(admin))["code"] == "LIMIT_EXCEEDED"


async def test_an_answer_of_another_provider_is_refused(admin: Client, provider: ConsentingProvider) -> None:
    await connect(admin, provider, issuer="https://idp.example")
    for iss in ("https://evil.example", "https://idp.example/", ""):
        answer = provider.consent((await begin(admin))["url"], **({"iss": iss} if iss else {}))
        heard = await told(admin.http, answer)
        assert (heard["error"], "code" in heard) == ("PROVIDER_REFUSED", False), iss
    answer = provider.consent((await begin(admin))["url"], iss="https://idp.example")
    assert "code" in await told(admin.http, answer)
    assert provider.asked == []


async def test_what_a_provider_says_is_told_by_its_code_alone(
    admin: Client, crm: str, provider: ConsentingProvider, owner: Pool
) -> None:
    for said, told_as in (
        ("access_denied", "access_denied"),
        ("invalid_scope", "invalid_scope"),
        ("<script>canary</script>", "unknown_error"),
    ):
        state = provider.consent((await begin(admin))["url"])["state"]
        answer = {"state": state, "error": said, "error_description": "canary", "code": "x"}
        heard = await told(admin.http, answer)
        assert (heard["error"], heard["state"]) == ("PROVIDER_REFUSED", STATE)
        assert heard["error_description"] == f"the provider answered {told_as}"
        assert (await callback(admin.http, answer)).status_code == 410, "a refusal ends it, too"
    state = provider.consent((await begin(admin))["url"])["state"]
    assert (await told(admin.http, {"state": state}))["error_description"] == "the provider gave no code"
    refusals = (
        "SELECT detail ->> 'code' AS code, actor_kind FROM audit_inbox WHERE action = 'authorization.answer'"
    )
    kept = [(row["code"], row["actor_kind"]) for row in await owner.fetch(refusals + " ORDER BY id")]
    assert kept == [(c, "CALLBACK") for c in ("access_denied", "invalid_scope", "unknown_error", "no_code")]


async def test_a_code_that_is_not_taken_ends_the_authorization(
    admin: Client, crm: str, provider: ConsentingProvider
) -> None:
    foreign = b'{"error": "invalid_client", "error_description": "canary"}'
    answers: list[tuple[int, bytes, str, str | None]] = [
        (503, b"", "UNAVAILABLE", None),
        (200, b"<html>canary", "UNAVAILABLE", None),
        (401, b"", "PROVIDER_REFUSED", "HTTP_401"),
        (400, foreign, "PROVIDER_REFUSED", "invalid_client"),
        (400, b'{"error": "canary"}', "PROVIDER_REFUSED", "HTTP_400"),
    ]
    for status, body, code, reason in answers:
        finishing = await code_of(admin, provider)
        provider.broken = status, body
        refused = await finish(admin, finishing)
        assert (refused["code"], refused.get("reason")) == (code, reason), refused
        assert "canary" not in str(refused)
        asked = len(provider.asked)
        assert (await finish(admin, finishing))["code"] == "NOT_FOUND"
        assert len(provider.asked) == asked
    provider.broken = None
    assert (await finish(admin, await code_of(admin, provider)))["status"] == "READY"


async def test_where_a_browser_ends_up_is_not_for_anybody_to_choose(admin: Client, crm: str) -> None:
    assert "url" in await begin(admin, redirect=ALLOWED)
    for redirect in (
        "https://evil.example/",
        "http://127.0.0.1@evil.example:80/",
        "http://localhost:5000/done",
        "http://127.0.0.1/done",
        "javascript:alert(1)",
        "//evil.example",
        ALLOWED + "&more=1",
        "",
    ):
        refused = await begin(admin, redirect=redirect)
        assert (refused["code"], refused["problems"][0]["path"]) == ("INVALID_INPUT", "redirect"), redirect
    for state in ("", "a b", "x" * 201, "a&b=c"):
        assert (await begin(admin, state=state))["problems"][0]["path"] == "state"
    assert (await begin(admin, name="nobodys"))["code"] == "NOT_FOUND"


async def test_a_code_is_not_taken_elsewhere_than_it_was_asked_for(
    admin: Client, crm: str, provider: ConsentingProvider, target: Target
) -> None:
    begun, code = await begin(admin), await code_of(admin, provider)
    changed = provider.auth(tokenUrl=f"{target.url}/other")
    await admin(UPDATE_APP, name="crm", input={"auth": changed})
    heard = await told(admin.http, provider.consent(begun["url"]))
    assert heard["error"] == "CONFLICT"
    assert (await finish(admin, code))["code"] == "CONFLICT"
    assert target.of("/other") == target.of("/token") == []


async def test_a_connection_says_when_what_was_granted_ends(
    admin: Client, provider: ConsentingProvider, owner: Pool
) -> None:
    names = "query($s: ConnectionStatus) { connections(status: $s) { items { name } } }"
    for name, given, status in (
        ("bounded", {"refresh_expires_in": 3 * 86_400}, "EXPIRING"),
        ("brief", {"refresh_token": None}, "EXPIRING"),
        ("eternal", {}, "READY"),
        ("long", {"refresh_token_expires_in": 90 * 86_400}, "READY"),
        ("unbounded", {"refresh_expires_in": 0}, "READY"),
    ):
        await connect(admin, provider, name)
        provider.given = dict(given)
        done = await finish(admin, await code_of(admin, provider, name))
        assert (name, done["status"]) == (name, status)
        assert (done["authorizationEndsAt"] is None) == (name in ("eternal", "unbounded"))
    await connect(admin, provider, "waiting")

    async def listed(status: str | None) -> list[str]:
        return [item["name"] for item in (await admin(names, s=status))["connections"]["items"]]

    assert await listed("EXPIRING") == ["bounded", "brief"]
    assert await listed("READY") == ["eternal", "long", "unbounded"]
    assert await listed("NEEDS_AUTHORIZATION") == ["waiting"]
    assert len(await listed(None)) == 6
    await owner.execute("UPDATE connections SET authorization_ends_at = now() WHERE name = 'brief'")
    assert await listed("NEEDS_AUTHORIZATION") == ["brief", "waiting"]


async def test_a_second_authorization_replaces_the_first(
    admin: Client, crm: str, provider: ConsentingProvider
) -> None:
    """What was granted before may be another person's: nothing of it stays, where the second brings less."""
    await finish(admin, await code_of(admin, provider))
    provider.given = {"refresh_token": None}
    done = await finish(admin, await code_of(admin, provider))
    assert (done["secretFields"], done["status"]) == (["clientSecret"], "EXPIRING")


async def test_schemes_that_no_code_can_come_of_are_refused(
    admin: Client, provider: ConsentingProvider
) -> None:
    for auth, path in (
        (provider.auth(authorizationUrl=None), "auth.authorizationUrl"),
        (provider.auth(authorizationUrl="https://idp.example/a?redirect_uri=x"), "auth.authorizationUrl"),
        (provider.auth(authorizationUrl="https://idp.example\\@evil.example/"), "auth.authorizationUrl"),
        (provider.auth(authorizationUrl="javascript:alert(1)"), "auth.authorizationUrl"),
        (provider.auth(issuer="not a URL"), "auth.issuer"),
        (provider.auth(grant="REFRESH_TOKEN"), "auth.authorizationUrl"),
    ):
        given = {name: value for name, value in auth.items() if value is not None}
        refused = await create_app(admin, "wrong", auth=given)
        assert path in [problem["path"] for problem in refused["problems"]], (auth, refused)
    await create_app(admin, "plain", auth={"kind": "OAUTH2", "tokenUrl": "https://idp.example/token"})
    await created(admin, "plain", "plain", config={"clientId": "c"}, secrets={"clientSecret": "s"})
    assert (await begin(admin, name="plain"))["code"] == "CONFLICT"
