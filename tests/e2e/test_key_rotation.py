"""Both keys are replaced with two hundred runs in flight: no run fails, and nothing is left under an old key."""

import asyncio
import json
import os
import secrets
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from designer import Designer
from fleet import PROJECT, Backends, Fleet, Service
from target import Target

RUNS, SECRETS = 200, 5
API_KEY, TOKEN = "canary-api-key-4711", "canary-env-token-4712"
_START = """mutation ($items: [RunStart!]!) {
    startRuns(items: $items) { ... on StartedRuns { items { ... on Run { id } } } } }"""

_WAITING = """SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND datname = current_database() AND query LIKE '%FROM secrets s JOIN%'"""
_SETTINGS = {"HEADRACE_PARTITIONS": "2", "HEADRACE_UNCLAIMED_AFTER_SECONDS": "5"}
_ACTIVE = "SELECT count(*) FROM {} s JOIN data_keys k ON k.id = s.key_id WHERE k.active"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("backends", ["embedded"], indirect=True)
async def test_both_keys_are_replaced_under_load(backends: Backends, tmp_path: Path) -> None:
    async with Fleet(backends, tmp_path, _SETTINGS) as fleet, Target() as target:
        await fleet.start_all()
        control_plane = fleet.services[0]
        designer = Designer(fleet)
        await design(designer, target)
        before = await keys(backends)

        # Every run is caught in its first call, with its credentials handed out.
        target.hold("/first")
        started = await designer.do(_START, items=[{"workflow": "load"}] * RUNS)
        runs = [run["id"] for run in started["startRuns"]["items"]]
        await target.called("/first", RUNS // 2, seconds=60)

        # The data key: the process dies between two batches, and another takes the rotation up.
        await cut_off(fleet, backends, control_plane)
        assert len(await keys(backends)) == 2
        # The wrapping key: the new one stands before the old one, which still unwraps.
        key_file = tmp_path / "key"
        old = key_file.read_text()
        key_file.write_text(b64encode(secrets.token_bytes(32)).decode() + "\n" + old)
        control_plane = await fleet.control_plane()
        target.release("/first")
        resumed, rewrapped = await asyncio.gather(
            headrace(fleet, "keys", "rotate", "--resume"), headrace(fleet, "keys", "rewrap")
        )
        assert resumed["remaining"] == rewrapped["remaining"] == 0
        # The old wrapping key is not needed any more.
        key_file.write_text(key_file.read_text().splitlines()[0])
        await control_plane.kill()
        await fleet.control_plane()

        ended = [await designer.ended(run, seconds=120) for run in runs]
        assert {run["status"] for run in ended} == {"SUCCESS"}, fleet.process_logs()[-3000:]
        for path in ("/first", "/second"):
            calls = target.of(path)
            assert {call.headers["x-api-key"] for call in calls} == {API_KEY}
            assert {call.query["token"] for call in calls} == {TOKEN}
            assert len(calls) >= RUNS

        after = await keys(backends)
        assert len(after) == 1
        assert not after.keys() & before.keys(), "an old data key is left"
        assert not set(after.values()) & set(before.values()), "an old wrapping key is left"
        (standing,) = (await designer.do("{ wrappingKeys { current dataKeys } }"))["wrappingKeys"]
        assert standing == {"current": True, "dataKeys": 1}
        status = await headrace(fleet, "keys", "status")
        assert (status["values"], status["remaining"], status["dataKeys"]) == (SECRETS + 2, 0, 1)
        for table, text in await everything(backends):
            assert "canary" not in text, f"a plaintext stands in {table}"


async def design(designer: Designer, target: Target) -> None:
    await designer.app("shop", target.url, {"kind": "API_KEY", "in": "header", "name": "X-Api-Key"})
    await designer.connection("shop", "shop-main", {"apiKey": API_KEY})
    await asyncio.gather(*(designer.secret(f"s{n}", f"canary-of-{n}") for n in range(SECRETS)))
    await designer.secret("token", TOKEN)
    for path in ("first", "second"):
        await designer.action("shop", path, "GET", f"/{path}", querySchema={"type": "object"})
    steps = [
        {
            "key": path,
            "action": f"shop/{path}",
            "connection": "shop-main",
            "input": {"token": "{{ env.TOKEN }}"},
        }
        for path in ("first", "second")
    ]
    await designer.publish({"workflow": "load", "env": {"TOKEN": {"secret": "token"}}, "steps": steps})


async def headrace(fleet: Fleet, *arguments: str) -> Any:
    """What the command prints as JSON."""
    environment = {
        "PATH": os.environ["PATH"],
        "HEADRACE_URL": fleet.url,
        "HEADRACE_API_KEY": fleet.api_key,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "headrace_cli.main", *arguments, "--json"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=PROJECT,
    )
    out, error = await process.communicate()
    assert process.returncode == 0, error.decode()
    return json.loads(out)


async def keys(backends: Backends) -> dict[Any, str]:
    """The data keys by id, and who wrapped each."""
    db = await asyncpg.connect(backends.database_url)
    try:
        return {
            row["id"]: row["wrapped_by"] for row in await db.fetch("SELECT id, wrapped_by FROM data_keys")
        }
    finally:
        await db.close()


async def cut_off(fleet: Fleet, backends: Backends, control_plane: Service) -> None:
    """Kill the control plane when it has sealed the connections anew and not yet the secrets."""
    db = await asyncpg.connect(backends.database_url)
    holder = await asyncpg.connect(backends.database_url)
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE secrets IN EXCLUSIVE MODE")  # reads go on
            rotating = asyncio.create_task(fleet.graphql("mutation { rotateDataKey { __typename } }"))
            async with asyncio.timeout(30):
                while not await db.fetchval(_WAITING):
                    await asyncio.sleep(0.01)  # nothing tells of a lock
            await control_plane.kill()
            with pytest.raises(httpx.HTTPError):
                await rotating
        assert await db.fetchval(_ACTIVE.format("connection_secrets")) == 1
        assert await db.fetchval(_ACTIVE.format("secrets")) == 0
    finally:
        await holder.close()
        await db.close()


async def everything(backends: Backends) -> list[tuple[str, str]]:
    """Every row of every table, as text."""
    db = await asyncpg.connect(backends.database_url)
    try:
        tables = await db.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'schema_%'"
        )
        return [
            (table["tablename"], str(row["text"]))
            for table in tables
            for row in await db.fetch(f'SELECT t::text AS text FROM "{table["tablename"]}" t')
        ]
    finally:
        await db.close()
