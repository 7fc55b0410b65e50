"""`headrace tenants create | new-key | list`, against a real API."""

import asyncio
import re
import tomllib
from pathlib import Path

import httpx
import pytest
from headrace.postgres.pool import open_pool
from headrace_cli.main import app
from headrace_control.tenants.service import bootstrap
from typer.testing import CliRunner

from tests.integration.control_plane_runs.acting import Client
from tests.integration.control_plane_runs.commanding import headrace


@pytest.fixture
async def platform(http: httpx.AsyncClient, database: str) -> Client:
    async with await open_pool(database) as owner:
        return Client(http, (await bootstrap(owner, "platform", new_key=True)).key.text)


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    """A profile file without a profile."""
    file = tmp_path / "profiles.toml"
    file.touch(mode=0o600)
    return file


async def words(client: Client, *given: str, file: Path) -> str:
    """What the command says to people."""
    env = {
        "HEADRACE_URL": str(client.http.base_url),
        "HEADRACE_API_KEY": client.key,
        "HEADRACE_PROFILE_FILE": str(file),
    }
    done = await asyncio.to_thread(CliRunner().invoke, app, list(given), env=env)
    assert done.exit_code == 0, done.output
    return done.stdout


async def test_a_tenant_is_made_and_its_key_acts_for_it(platform: Client) -> None:
    made = await headrace(platform, "tenants", "create", "globex")
    assert made["tenant"]["name"] == "globex"
    globex = Client(platform.http, made["apiKey"])
    assert await globex("{ tenant { id name } }") == made["tenant"]
    assert (await globex("{ me { role } }"))["role"] == "ADMIN"

    taken = await headrace(platform, "tenants", "create", "globex", code=2)
    assert taken["error"]["code"] == "CONFLICT"
    wrong = await headrace(platform, "tenants", "create", "Glob ex", code=2)
    assert wrong["error"]["problems"][0]["path"] == "name"
    for refused in (("create", "initech"), ("list",)):
        answer = await headrace(globex, "tenants", *refused, code=3)
        assert answer["error"]["code"] == "FORBIDDEN"


async def test_a_person_is_told_the_key_once_and_how_to_use_it(platform: Client, profiles: Path) -> None:
    said = await words(platform, "tenants", "create", "globex", file=profiles)
    (key,) = [line for line in said.splitlines() if line.startswith("hr_")]
    assert said.count(key) == 1
    assert str(profiles) in said

    # As it is said: the lines, with the key.
    profiles.write_text(said[said.index("[globex]") :].replace("...", key))
    profile = tomllib.loads(profiles.read_text())["globex"]
    assert profile == {"url": str(platform.http.base_url).rstrip("/"), "api_key": key}
    env = {"HEADRACE_PROFILE_FILE": str(profiles), "HEADRACE_API_KEY": None, "HEADRACE_URL": None}
    own = ["pools", "own", "--profile", "globex"]
    done = await asyncio.to_thread(CliRunner().invoke, app, own, env=env)
    assert (done.exit_code, done.stdout) == (0, "default; granted: none\n")


async def test_a_tenant_whose_key_was_lost_gets_another(platform: Client, profiles: Path) -> None:
    lost = await headrace(platform, "tenants", "create", "globex")
    assert lost["expiresAt"] is None
    made = await headrace(platform, "tenants", "new-key", "globex")
    assert made.keys() == {"apiKey", "expiresAt"}
    assert made["apiKey"] != lost["apiKey"]

    said = await words(platform, "tenants", "new-key", "globex", file=profiles)
    (key,) = [line for line in said.splitlines() if line.startswith("hr_")]
    assert said.count(key) == 1
    assert (await Client(platform.http, key)("{ me { role } }"))["role"] == "ADMIN"

    refused = await headrace(platform, "tenants", "new-key", "globex", code=2)
    assert refused["error"]["code"] == "CONFLICT"
    nobody = await headrace(platform, "tenants", "new-key", "nobody", code=3)
    assert nobody["error"]["code"] == "NOT_FOUND"


async def test_tenants_are_listed_by_name_with_their_ids(platform: Client, profiles: Path) -> None:
    made = await headrace(platform, "tenants", "create", "globex")
    everybody = await headrace(platform, "tenants", "list")
    assert not everybody["pageInfo"]["hasNextPage"]
    names = [one["name"] for one in everybody["items"]]
    assert {"globex", "platform"} < set(names)
    assert names == sorted(names)
    assert made["tenant"]["id"] == everybody["items"][names.index("globex")]["id"]

    page = await headrace(platform, "tenants", "list", "--first", "1")
    assert page["pageInfo"]["hasNextPage"]
    cursor = page["pageInfo"]["endCursor"]
    rest = await headrace(platform, "tenants", "list", "--after", cursor)
    assert page["items"] + rest["items"] == everybody["items"]

    said = await words(platform, "tenants", "list", file=profiles)
    assert re.search(rf"^globex +{made['tenant']['id']} ", said, re.MULTILINE)
    assert "platform (platform)" in said
    assert f"more: --after {cursor}" in await words(
        platform, "tenants", "list", "--first", "1", file=profiles
    )
