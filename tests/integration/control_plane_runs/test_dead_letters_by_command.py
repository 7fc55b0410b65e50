"""`headrace dead-letters` and `headrace run rerun`, against a real API."""

from tests.integration.control_plane_runs.acting import Client, Fleet, orders, publish
from tests.integration.control_plane_runs.commanding import headrace
from tests.integration.control_plane_runs.dead_letters import given_up

GROUP = "STEP:shop/refund:HTTP_500"


async def test_a_run_is_looked_at_and_rerun(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    run = await given_up(acme, fleet)
    shown = await headrace(acme, "run", "rerun", run, "--preview")
    assert [step["fate"] for step in shown["steps"]] == ["TAKEN_OVER", "AGAIN"]
    refused = await headrace(acme, "run", "rerun", run, "--from", "nothing", code=2)
    assert refused["error"]["problems"][0]["path"] == "steps.nothing"
    made = await headrace(acme, "run", "rerun", run, "--from", "fetch", "--patch", '{"amount": 2}')
    assert made["status"] == "QUEUED"


async def test_dead_letters_are_replayed_and_discarded(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    first, _, _ = [await given_up(acme, fleet) for _ in range(3)]
    listed = (await headrace(acme, "dead-letters", "list", "--group", GROUP))["items"]
    assert [letter["run"]["id"] for letter in listed][2] == first
    (group,) = await headrace(acme, "dead-letters", "groups")
    assert group["count"] == 3
    replayed = await headrace(acme, "dead-letters", "replay", listed[2]["id"])
    assert replayed["id"] != first
    replay = await headrace(acme, "dead-letters", "replay", "--group", GROUP, "--rate", "5")
    assert replay["total"] == 2
    assert (await headrace(acme, "dead-letters", "stop", replay["id"]))["status"] == "STOPPED"
    (only,) = await headrace(acme, "dead-letters", "replays")
    assert (only["id"], only["replayed"]) == (replay["id"], 0)
    gone = await headrace(acme, "dead-letters", "discard", "--group", GROUP, "--reason", "closed")
    assert gone == {"count": 2}
    for bad in (["replay"], ["list", "--group", "STEP"], ["discard", "--reason", "x"]):
        refused = await headrace(acme, "dead-letters", *bad, code=2)
        assert refused["error"]["problems"][0]["path"] == "--group"
