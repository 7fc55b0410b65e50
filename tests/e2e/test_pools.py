"""Two fleets: each advances the runs of its own pool, and neither waits for the other."""

import json

import pytest
from designer import Designer
from fleet import Fleet
from target import Target

pytestmark = pytest.mark.timeout(240)


async def test_each_pools_runs_are_for_its_runners(fleet: Fleet, target: Target) -> None:
    await fleet.control_plane()
    await fleet.reporter()
    designer = Designer(fleet)
    await designer.app("shop", target.url)
    await designer.action("shop", "read", "GET", "/read")
    for name in ("near", "far"):
        await designer.publish({"workflow": name, "steps": [{"key": "read", "action": "shop/read"}]})
    await designer.mutate("""mutation { createRunnerPool(name: "eu") { ok: __typename ...Failed } }""")
    await designer.mutate(
        """mutation { setTenantPools(tenant: "acme", pool: "default", also: ["eu"]) {
             ok: __typename ...Failed } }"""
    )
    await designer.mutate(
        """mutation { setWorkflowPool(workflow: "far", pool: "eu") { ok: __typename ...Failed } }"""
    )

    first_near, first_far = await designer.start("near"), await designer.start("far")
    eu = await fleet.runner(HEADRACE_POOL="eu")
    assert (await designer.ended(first_far))["status"] == "SUCCESS"
    # There is no runner of the default pool yet, and the one that there is takes nothing of it.
    assert (await designer.run(first_near))["status"] == "QUEUED"
    assert len(target.calls) == 1

    eu.stall()
    held_up = await designer.start("far")
    await fleet.runner()
    for run in (first_near, await designer.start("near")):
        assert (await designer.ended(run))["status"] == "SUCCESS"
    eu.go_on()
    assert (await designer.ended(held_up))["status"] == "SUCCESS"

    await eu.kill()
    left = await designer.start("far")
    moved = await designer.mutate(
        """mutation { drainRunnerPool(name: "eu", into: "default") {
             ... on DrainedRunnerPool { runs } ...Failed } }"""
    )
    assert moved["runs"] == 1
    assert (await designer.ended(left))["status"] == "SUCCESS"
    assert len(target.calls) == 5


async def test_who_may_not_enrol_for_a_pool_leaves_its_jobs_where_they_are(
    fleet: Fleet, target: Target
) -> None:
    """With the broker's user for runners, and the token of the fleet in place of the pool's."""
    token = "the-own-token-of-the-pool-eu"
    await fleet.control_plane(HEADRACE_POOL_TOKENS=json.dumps({"eu": token}))
    await fleet.reporter()
    designer = Designer(fleet)
    await designer.app("shop", target.url)
    await designer.action("shop", "read", "GET", "/read")
    await designer.publish({"workflow": "far", "steps": [{"key": "read", "action": "shop/read"}]})
    await designer.mutate("""mutation { createRunnerPool(name: "eu") { ok: __typename ...Failed } }""")
    await designer.mutate(
        """mutation { setTenantPools(tenant: "acme", pool: "eu") { ok: __typename ...Failed } }"""
    )
    run = await designer.start("far")
    foreign = await fleet.runner_once(2, HEADRACE_POOL="eu")
    assert await foreign.process.wait() == 0
    assert "lease refused" in foreign.log.read_text()
    figures = (await fleet.http.get(f"{fleet.operators}/scaling")).json()["pools"]["eu"]
    assert (figures["backlog"], figures["unacked"], figures["runners"]) == (1, 0, 0)
    await fleet.runner(HEADRACE_POOL="eu", HEADRACE_RUNNER_TOKEN=token)
    assert (await designer.ended(run))["status"] == "SUCCESS"
    assert len(target.calls) == 1
