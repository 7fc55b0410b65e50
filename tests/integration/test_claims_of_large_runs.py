"""Claims of runs whose inputs or outputs are large: an answer is bounded, and passes on what it holds unread."""

import secrets
from typing import Any
from uuid import UUID

import orjson
import pytest
from fixtures_claims import World
from headrace.ids import new_id
from headrace_control.internal_api import handover

ANSWER_BYTES = 16 * 1024 * 1024
BESIDE = 4096  # bytes of an answer for each of its runs, but for its input and its outputs


@pytest.mark.parametrize("undoing", [False, True])
async def test_more_than_an_answer_holds_is_fetched_run_by_run(world: World, undoing: bool) -> None:
    tenant = await world.tenant("one")
    jobs = [await world.queued(tenant) for _ in range(3)]
    if not undoing:
        await world.admin.execute("UPDATE runs SET fence_epoch = 1, epoch = 1")
    for run, _ in jobs:
        did = new_id() if undoing else run  # what undoes a run gets its steps
        await world.admin.execute(
            """INSERT INTO step_runs (tenant_id, run_id, key, status, output)
               SELECT $1, $2, 's' || n, 'SUCCESS', to_jsonb(repeat('x', 1000000)) FROM generate_series(1, 10) AS n""",
            tenant,
            did,
        )
        if undoing:
            await world.admin.execute("UPDATE runs SET undoes_run_id = $2 WHERE id = $1", run, did)
    answer = await world.claim(new_id(), *jobs)
    assert [c["outcome"] for c in answer["claims"]] == ["GRANTED", "TAKEOVER", "TAKEOVER"]
    assert [len(c.get("steps", [])) for c in answer["claims"]] == [10, 0, 0]


async def with_inputs(world: World, text: str, *jobs: tuple[UUID, UUID]) -> None:
    await world.admin.execute(
        "UPDATE runs SET input = jsonb_build_object('run', id::text, 'text', $2::text) WHERE id = ANY($1::uuid[])",
        [run for run, _ in jobs],
        text,
    )


# What Postgres compresses to next to nothing, and what it can not compress.
@pytest.mark.parametrize("text", ["x" * 261_000, secrets.token_hex(130_500)], ids=["alike", "random"])
async def test_large_inputs_are_bounded_like_checkpoints(world: World, text: str) -> None:
    tenant = await world.tenant("one")
    large = [await world.queued(tenant) for _ in range(200)]
    small = await world.queued(tenant)
    await with_inputs(world, text, *large)
    runner = new_id()
    jobs = [{"run_id": str(run), "dispatch_id": str(dispatch)} for run, dispatch in (*large, small)]
    response = await world.ask("claims", runner, call=1, capacity=201, jobs=jobs)
    assert len(response.content) < ANSWER_BYTES + 201 * BESIDE
    claims = response.json()["claims"]
    given = {c["run_id"]: c["input"] for c in claims if c["outcome"] == "GRANTED"}
    left = [c["run_id"] for c in claims if c["outcome"] == "TAKEOVER"]
    # What is small goes with the large ones that came first, however many of them stay behind.
    assert given.pop(str(small[0])) == {"n": 1}
    assert (len(given), len(left)) == (64, 136)
    # The rest comes by itself, or as much of it as one answer holds.
    await world.admin.execute("UPDATE runs SET fence_epoch = 1")
    asked = [{"run_id": run_id, "epoch": 1} for run_id in left]
    response = await world.ask("checkpoints", runner, runs=asked, wait=0)
    assert len(response.content) < ANSWER_BYTES + 136 * BESIDE
    outcomes = [run["outcome"] for run in response.json()["runs"]]
    assert (outcomes.count("PASSED"), outcomes.count("NOT_YET")) == (64, 72)
    for one in asked:
        (passed,) = (await world.post("checkpoints", runner, runs=[one], wait=0))["runs"]
        given[passed["run_id"]] = passed["input"]
    assert given == {str(run): {"run": str(run), "text": text} for run, _ in large}


async def test_small_inputs_come_with_their_claims_at_no_further_cost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = await world.tenant("one")
    jobs = [await world.queued(tenant) for _ in range(200)]
    await with_inputs(world, "é" * 8_000, *jobs)
    monkeypatch.setattr(handover, "one_statement", None)
    answer = await world.claim(new_id(), *jobs)
    assert {c["outcome"] for c in answer["claims"]} == {"GRANTED"}
    assert [c["input"] for c in answer["claims"]] == [
        {"run": str(run), "text": "é" * 8_000} for run, _ in jobs
    ]


@pytest.mark.parametrize("value", [None, 0, "", [], [None], 'é\n"\\', 1.5, 10**15, "x" * 20_000])
async def test_an_input_and_an_output_come_as_they_were_stored(world: World, value: Any) -> None:
    tenant = await world.tenant("one")
    job = run, _ = await world.queued(tenant)
    stored = orjson.dumps(value).decode()
    await world.admin.execute("UPDATE runs SET input = $1, fence_epoch = 1, epoch = 1", stored)
    await world.admin.execute(
        "INSERT INTO step_runs (tenant_id, run_id, key, status, output) VALUES ($1, $2, 'a', 'SUCCESS', $3)",
        tenant,
        run,
        stored,
    )
    (claim,) = (await world.claim(new_id(), job))["claims"]
    assert (claim["outcome"], claim["input"], claim["steps"][0]["output"]) == ("GRANTED", value, value)
