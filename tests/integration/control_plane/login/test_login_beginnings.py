"""What a log-in may begin with, and where it may end."""

from dataclasses import replace
from typing import Any

import httpx
from headrace.postgres.pool import Pool

from tests.integration.control_plane.conftest import Client
from tests.integration.control_plane.login.logging_in import ALLOWED, REDIRECT, Person


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
    for body in (b"", b"[]", b'{"code": 1}', b"{" * 9000):
        assert (await kim.browser.post("/auth/token", content=body)).status_code == 422
    large = b'{"code": "' + b"x" * 20_000 + b'"}'
    assert (await kim.browser.post("/auth/token", content=large)).status_code == 413
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
