"""`headrace login` and `headrace logout`, with a certified OpenID provider and a browser that follows it."""

import asyncio
import json
import re
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
import uvicorn
from headrace_cli.login import browser
from headrace_cli.main import app as headrace_app
from headrace_control.app import create_app as public_app
from headrace_control.auth.roles import Role
from headrace_control.compose import Composed
from headrace_control.settings import ControlPlaneSettings
from loopback import loopback
from pydantic import SecretStr
from typer.testing import CliRunner

from tests.integration.control_plane.conftest import Client
from tests.integration.control_plane.designs import TEST_CONNECTION, create_app, create_connection
from tests.integration.control_plane.people import invite

NAMED = '# mine\n[other]\nurl = "https://other.example.com"\napi_key = "hr_of_the_other"\n'


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with loopback() as listening:
        yield listening


@pytest.fixture
def settings(
    settings: ControlPlaneSettings, listening: socket.socket, oauth2_url: str
) -> ControlPlaneSettings:
    """Of a deployment that the provider knows."""
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    client = {
        "redirect_uris": [f"{url}/auth/callback"],
        "response_types": ["code"],
        "grant_types": ["authorization_code"],
    }
    registered = httpx.post(f"{oauth2_url}/reg", json=client, trust_env=False).json()
    return settings.model_copy(
        update={
            "public_url": url,
            "oidc_issuer": oauth2_url,
            "oidc_client_id": registered["client_id"],
            "oidc_client_secret": SecretStr(registered["client_secret"]),
        }
    )


@pytest.fixture
async def deployment(
    composed: Composed, settings: ControlPlaneSettings, listening: socket.socket
) -> AsyncIterator[str]:
    app = public_app(composed.services, composed.authenticator, {})
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
    task = asyncio.create_task(server._serve(sockets=[listening]))
    yield settings.public_base
    server.should_exit = True
    await task


async def walk(address: str, person: str) -> httpx.Response:
    """A browser that opens `address`, and a person who fills in what the provider shows."""
    async with httpx.AsyncClient(trust_env=False) as browser:
        answer = await browser.get(address)
        for _ in range(12):
            if answer.is_redirect:
                answer = await browser.get(urljoin(str(answer.url), answer.headers["location"]))
            elif (form := re.search(r'<form[^>]*action="([^"]+)"', answer.text)) is not None:
                prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
                assert prompt is not None
                filled = {"prompt": prompt[1], "login": person, "password": "any"}
                answer = await browser.post(urljoin(str(answer.url), form[1]), data=filled)
            else:
                return answer
    raise AssertionError("the browser went round in circles")


async def headrace(*words: str, file: Path, code: int = 0) -> Any:
    env = {"HEADRACE_PROFILE_FILE": str(file), "HEADRACE_API_KEY": None, "HEADRACE_URL": None}
    done = await asyncio.to_thread(CliRunner().invoke, headrace_app, [*words, "--json"], env=env)
    assert done.exit_code == code, done.output
    # The deployment of this test logs to the same place, before it answers.
    return json.loads("{" + done.stdout.partition("{")[2])


@pytest.fixture
async def opened(monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[str]:
    """The addresses that the command opens in the browser."""
    addresses: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def open_address(address: str) -> bool:
        loop.call_soon_threadsafe(addresses.put_nowait, address)
        return True

    monkeypatch.setattr(browser.webbrowser, "open", open_address)
    # A test that fails does not wait for a person.
    monkeypatch.setattr(browser, "_PATIENCE_SECONDS", 30.0)
    return addresses


async def test_a_person_joins_works_and_logs_out(
    deployment: str, admin: Client, opened: asyncio.Queue[str], tmp_path: Path
) -> None:
    file = tmp_path / "own" / "profiles.toml"
    file.parent.mkdir()
    file.write_text(NAMED)
    file.chmod(0o600)
    code = (await invite(admin, "kim@example.com", Role.DESIGNER))["code"]
    command = ("login", "--url", deployment)
    task = asyncio.create_task(headrace(*command, "--invitation", code, file=file))
    page = await walk(await opened.get(), "kim")
    assert "you can close this window" in page.text
    assert "hs_" not in str(page.url)
    made = await task
    assert {name: made[name] for name in ("tenant", "email", "role")} == {
        "tenant": "acme",
        "email": "kim@example.com",
        "role": "DESIGNER",
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().startswith(NAMED)
    await headrace("logs", file=file)
    task = asyncio.create_task(headrace(*command, "--tenant", "acme", "--profile", "work", file=file))
    await walk(await opened.get(), "kim")
    assert (await task)["profile"] == "work"
    assert file.read_text().count("session = ") == 2
    refused = await headrace(*command, "--tenant", "acme", "--profile", "other", file=file, code=2)
    assert refused["error"]["problems"][0]["path"] == "profile"
    await headrace("logout", "--profile", "work", file=file)
    again = await headrace("logout", "--profile", "work", file=file, code=2)
    assert again["error"]["problems"][0]["path"] == "profile"
    await headrace("logs", "--profile", "work", file=file, code=2)
    await headrace("logs", file=file)
    assert file.read_text().startswith(NAMED)


async def test_who_is_no_member_is_told(
    deployment: str, admin: Client, opened: asyncio.Queue[str], tmp_path: Path
) -> None:
    file = tmp_path / "profiles.toml"
    task = asyncio.create_task(headrace("login", "--url", deployment, "--tenant", "acme", file=file, code=3))
    await walk(await opened.get(), "lee")
    assert (await task)["error"]["code"] == "FORBIDDEN"
    assert not file.exists()


async def test_a_foreign_visitor_of_the_listener_changes_nothing(
    deployment: str, admin: Client, opened: asyncio.Queue[str], tmp_path: Path
) -> None:
    code = (await invite(admin, "kim@example.com"))["code"]
    file = tmp_path / "profiles.toml"
    task = asyncio.create_task(headrace("login", "--url", deployment, "--invitation", code, file=file))
    address = await opened.get()
    redirect = httpx.URL(address).params["redirect"]
    async with httpx.AsyncClient(trust_env=False) as visitor:
        for path, status in (("", 400), ("?state=guessed&code=hl_x", 400), ("/../other", 404)):
            assert (await visitor.get(redirect + path)).status_code == status
        assert (await visitor.post(redirect)).status_code == 404
        assert not task.done()
    await walk(address, "kim")
    assert (await task)["tenant"] == "acme"


async def test_a_connection_is_authorized_at_a_certified_provider(
    deployment: str, admin: Client, opened: asyncio.Queue[str], oauth2_url: str, tmp_path: Path
) -> None:
    """The whole way: the provider registers the callback, checks PKCE, and gives tokens that it knows."""
    client = {
        "redirect_uris": [f"{deployment}/oauth/callback"],
        "response_types": ["code"],
        "grant_types": ["authorization_code", "refresh_token"],
    }
    registered = httpx.post(f"{oauth2_url}/reg", json=client, trust_env=False).json()
    auth = {
        "kind": "OAUTH2",
        "grant": "AUTHORIZATION_CODE",
        "authorizationUrl": f"{oauth2_url}/auth?prompt=consent",
        "tokenUrl": f"{oauth2_url}/token",
        "scopes": ["openid", "offline_access", "orders"],
        # The provider names itself in its answers (RFC 9207).
        "issuer": oauth2_url,
    }
    await create_app(admin, "crm", baseUrl=oauth2_url, auth=auth)
    config, secrets = {"clientId": registered["client_id"]}, {"clientSecret": registered["client_secret"]}
    await create_connection(admin, "crm", "crm", config=config, secrets=secrets)
    file = tmp_path / "profiles.toml"
    file.write_text(f'[default]\nurl = "{deployment}"\napi_key = "{admin.key}"\n')
    file.chmod(0o600)
    listed = await headrace("connections", "list", "--status", "NEEDS_AUTHORIZATION", file=file)
    assert [one["name"] for one in listed["items"]] == ["crm"]
    task = asyncio.create_task(headrace("connections", "authorize", "crm", file=file))
    page = await walk(await opened.get(), "kim")
    assert "you can close this window" in page.text
    done = await task
    assert (done["status"], done["authorizedBy"]) == ("READY", "first admin")
    tested = await admin(TEST_CONNECTION, name="crm", method="GET", path="/me")
    assert tested["testConnection"]["status"] == 200
    task = asyncio.create_task(headrace("connections", "authorize", "crm", file=file, code=3))
    async with httpx.AsyncClient(trust_env=False) as browser_of_kim:
        asked = httpx.URL(await opened.get())
        refusal = {"state": asked.params["state"], "error": "access_denied", "iss": oauth2_url}
        back = await browser_of_kim.get(f"{deployment}/oauth/callback", params=refusal)
        assert (await browser_of_kim.get(back.headers["location"])).status_code == 200
    assert (await task)["error"]["message"] == "the provider answered access_denied"
