"""Where results that stand for calls are kept: who finds which, for how long, and what is kept at all."""

import hashlib
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from fixtures_claims import World
from headrace.ids import new_id
from headrace.messages import Event
from headrace.workflow.state import EventKind
from headrace_control.expiry import expire as expiry
from headrace_control.expiry.expire import Kept, expire

from tests.integration.applying import ATTEMPT, NOW

CALL, OTHER = (hashlib.sha256(name).hexdigest() for name in (b"call", b"other"))
RUNNER = new_id()
KEPT = Kept(timedelta(days=1), timedelta(days=1))


class Claimed:
    """A run, claimed by `RUNNER`."""

    def __init__(self, world: World, tenant: UUID, run: UUID, token: str) -> None:
        self.world, self.tenant, self.run, self._token = world, tenant, run, token
        self._seqs: Counter[int] = Counter()

    async def asks(self, digest: str = CALL, **other: Any) -> Any:
        given = {"run_id": str(self.run), "epoch": 1, "run_token": self._token, "digest": digest} | other
        return await self.world.ask("cached-results", RUNNER, **given)

    async def found(self, digest: str = CALL) -> Any:
        response = await self.asks(digest)
        assert response.status_code == 200, response.text
        return response.json()

    async def keeps(self, slot: str, output: Any = None, epoch: int = 1, **more: Any) -> None:
        """Apply that a step ended, with a result to be kept."""
        self._seqs[epoch] += 1
        cache = {"slot": slot, "action": "shop/price", "ttlMs": 60_000} | more
        data = {"status": "SUCCESS", "attempt": ATTEMPT, "output": output, "cache": cache}
        event = Event(self.tenant, self.run, epoch, self._seqs[epoch], EventKind.COMPLETED, NOW, "a", data)
        await self.world.applier.apply([event])


async def claimed(world: World, tenant: UUID) -> Claimed:
    job = await world.queued(tenant)
    granted = (await world.claim(RUNNER, job))["claims"][0]
    return Claimed(world, tenant, job[0], granted["run_token"])


async def kept(world: World) -> int:
    return int(await world.admin.fetchval("SELECT count(*) FROM cached_results"))


async def test_a_slot_is_of_one_tenant_and_one_call(world: World) -> None:
    mine, theirs = await world.tenant("mine"), await world.tenant("theirs")
    one, two, stranger = [await claimed(world, tenant) for tenant in (mine, mine, theirs)]
    answer = await one.found()
    assert answer["found"] is None
    slots = [(await run.found(digest))["slot"] for run in (one, two, stranger) for digest in (CALL, OTHER)]
    assert slots[:2] == slots[2:4] == slots[4:]  # the tenants of these tests share a key: the rows are apart
    assert slots[0] != slots[1]
    await one.keeps(answer["slot"], {"n": 1})
    found = (await two.found())["found"]
    assert (found["output"], found["run_id"]) == ({"n": 1}, str(one.run))
    assert (await stranger.found())["found"] is None
    assert (await two.found(OTHER))["found"] is None


async def test_only_the_holder_of_a_claim_asks(world: World) -> None:
    run = await claimed(world, await world.tenant("mine"))
    for wrong in ({"run_token": "another"}, {"epoch": 2}, {"run_id": str(new_id())}):
        assert (await run.asks(**wrong)).status_code == 404
    assert (await run.asks(digest="no digest")).status_code == 422


async def test_a_rerun_and_its_children_find_nothing_and_keep_what_they_get(world: World) -> None:
    tenant = await world.tenant("mine")
    origin, again, child = [await claimed(world, tenant) for _ in range(3)]
    slot = (await origin.found())["slot"]
    await origin.keeps(slot, "old")
    await world.admin.execute("UPDATE runs SET origin_run_id = $2 WHERE id = $1", again.run, origin.run)
    await world.admin.execute(
        "UPDATE runs SET parent_run_id = $2, parent_step = 's' WHERE id = $1", child.run, again.run
    )
    for run in (again, child):
        assert await run.found() == {"slot": slot, "found": None}
    await again.keeps(slot, "new")
    assert (await origin.found())["found"]["output"] == "new"


async def test_only_what_is_applied_is_kept(world: World) -> None:
    run = await claimed(world, await world.tenant("mine"))
    slot = (await run.found())["slot"]
    await run.keeps(slot, "of a claim that nobody was granted", epoch=2)
    assert await kept(world) == 0
    await run.keeps(slot, {"n": [1, {"m": None}]})
    await run.keeps(slot, None)
    assert (await run.found())["found"]["output"] is None
    await run.keeps("00" * 31, "a slot that is none")
    assert await world.admin.fetchval("SELECT wait_reason FROM runs WHERE id = $1", run.run) == "DEAD_LETTER"
    assert await kept(world) == 1


async def test_what_is_forgotten_stands_for_nothing_and_later_results_do(world: World) -> None:
    mine, theirs = [await claimed(world, await world.tenant(name)) for name in ("mine", "theirs")]
    slot = (await mine.found())["slot"]
    for run in (mine, theirs):
        await run.keeps(slot, "old")
    forget = "INSERT INTO forgotten_results (tenant_id, action, at) VALUES ($1, $2, headrace_now())"
    await world.admin.execute(forget, mine.tenant, "shop/stock")
    assert (await mine.found())["found"] is not None
    await world.admin.execute(forget, mine.tenant, "shop/price")
    assert (await mine.found())["found"] is None
    assert (await theirs.found())["found"] is not None
    await mine.keeps(slot, "new")
    assert (await mine.found())["found"]["output"] == "new"
    await world.admin.execute(forget, mine.tenant, "*")
    assert (await mine.found())["found"] is None
    assert await expire(world.pool, KEPT) == 0
    await world.admin.execute("UPDATE forgotten_results SET at = at - interval '31 days'")
    assert await expire(world.pool, KEPT) == 3


async def test_it_ends_with_its_time(world: World) -> None:
    run = await claimed(world, await world.tenant("mine"))
    slot = (await run.found())["slot"]
    await run.keeps(slot, "short")
    assert await expire(world.pool, KEPT) == 0
    await world.admin.execute("UPDATE cached_results SET expires_at = headrace_now()")
    assert (await run.found())["found"] is None
    assert await expire(world.pool, KEPT) == 1
    assert await kept(world) == 0


async def test_a_tenant_keeps_so_many_and_crowds_out_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "MOST_CACHED", 3)
    monkeypatch.setattr(expiry, "MOST", 2)
    mine, theirs = (
        await claimed(world, await world.tenant("mine")),
        await claimed(world, await world.tenant("t")),
    )
    for n in range(8):
        await mine.keeps(f"{n:064x}", n, ttlMs=60_000 + n)
    await theirs.keeps("ff" * 32)
    assert await expire(world.pool, KEPT) == 5
    left = await world.admin.fetch("SELECT output FROM cached_results WHERE output <> 'null' ORDER BY slot")
    assert [row["output"] for row in left] == ["5", "6", "7"]
    assert await kept(world) == 4
