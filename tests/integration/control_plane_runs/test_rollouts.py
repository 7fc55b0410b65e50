"""A version tried on a part of the starts, over a real database and two control planes."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
from headrace.logstore.port import LogStore

from tests.integration.control_plane_runs.acting import (
    FAILURE,
    Client,
    Fleet,
    deprecate,
    orders,
    publish,
    publish_version,
    save_draft,
    start,
)
from tests.integration.control_plane_runs.audit_examples import mutate
from tests.integration.control_plane_runs.commanding import headrace
from tests.integration.control_plane_runs.conftest import serving
from tests.integration.control_plane_runs.planes import two_planes
from tests.integration.control_plane_runs.rollouts import CANDIDATE, PUBLISH, STABLE, act, rolled_out

_BULK = """mutation($items: [RunStart!]!) { startRuns(items: $items) { ... on StartedRuns { items { __typename
  ... on Run { version { number } } ... on Failure { code message } } } } }"""


@pytest.fixture
async def other(acme: Client, database: str, log_store: LogStore, master_key: bytes) -> AsyncIterator[Client]:
    """The same tenant at another control plane."""
    async with serving(database, log_store, master_key) as http:
        yield replace(acme, http=http)


async def versions(client: Client, *given: str) -> list[int]:
    """Which versions starts with these orders are for."""
    items = [{"workflow": "orders", "input": {"order": order}} for order in given]
    return [one["version"]["number"] for one in (await client(_BULK, items=items))["items"]]


async def fixed_salt(admin: asyncpg.Connection) -> None:
    """So that the same keys are drawn each time."""
    await admin.execute("UPDATE rollouts SET salt = 'salt'")


async def test_a_tenth_of_5000_starts_goes_to_the_candidate(acme: Client, other: Client) -> None:
    await rolled_out(acme)
    counted: Counter[int] = Counter()
    for n in range(5):
        counted.update(await versions((acme, other)[n % 2], *["1"] * 1_000))
    assert counted.total() == 5_000
    # Drawn by the runs' ids. Binomial, 500 expected with a deviation of 21.2; beyond 115 it is less than once in 10^7.
    assert 385 <= counted[CANDIDATE] <= 615, counted


async def test_a_key_keeps_its_version_while_the_share_grows(
    acme: Client, other: Client, admin: asyncpg.Connection
) -> None:
    await rolled_out(acme, 10, key="$.order", cohorts=[{"name": "friends", "values": ["o-3", "o-999"]}])
    await fixed_salt(admin)
    keys = [f"o-{n}" for n in range(1_000)]
    first, again = await versions(acme, *keys), await versions(other, *keys)
    assert first == again
    assert first[3] == first[999] == CANDIDATE
    # With this salt and these keys always the same.
    assert 60 <= first.count(CANDIDATE) <= 140
    assert (await act(other, "change", percent=35.25))["percent"] == 35.25
    more = await versions(acme, *keys)
    assert all(now == CANDIDATE for before, now in zip(first, more, strict=True) if before == CANDIDATE)
    assert 280 <= more.count(CANDIDATE) <= 420
    changed = await act(acme, "change", percent=0, cohorts=[{"name": "friends", "values": ["o-4"]}])
    assert changed["percent"] == 0
    assert await versions(other, "o-3", "o-4", "o-999") == [STABLE, CANDIDATE, STABLE]
    await act(acme, "change", percent=100)
    assert set(await versions(other, *keys[:100])) == {CANDIDATE}


async def test_roll_back_moves_new_starts_at_once_and_runs_in_flight_end_on_their_version(
    acme: Client, other: Client, fleet: Fleet
) -> None:
    await rolled_out(acme, 100)
    run = await start(other)
    assert run["version"]["number"] == CANDIDATE
    await fleet.claim(run["id"])
    back = await act(acme, "rollBack", note="it fails")
    assert (back["status"], back["stable"]["number"]) == ("ROLLED_BACK", STABLE)
    assert set(await versions(other, *"123456789")) == {STABLE}
    await fleet.finish(run["id"])
    ended = await acme("query($id: ID!) { run(id: $id) { status version { number } } }", id=run["id"])
    assert ended == {"status": "SUCCESS", "version": {"number": CANDIDATE}}
    # Asked again it is the same one; the candidate can be started by name, and be tried once more.
    assert (await act(other, "rollBack"))["id"] == back["id"]
    assert (await start(acme, version=CANDIDATE))["version"]["number"] == CANDIDATE
    shown = await acme('{ workflow(name: "orders") { published { number } } }')
    assert shown["published"] == {"number": STABLE}
    again = await act(acme, "begin", version=CANDIDATE, input={"percent": 100})
    assert (again["status"], again["stable"]["number"]) == ("OPEN", STABLE)
    assert await versions(other, "1") == [CANDIDATE]


async def test_a_promoted_candidate_is_what_starts_run(acme: Client, other: Client) -> None:
    await rolled_out(acme, 0)
    assert await versions(other, "1") == [STABLE]
    promoted = await act(acme, "promote")
    assert promoted["status"] == "PROMOTED"
    assert (await act(other, "promote"))["id"] == promoted["id"]
    assert await versions(other, "1") == [CANDIDATE]
    assert (await act(acme, "rollBack"))["code"] == "CONFLICT"
    # An earlier version can be a candidate, too, and is what starts run when it is promoted.
    begun = await act(acme, "begin", version=STABLE, input={"percent": 0})
    assert (begun["stable"]["number"], begun["candidate"]["number"]) == (CANDIDATE, STABLE)
    await act(acme, "promote")
    assert await versions(other, "1") == [STABLE]
    assert (await publish(acme, orders()))["created"] is False


async def test_a_start_by_version_or_by_a_known_key_is_not_touched(acme: Client, other: Client) -> None:
    await rolled_out(acme, 100)
    assert (await start(acme, version=STABLE))["version"]["number"] == STABLE
    run = await start(acme, key="k")
    assert run["version"]["number"] == CANDIDATE
    await act(acme, "rollBack")
    again = await start(other, key="k")
    assert (again["id"], again["version"]["number"]) == (run["id"], CANDIDATE)


async def test_schedules_dry_runs_and_steps_of_other_workflows_go_by_it(
    acme: Client, database: str, admin: asyncpg.Connection, master_key: bytes
) -> None:
    await rolled_out(acme, 0, key="$.order", cohorts=[{"name": "eight", "values": ["2030-05-01T08:00:00Z"]}])
    async with two_planes(database, admin, master_key) as planes:
        await planes.at("2030-05-01T06:30Z")
        await planes.schedule()
        await planes.fire_at("2030-05-01T07:00:01Z", "2030-05-01T08:00:01Z")
        numbers = await admin.fetch(
            """SELECT v.version FROM runs r JOIN workflow_versions v ON v.id = r.version_id
               WHERE r.trigger IS NOT NULL ORDER BY r.id"""
        )
    assert [row["version"] for row in numbers] == [STABLE, CANDIDATE]
    walked = await mutate(
        acme,
        "startDryRun",
        {"how": {"workflow": "orders", "input": {"order": "1"}}},
        "... on DryRun { version }",
    )
    assert walked["version"] == STABLE
    # What a step runs is pinned when its workflow is published: never a candidate, unless it is named.
    steps = [
        {"key": "any", "type": "workflow", "workflow": "orders", "input": {"order": "1"}},
        {
            "key": "named",
            "type": "workflow",
            "workflow": {"name": "orders", "version": CANDIDATE},
            "input": {"order": "1"},
        },
    ]
    made = await publish(acme, {"workflow": "parent", "steps": steps})
    assert made["__typename"] == "PublishedVersion", made
    shown = await acme('{ workflowVersion(workflow: "parent", number: 1) { resolved } }')
    assert {key: child["version"] for key, child in shown["resolved"]["children"].items()} == {
        "any": STABLE,
        "named": CANDIDATE,
    }


async def test_versions_stay_as_they_are_while_a_rollout_is_open(acme: Client) -> None:
    made = await rolled_out(acme, 12.34)
    assert made["rollout"] == {"percent": 12.34, "candidate": {"number": CANDIDATE}}
    draft = await save_draft(acme, orders(result=None))
    refused = [
        await publish(acme, orders(result=None)),
        await publish_version(acme, draft["version"]["id"]),
        await act(acme, "begin", version=STABLE, input={"percent": 1}),
    ]
    shown = await acme(
        '{ workflow(name: "orders") { versions { items { id number } } published { number } } }'
    )
    assert shown["published"] == {"number": STABLE}
    refused += [await deprecate(acme, one["id"]) for one in shown["versions"]["items"][1:]]
    assert [one.get("code") for one in refused] == ["CONFLICT"] * 5
    # The same again, with or without terms, is the candidate as it is.
    wrong = await acme(PUBLISH, d=orders(env={}), r={"percent": -1})
    assert wrong["problems"][0]["path"] == "rollout.percent"
    for terms in (None, {"percent": 90}):
        same = await acme(PUBLISH, d=orders(env={}), r=terms)
        assert (same["created"], same["version"]["number"], same["rollout"]["percent"]) == (False, 2, 12.34)
    await act(acme, "rollBack")
    published = await acme(
        """mutation($id: ID!) { publishVersion(id: $id, rollout: {percent: 50}) { __typename
             ... on PublishedVersion { version { number } rollout { percent stable { number } } } """
        + FAILURE
        + "} }",
        id=draft["version"]["id"],
    )
    assert published["version"] == {"number": 3}
    assert published["rollout"] == {"percent": 50, "stable": {"number": STABLE}}


async def test_what_can_not_be_rolled_out_is_refused(acme: Client, stranger: Client) -> None:
    pin = {"type": "string", "x-sensitive": True}
    parameters = {"type": "object", "properties": {"pin": pin, "order": {"type": "string"}}}
    first = orders(parameters=parameters)
    alone = await acme(PUBLISH, d=first, r={"percent": 10})
    assert alone["code"] == "CONFLICT"
    assert await acme("{ workflows { items { name } } }") == {"items": []}
    await publish(acme, first)
    for given in ({"percent": 1, "key": "$.pin"}, {"percent": 1, "key": "$..id"}):
        refused = await acme(PUBLISH, d=orders(env={}), r=given)
        assert [one["path"] for one in refused["problems"]] == ["rollout.key"], given
    await publish(acme, orders(env={}))
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"percent": 100.5}, "percent"),
        ({"percent": -1}, "percent"),
        ({"percent": 1.005}, "percent"),
        ({"percent": 1, "key": "$..id"}, "key"),
        ({"percent": 1, "key": "$.ids[*]"}, "key"),
        ({"percent": 1, "key": "$.pin"}, "key"),
        ({"percent": 1, "cohorts": [{"name": "a", "values": ["1"]}]}, "key"),
        ({"percent": 1, "key": "$.order", "cohorts": [{"name": "?", "values": []}]}, "cohorts[0].name"),
        (
            {"percent": 1, "key": "$.order", "cohorts": [{"name": "a", "values": [""]}]},
            "cohorts[0].values[0]",
        ),
        ({"percent": 1, "key": "$.order", "cohorts": [{"name": "a", "values": ["1"] * 501}]}, "cohorts"),
    ]
    for terms, path in wrong:
        refused = await act(acme, "begin", version=2, input=terms)
        assert [one["path"] for one in refused["problems"]] == [path], terms
    for client, verb, given, code in (
        (acme, "begin", {"version": 9, "input": {"percent": 1}}, "NOT_FOUND"),
        (stranger, "begin", {"version": 2, "input": {"percent": 1}}, "NOT_FOUND"),
        (acme, "change", {"percent": 1}, "CONFLICT"),
        (acme, "promote", {}, "CONFLICT"),
        (acme, "rollBack", {}, "CONFLICT"),
    ):
        assert (await act(client, verb, **given))["code"] == code
    assert await acme('{ rolloutComparison(workflow: "orders") { complete } }') is None


async def test_what_was_done_is_kept(acme: Client) -> None:
    await rolled_out(acme, 5)
    await act(acme, "change", percent=50, note="no complaints")
    await act(acme, "change", percent=50, note="the same again")
    await act(acme, "promote", note="done")
    shown = await acme(
        '{ rollout(workflow: "orders") { status endedAt changes { number kind percent note actor { kind } } } }'
    )
    assert shown["status"] == "PROMOTED"
    assert shown["endedAt"]
    changes = [(one["number"], one["kind"], one["percent"], one["note"]) for one in shown["changes"]]
    assert changes == [
        (3, "PROMOTED", 50, "done"),
        (2, "CHANGED", 50, "no complaints"),
        (1, "BEGUN", 5, ""),
    ]
    await act(acme, "begin", version=STABLE, input={"percent": 1})
    listed = await acme(
        '{ rollouts(workflow: "orders", first: 1) { items { status } pageInfo { hasNextPage } } }'
    )
    assert listed == {"items": [{"status": "OPEN"}], "pageInfo": {"hasNextPage": True}}


async def test_by_command(acme: Client, tmp_path: Path) -> None:
    await publish(acme, orders())
    file = tmp_path / "orders.json"
    file.write_bytes(orjson.dumps(orders(env={})))
    terms = ("--percent", "12.5", "--key", "$.order", "--cohort", "friends=a,b", "--cohort", "us=c")
    published = await headrace(acme, "rollouts", "publish", str(file), *terms)
    assert (published["created"], published["rollout"]["candidate"]["number"]) == (True, CANDIDATE)
    shown = await headrace(acme, "rollouts", "show", "orders")
    assert (shown["percent"], shown["key"], shown["status"]) == (12.5, "$.order", "OPEN")
    assert shown["cohorts"] == [{"name": "friends", "values": ["a", "b"]}, {"name": "us", "values": ["c"]}]
    changed = await headrace(
        acme, "rollouts", "change", "orders", "--percent", "50", "--note", "so far so good"
    )
    assert (changed["percent"], len(changed["cohorts"])) == (50, 2)
    assert (await headrace(acme, "rollouts", "compare", "orders"))["verdict"] == "UNDECIDED"
    assert (await headrace(acme, "rollouts", "rollback", "orders"))["status"] == "ROLLED_BACK"
    begun = await headrace(acme, "rollouts", "begin", "orders", "--version", "2", "--percent", "1")
    assert (begun["status"], begun["stable"]["number"]) == ("OPEN", STABLE)
    assert (await headrace(acme, "rollouts", "promote", "orders"))["status"] == "PROMOTED"
    refused = await headrace(
        acme, "rollouts", "begin", "orders", "--version", "1", "--cohort", "none", code=2
    )
    assert refused["error"]["problems"][0]["path"] == "--cohort"
    assert (await headrace(acme, "rollouts", "show", "nothing", code=3))["error"]["code"] == "NOT_FOUND"
