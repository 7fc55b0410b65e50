"""Claims of runs that may have to undo what others did: they get what those runs saw, and no more than they need."""

from typing import Any
from uuid import UUID

import pytest
from fixtures_claims import World
from headrace.ids import new_id
from headrace_control.internal_api import doers

UNDO = {"action": "shop/undo", "input": {}}
DOCUMENT = {
    "steps": [
        {"key": "kept", "action": "shop/do"},
        {"key": "undone", "action": "shop/do", "compensate": UNDO},
        {"key": "each", "action": "shop/do", "compensate": UNDO, "forEach": {"items": [1]}},
        {"key": "paid", "type": "signal"},
    ]
}


async def tenant_of(world: World) -> UUID:
    return await world.tenant("one", document=DOCUMENT)


async def did(world: World, tenant: UUID, text: str = "") -> UUID:
    """A run that has ended."""
    run, dispatch = await world.queued(tenant)
    await world.admin.execute("DELETE FROM dispatches WHERE id = $1", dispatch)
    await world.admin.execute(
        """UPDATE runs SET status = 'FAILED', started_at = created_at, finished_at = now(),
           input = CASE WHEN $2 = '' THEN input ELSE jsonb_build_object('text', $2::text) END WHERE id = $1""",
        run,
        text,
    )
    return run


async def taking(world: World, tenant: UUID, **taken: UUID) -> tuple[UUID, UUID]:
    """A queued re-run that has taken these rows over."""
    job = await world.queued(tenant)
    await world.admin.execute("UPDATE runs SET origin_run_id = $2 WHERE id = $1", job[0], new_id())
    for key, doer in taken.items():
        await row(world, tenant, job[0], key, doer)
    return job


async def row(
    world: World, tenant: UUID, run: UUID, key: str, doer: UUID | None, status: str = "SUCCESS"
) -> None:
    await world.admin.execute(
        "INSERT INTO step_runs (tenant_id, run_id, key, status, taken_from) VALUES ($1, $2, $3, $4, $5)",
        tenant,
        run,
        key,
        status,
        doer,
    )


async def claimed(world: World, *jobs: tuple[UUID, UUID]) -> list[Any]:
    claims = (await world.claim(new_id(), *jobs))["claims"]
    assert {claim["outcome"] for claim in claims} == {"GRANTED"}
    return list(claims)


async def test_a_rerun_gets_the_inputs_that_what_it_may_undo_was_done_with(world: World) -> None:
    tenant = await tenant_of(world)
    first, second, alike = [await did(world, tenant, text) for text in ("10", "5", "")]
    job = await taking(world, tenant, undone=first, paid=alike)
    await row(world, tenant, job[0], "each", second)
    await row(world, tenant, job[0], "each[0]", alike)
    (claim,) = await claimed(world, job)
    told = {run: one.get("input", "its own") for run, one in claim["doers"].items()}
    # What is the run's own is not passed on twice.
    assert told == {str(first): {"text": "10"}, str(second): {"text": "5"}, str(alike): "its own"}
    for run, one in claim["doers"].items():
        assert one["started_at"] == one["created_at"]
        assert one["callbacks"] == {"paid": f"{tenant}/{run}/paid"}
    assert {str(first), str(second), str(alike)} < claim["output_keys"].keys()


async def test_what_is_not_undone_and_who_took_nothing_cost_no_statement(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = await tenant_of(world)
    first = await did(world, tenant, "10")
    plain, kept = await world.queued(tenant), await taking(world, tenant, kept=first, paid=first)
    await row(world, tenant, kept[0], "undone", first, "SKIPPED")
    monkeypatch.setattr(doers, "one_statement", None)
    assert all("doers" not in claim for claim in await claimed(world, plain, kept))


async def test_what_undoes_a_run_gets_when_that_began_and_what_it_had_taken_over(world: World) -> None:
    tenant = await tenant_of(world)
    first, gone = await did(world, tenant, "10"), new_id()
    undoes = await did(world, tenant)
    for key, doer in {"undone": first, "each": None, "each[0]": gone}.items():
        await row(world, tenant, undoes, key, doer)
    job = await world.queued(tenant)
    await world.admin.execute("UPDATE runs SET undoes_run_id = $2 WHERE id = $1", job[0], undoes)
    (claim,) = await claimed(world, job)
    assert (claim["doers"].keys(), claim["doers"][str(gone)]) == ({str(undoes), str(first), str(gone)}, None)
    assert claim["doers"][str(undoes)].keys() == {"created_at", "started_at", "callbacks"}
    assert claim["doers"][str(first)]["input"] == {"text": "10"}


async def test_another_tenants_input_is_handed_to_nobody(world: World) -> None:
    tenant, other = await tenant_of(world), await world.tenant("two", document=DOCUMENT)
    theirs = await did(world, other, "a secret of theirs")
    (claim,) = await claimed(world, await taking(world, tenant, undone=theirs))
    assert claim["doers"] == {str(theirs): None}


@pytest.mark.parametrize("undoing", [False, True])
async def test_the_inputs_of_who_did_it_are_bounded_with_the_others(world: World, undoing: bool) -> None:
    tenant = await tenant_of(world)
    jobs = []
    for _ in range(3):
        taken = {key: await did(world, tenant, "x" * 4_000_000) for key in ("undone", "each")}
        if undoing:
            job, undoes = await world.queued(tenant), await did(world, tenant)
            for key, doer in taken.items():
                await row(world, tenant, undoes, key, doer)
            await world.admin.execute("UPDATE runs SET undoes_run_id = $2 WHERE id = $1", job[0], undoes)
        else:
            job = await taking(world, tenant, **taken)
        jobs.append(job)
    answer = await world.claim(new_id(), *jobs)
    assert [c["outcome"] for c in answer["claims"]] == ["GRANTED", "GRANTED", "TAKEOVER"]
    assert [len(c.get("doers", {})) for c in answer["claims"]] == [2 + undoing, 2 + undoing, 0]
