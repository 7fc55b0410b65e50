"""Who a runner is, by its session; and what it may ask for on behalf of a run, by the token of its claim."""

import secrets
from itertools import product
from typing import Any
from uuid import UUID

import httpx
import orjson
from fixtures_claims import ENROLMENT, TOKEN, World
from headrace.ids import new_id

# Every way that we know of to write a path that is not the one that was meant.
SPELLINGS = (
    "/internal/heartbeats",
    "/internal/heartbeats/",
    "//internal/heartbeats",
    "/internal//heartbeats",
    "/internal/sessions/../heartbeats",
    "/internal/sessions/%2e%2e/heartbeats",
    "/internal/sessions%2f..%2fheartbeats",
    "/internal/sessions;/../heartbeats",
    "/INTERNAL/heartbeats",
    "/internal/heartbeats%00",
    "/internal/heartbeats;x=/internal/sessions",
    "/internal/heartbeats?/internal/sessions",
    "/internal/heartbeats#/internal/sessions",
    "/internal/sessions/",
    "/internal/sessions/heartbeats",
    "/internal/sessions%20",
    "/openapi.json",
    "/docs",
    "/",
    "/internal",
)
METHODS = ("GET", "POST", "PUT", "HEAD", "OPTIONS", "TRACE")


async def enrol(
    world: World, runner: UUID, token: str = "", by: dict[str, str] | None = None
) -> httpx.Response:
    body = {"runner_id": str(runner), "session": token or f"hrs_{secrets.token_urlsafe(32)}"}
    return await world.http.post("/internal/sessions", json=body, headers=ENROLMENT if by is None else by)


async def test_nothing_but_a_session_opens_the_internal_api(world: World) -> None:
    for given in ("", "Bearer hr_something", "Bearer ", TOKEN, f"Bearer {TOKEN}", f"bearer  {TOKEN}"):
        response = await world.http.post("/internal/heartbeats", json={}, headers={"authorization": given})
        assert response.status_code == 401, given
        assert response.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_no_spelling_of_a_path_steps_around_it(world: World) -> None:
    for path, method, headers in product(SPELLINGS, METHODS, ({}, ENROLMENT)):
        response = await world.http.request(method, path, json={}, headers=headers)
        assert response.status_code == 401, (method, path, response.text)


async def test_a_session_is_opened_with_the_enrolment_token_alone(world: World) -> None:
    for by in ("", "Bearer ", "Bearer hr_something", f"Basic {TOKEN}", f"Bearer {TOKEN}x"):
        assert (await enrol(world, new_id(), by={"authorization": by})).status_code == 401, by


async def test_a_session_is_renewed_under_itself_and_belongs_to_one_runner(world: World) -> None:
    runner, other = new_id(), new_id()
    mine = await world.session(runner)
    assert (await enrol(world, runner, by=mine)).status_code == 200
    assert (await enrol(world, other, by=mine)).status_code == 401
    # Whoever has the enrolment token does not get another's name by it, nor another's session.
    assert (await enrol(world, runner)).status_code == 409
    token = mine["authorization"].removeprefix("Bearer ")
    assert (await enrol(world, other, token)).status_code == 409
    # The same one again, because its answer was lost.
    assert (await enrol(world, other, "hrs_" + "a" * 43)).status_code == 200
    assert (await enrol(world, other, "hrs_" + "a" * 43)).status_code == 200


async def test_a_session_ends_by_itself_and_with_its_runner(world: World) -> None:
    gone, late = new_id(), new_id()
    await world.session(gone)
    await world.session(late)
    await world.post("releases", gone)
    await world.admin.execute("UPDATE runner_sessions SET expires_at = now() WHERE runner_id = $1", late)
    assert await world.admin.fetchval("SELECT count(*) FROM runner_sessions WHERE runner_id = $1", gone) == 0
    assert (await world.ask("releases", late)).status_code == 401
    # Its name is free again.
    assert (await enrol(world, late)).status_code == 200


async def test_tokens_are_kept_as_hashes_alone(world: World) -> None:
    runner = new_id()
    (claim,) = (await world.claim(runner, await world.queued(await world.tenant("one"))))["claims"]
    session = (await world.session(runner))["authorization"].removeprefix("Bearer ")
    for table in ("runner_sessions", "runs"):
        rows = await world.admin.fetch(f"SELECT t::text AS row FROM {table} t")
        assert rows
        for row in rows:
            assert session not in row["row"]
            assert claim["run_token"] not in row["row"]


async def test_a_run_token_is_bound_to_run_epoch_and_runner_and_ends_with_the_claim(world: World) -> None:
    tenant = await world.tenant("one")
    connection, app = new_id(), new_id()
    await world.admin.execute(
        """INSERT INTO apps (tenant_id, id, name, base_url, auth) VALUES ($1, $2, 'a', 'https://a.example', '{}')""",
        tenant,
        app,
    )
    await world.admin.execute(
        "INSERT INTO connections (tenant_id, id, app_id, name) VALUES ($1, $2, $3, 'main')",
        tenant,
        connection,
        app,
    )
    one, two = new_id(), new_id()
    jobs = [await world.queued(tenant), await world.queued(tenant)]
    (mine,) = (await world.claim(one, jobs[0]))["claims"]
    (theirs,) = (await world.claim(two, jobs[1]))["claims"]
    await world.admin.execute("ALTER TABLE workflow_versions DISABLE TRIGGER keep_published")
    await world.admin.execute(
        "UPDATE workflow_versions SET resolved = $2 WHERE tenant_id = $1",
        tenant,
        orjson.dumps({"document": {}, "connections": {"main": str(connection)}}).decode(),
    )

    async def status(runner: UUID, claim: dict[str, Any], **changed: Any) -> int:
        run = {name: claim[name] for name in ("run_id", "epoch", "run_token")} | changed
        asked = {**run, "connection_id": str(connection), "wanted": 1}
        return (await world.ask("permits", runner, **asked)).status_code

    assert await status(one, mine) == 200
    assert await status(two, mine) == 404  # another runner's session
    assert await status(one, mine, run_token=theirs["run_token"]) == 404
    assert await status(one, mine, run_id=theirs["run_id"]) == 404
    assert await status(one, mine, epoch=2) == 404
    # Another claim is made: the first one's token is dead, although its holder is the same.
    await world.beat(one, settled=1)  # it names no run: the claim has lapsed
    (again,) = (await world.claim(one, jobs[0], call=2))["claims"]
    assert again["outcome"] == "TAKEOVER"
    assert await status(one, mine) == 404
    assert await status(one, again) == 200
    await world.admin.execute("UPDATE runs SET claimed_by = NULL WHERE id = $1", jobs[0][0])
    assert await status(one, again) == 404
