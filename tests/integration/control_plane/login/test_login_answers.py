"""The answers of a log-in, the provider's and ours: each counts once, and for who asked."""

import asyncio
from typing import Any

import pytest
from headrace.postgres.pool import Pool

from tests.integration.control_plane.conftest import Client
from tests.integration.control_plane.login.logging_in import Person, joined, told
from tests.integration.control_plane.people import invite
from tests.issuer import ec_key, signed


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


async def test_no_role_reads_log_ins_on_their_way(pool: Pool) -> None:
    for statement in ("SELECT * FROM logins", "SELECT * FROM login_codes", "DELETE FROM login_codes"):
        with pytest.raises(Exception, match="permission denied"):
            await pool.execute(statement)
