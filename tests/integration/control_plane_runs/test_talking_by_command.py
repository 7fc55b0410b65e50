"""`headrace run pause | resume | signal | settle | approve | reject` and `headrace approvals`, against a real API."""

from tests.integration.control_plane_runs.acting import Client, Fleet
from tests.integration.control_plane_runs.approving import FORM, asked
from tests.integration.control_plane_runs.commanding import headrace
from tests.integration.control_plane_runs.signaling import in_doubt, waiting


async def test_a_run_is_paused_signaled_and_resumed(acme: Client, fleet: Fleet) -> None:
    run = await waiting(acme, fleet)
    assert (await headrace(acme, "run", "pause", run))["status"] == "PAUSED"
    sent = await headrace(acme, "run", "signal", run, "paid", "--payload", '{"amount": 3}', "--key", "k")
    assert (sent["seq"], sent["repeated"]) == (1, False)
    assert (await headrace(acme, "run", "resume", run))["status"] == "WAITING"
    assert await fleet.dispatches(run) == [(True, False, True)]
    refused = await headrace(acme, "run", "signal", run, "payed", code=2)
    assert refused["error"]["problems"][0]["mend"] == "Known are: delivered, paid."
    refused = await headrace(acme, "run", "signal", run, "paid", "-p", "{", code=2)
    assert refused["error"]["problems"][0]["path"] == "--payload"


async def test_approvals_are_listed_and_decided(acme: Client, fleet: Fleet) -> None:
    run, other = await asked(acme, fleet, title="Refund?", form=FORM), await asked(acme, fleet)
    listed = (await headrace(acme, "approvals"))["items"]
    assert [(one["run"]["id"], one["title"]) for one in listed] == [(other, ""), (run, "Refund?")]
    approved = await headrace(
        acme, "run", "approve", run, "ok", "--form", '{"amount": 3}', "--reason", "fair"
    )
    assert (approved["decision"]["decision"], approved["decision"]["reason"]) == ("APPROVED", "fair")
    assert (await headrace(acme, "run", "reject", other, "ok"))["decision"]["decision"] == "REJECTED"
    assert (await headrace(acme, "run", "reject", other, "ok", code=2))["error"]["code"] == "CONFLICT"
    assert (await headrace(acme, "approvals"))["items"] == []
    assert len((await headrace(acme, "approvals", "--status", "DECIDED"))["items"]) == 2


async def test_a_doubt_is_settled(acme: Client, fleet: Fleet) -> None:
    run = await in_doubt(acme, fleet)
    settled = await headrace(acme, "run", "settle", run, "refund", "SUCCEEDED", "--output", '{"id": 7}')
    assert settled["seq"] == 1
    assert (await fleet.inbox(run))[0][4]["output"] == {"id": 7}
