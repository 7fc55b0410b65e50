"""What a run shows of its children, of loops, and of what was undone or asked about."""

from typing import Any
from uuid import UUID

import asyncpg
import pytest
from headrace.ids import new_id

from tests.integration.control_plane_runs.acting import Client, Fleet, orders, publish, started


async def rows(fleet: Fleet, run: str, *keys: str, **columns: Any) -> None:
    for key in keys:
        await fleet.admin.execute(
            """INSERT INTO step_runs (tenant_id, run_id, key, status, wait, items, round)
               SELECT tenant_id, id, $2, $3, $4, $5, $6 FROM runs WHERE id = $1""",
            UUID(run),
            key,
            columns.get("status", "SUCCESS"),
            columns.get("wait"),
            columns.get("items"),
            columns.get("round", 0),
        )


async def child(fleet: Fleet, parent: str, step: str) -> str:
    """As the reporter does when it applies `waiting` for a child."""
    run = new_id()
    await fleet.admin.execute(
        """INSERT INTO runs (id, tenant_id, workflow_id, version_id, dispatch_id, parent_run_id, parent_step, depth)
           SELECT $2, tenant_id, workflow_id, version_id, $3, id, $4, depth + 1 FROM runs WHERE id = $1""",
        UUID(parent),
        run,
        new_id(),
        step,
    )
    return str(run)


async def test_a_run_shows_its_parent_and_its_children(acme: Client, stranger: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    parent, other = await started(acme), await started(acme)
    children = [await child(fleet, parent, f"many[{n}]") for n in range(3)]
    query = """query($id: ID!, $after: String) { run(id: $id) { parentStep parent { id }
        children(first: 2, after: $after) { items { id parentStep } pageInfo { hasNextPage endCursor } } } }"""
    page = await acme(query, id=parent)
    assert (page["parent"], page["parentStep"]) == (None, None)
    assert [one["id"] for one in page["children"]["items"]] == children[:2]
    assert page["children"]["items"][1]["parentStep"] == "many[1]"
    rest = (await acme(query, id=parent, after=page["children"]["pageInfo"]["endCursor"]))["children"]
    assert ([one["id"] for one in rest["items"]], rest["pageInfo"]["hasNextPage"]) == ([children[2]], False)
    shown = await acme(query, id=children[0])
    assert (shown["parent"], shown["parentStep"]) == ({"id": parent}, "many[0]")
    assert (await acme(query, id=other))["children"]["items"] == []


async def test_what_belongs_to_a_step_stands_behind_it(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    run = await started(acme)
    await rows(fleet, run, "refund.undo", "fetch", "refund.probe", "refund", "refund[0]", "refund[0].undo")
    steps = (await acme("query($id: ID!) { run(id: $id) { steps { key } } }", id=run))["steps"]
    assert [step["key"] for step in steps] == ["fetch", "refund", "refund.probe", "refund.undo"]


async def test_a_step_shows_what_it_waits_for(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    run = await started(acme)
    wait = '{"kind": "TIMER", "until": "2030-01-31T12:00:00+00:00"}'
    await rows(fleet, run, "fetch", status="WAITING", wait=wait, round=4)
    query = "query($id: ID!) { run(id: $id) { steps { key round itemCount wait { kind until } } } }"
    fetch, refund = (await acme(query, id=run))["steps"]
    assert fetch == {
        "key": "fetch",
        "round": 4,
        "itemCount": None,
        "wait": {"kind": "TIMER", "until": "2030-01-31T12:00:00Z"},
    }
    assert refund["wait"] is None


async def test_the_items_of_a_loop_come_in_pages_in_their_order(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    run = await started(acme)
    await rows(fleet, run, "fetch", items=12)
    await rows(fleet, run, "fetch.undo", "fetch[9].undo", "fetch[9].probe", "refund[1]")
    await rows(fleet, run, *(f"fetch[{n}]" for n in (11, 2, 10, 0, 9, 1)))
    expected = [
        *(f"fetch[{n}]" for n in (0, 1, 2, 9)),
        "fetch[9].probe",
        "fetch[9].undo",
        "fetch[10]",
        "fetch[11]",
    ]
    query = """query($id: ID!, $after: String) { run(id: $id) { steps { key itemCount
        items(first: 3, after: $after) { items { key status } pageInfo { hasNextPage endCursor } } } } }"""
    seen, after = [], None
    while True:
        step = (await acme(query, id=run, after=after))["steps"][0]
        assert (step["key"], step["itemCount"]) == ("fetch", 12)
        seen += [item["key"] for item in step["items"]["items"]]
        after = step["items"]["pageInfo"]["endCursor"]
        if not step["items"]["pageInfo"]["hasNextPage"]:
            break
    assert seen == expected
    for bad in ("nonsense", "WyJpdGVtcyIsImZldGNoIl0"):
        assert (await acme.error(query, id=run, after=bad))["extensions"]["code"] == "INVALID_INPUT"


async def test_a_page_of_lasting_runs_costs_as_many_transactions_as_one(
    acme: Client, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish(acme, orders())
    for _ in range(5):
        run = await started(acme)
        await rows(fleet, run, "fetch", items=2)
        await rows(fleet, run, "fetch[0]", "fetch[1]")
        await fleet.open_wait(run, "fetch", "APPROVAL")
        await child(fleet, run, "fetch")
    acquire, acquired = asyncpg.pool.Pool.acquire, 0

    def counting(pool: asyncpg.Pool, *, timeout: float | None = None) -> Any:
        nonlocal acquired
        acquired += 1
        return acquire(pool, timeout=timeout)

    monkeypatch.setattr(asyncpg.pool.Pool, "acquire", counting)
    query = """query($first: Int!) { runs(first: $first) { items { parent { id } children(first: 2) { items { id } }
        waits(first: 2) { items { step } } steps { items(first: 2) { items { key } } } } } }"""
    costs = []
    for first in (2, 10):
        acquired = 0
        assert len((await acme(query, first=first))["items"]) == first
        costs.append(acquired)
    assert costs[0] == costs[1]
