"""The audit: nothing is done, and nothing refused, without a record of it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from headrace.audit_chain import link
from headrace.postgres.pool import AUDIT, open_pool
from headrace_cli.main import app
from headrace_control.audit.pruning import Pruning
from headrace_control.audit.sealer import Sealer
from headrace_control.graphql.fields import action_of
from headrace_control.tenants.service import bootstrap
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from tests.consenting_provider import ConsentingProvider
from tests.integration.control_plane_runs.acting import Client, Fleet, orders, publish, started, with_role
from tests.integration.control_plane_runs.audit_examples import (
    EXAMPLES,
    MUTATIONS,
    OF_THE_PLATFORM,
    Stage,
    mutate,
)
from tests.integration.control_plane_runs.calling_back import waiting
from tests.integration.control_plane_runs.commanding import headrace, shown
from tests.integration.control_plane_runs.rollouts import rolled_out
from tests.target import Target

_RECORDS = """query($filter: AuditFilter, $first: Int! = 50, $after: String) {
  auditRecords(filter: $filter, first: $first, after: $after) {
    items { seq at actor { kind name } action target outcome afterDigest detail correlationId origin entry }
    pageInfo { hasNextPage endCursor } } }"""
_CHAIN = """query($first: Int! = 200, $after: String) {
  auditChain(first: $first, after: $after) { items { entry } pageInfo { hasNextPage endCursor } } }"""


@pytest.fixture
def egress(tmp_path: Path) -> Path:
    """To where a connection is authorized."""
    policy = tmp_path / "egress.yaml"
    policy.write_text("allow: [127.0.0.0/8]")
    return policy


@pytest.fixture
async def sealer(database: str) -> AsyncIterator[Sealer]:
    pool = await open_pool(database, AUDIT, max_size=2)
    yield Sealer(pool, CollectorRegistry())
    await pool.close()


@pytest.fixture
async def platform(http: httpx.AsyncClient, database: str) -> Client:
    async with await open_pool(database) as owner:
        return Client(http, (await bootstrap(owner, "platform", new_key=True)).key.text)


async def records(client: Client, sealer: Sealer, **wanted: Any) -> list[Any]:
    """What was recorded until now, newest first."""
    await sealer.seal_all()
    return list((await client(_RECORDS, filter=wanted))["items"])


async def test_every_mutation_leaves_a_record(
    acme: Client, platform: Client, fleet: Fleet, admin: asyncpg.Connection, target: Target
) -> None:
    missing = sorted(set(MUTATIONS) - set(EXAMPLES))
    assert not missing, f"no example of {missing}: add one to audit_examples.py, with valid arguments"
    stage = Stage(acme, platform, fleet, ConsentingProvider(target))
    forgotten, failed = {}, {}
    for field in MUTATIONS:
        given = await EXAMPLES[field](stage)
        before = await kept(admin)
        answer = await mutate(platform if field in OF_THE_PLATFORM else acme, field, given)
        if "code" in answer:
            failed[field] = answer
        done = [row for i, row in (await kept(admin)).items() if i not in before and row["outcome"] == "DONE"]
        whose = {
            row["action"] for row in done if row["actor_name"] == "first admin" and row["correlation_id"]
        }
        if action_of(field) not in whose:
            forgotten[field] = f"{action_of(field)} is expected, {sorted(whose) or 'nothing'} was recorded"
    assert not failed, f"these examples in audit_examples.py are not valid: {failed}"
    assert not forgotten, (
        f"{forgotten}: call `headrace_control.audit.record.record` in the transaction that does the work, with the "
        "action that `graphql.fields.action_of` makes of the mutation's name"
    )


async def test_other_tools_make_the_same_hashes(acme: Client, sealer: Sealer) -> None:
    """As the guide has it: JavaScript and jq write a whole number without a fraction, whatever it was read from."""
    await rolled_out(acme, percent=50.0)
    await mutate(acme, "changeRollout", {"workflow": "orders", "percent": 62.5})
    await mutate(acme, "changeRollout", {"workflow": "orders", "percent": 75})
    entries = [one["entry"] for one in await records(acme, sealer)]
    assert {entry["detail"].get("percent") for entry in entries} == {None, 50, 62.5, 75}
    for entry in entries:
        record = {name: part for name, part in entry.items() if name not in ("previous", "hash")}
        assert link(bytes.fromhex(entry["previous"]), as_javascript_reads(record)).hex() == entry["hash"]


def as_javascript_reads(value: Any) -> Any:
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {name: as_javascript_reads(part) for name, part in value.items()}
        case list():
            return [as_javascript_reads(part) for part in value]
        case _:
            return value


async def kept(admin: asyncpg.Connection) -> dict[UUID, Any]:
    return {row["id"]: row for row in await admin.fetch("SELECT * FROM audit_inbox")}


async def test_a_record_says_who_did_what_to_what_and_from_where(acme: Client, sealer: Sealer) -> None:
    designer = await with_role(acme, "DESIGNER")
    app = {"name": "crm", "baseUrl": "https://crm.example", "auth": {"kind": "NONE"}}
    await mutate(designer, "createApp", {"input": app})
    await mutate(designer, "updateApp", {"name": "crm", "input": {"title": "CRM"}})
    update, create = await records(acme, sealer, target="app/crm")
    assert (create["actor"], create["action"]) == ({"kind": "API_KEY", "name": "k"}, "app.create")
    assert (create["outcome"], create["origin"]) == ("DONE", "127.0.0.1")
    assert len(create["correlationId"]) == 32
    assert (update["action"], update["entry"]["before"]) == ("app.update", create["afterDigest"])
    assert update["afterDigest"] != create["afterDigest"]


async def test_a_record_says_which_apps_a_secret_is_for(acme: Client, sealer: Sealer) -> None:
    await mutate(acme, "setSecret", {"name": "made", "value": "a long enough value", "apps": ["shop"]})
    await mutate(acme, "setSecret", {"name": "made", "value": "a long enough value", "apps": None})
    opened, narrowed = await records(acme, sealer, target="secret/made")
    assert (narrowed["detail"], opened["detail"]) == ({"apps": ["shop"]}, {})


async def test_starts_are_one_record_and_a_repeated_start_is_none(acme: Client, sealer: Sealer) -> None:
    await publish(acme, orders())
    first = await started(acme, key="once")
    assert await started(acme, key="once") == first
    items = [{"workflow": "orders", "input": {"order": str(n)}} for n in range(3)]
    await mutate(acme, "startRuns", {"items": items})
    many, one = await records(acme, sealer, action="run.start")
    assert (one["target"], one["detail"]) == (f"run/{first}", {"workflows": ["orders"], "started": 1})
    assert (many["detail"]["started"], many["target"]) == (3, f"run/{many['detail']['first']}")


async def test_what_is_rolled_back_leaves_no_record(acme: Client, sealer: Sealer) -> None:
    answer = await mutate(
        acme, "createApp", {"input": {"name": "shop", "baseUrl": "http://s", "auth": {"kind": "NONE"}}}
    )
    assert answer["code"] == "CONFLICT"
    assert await records(acme, sealer, action="app.create", since="2100-01-01T00:00:00Z") == []
    before = len(await records(acme, sealer))
    await mutate(acme, "deleteApp", {"name": "shop"})  # in use: refused in the middle of its transaction
    assert len(await records(acme, sealer)) == before


async def test_refusals_are_the_callers_own(acme: Client, stranger: Client, sealer: Sealer) -> None:
    await publish(acme, orders())
    run = await started(acme)
    viewer = await with_role(acme, "VIEWER")
    assert (await mutate(viewer, "cancelRun", {"id": run}))["code"] == "FORBIDDEN"
    told = (await viewer.error("{ apiKeys { items { id } } }"))["extensions"]
    assert told["code"] == "FORBIDDEN"
    assert (await mutate(stranger, "cancelRun", {"id": run}))["code"] == "NOT_FOUND"
    seen, canceled = await records(acme, sealer, outcome="REFUSED")
    assert (canceled["action"], canceled["target"], canceled["actor"]["name"]) == (
        "run.cancel",
        f"run/{run}",
        "k",
    )
    assert canceled["detail"]["code"] == "FORBIDDEN"
    assert (seen["action"], seen["correlationId"]) == ("apiKeys", told["correlationId"])
    assert canceled["correlationId"] != seen["correlationId"]
    (foreign,) = await records(stranger, sealer, outcome="REFUSED")
    assert (foreign["target"], foreign["detail"]["code"]) == (f"run/{run}", "NOT_FOUND")
    assert await records(stranger, sealer, actor="k") == []


async def test_a_refused_subscription_is_recorded(acme: Client, stranger: Client, sealer: Sealer) -> None:
    await publish(acme, orders())
    run = await started(acme)
    watch = "subscription($id: ID!) { runChanged(id: $id) { status } }"
    async with stranger.subscribe(watch, id=run) as changes:
        errors = (await changes.receive())["payload"]
        errors = errors["errors"] if isinstance(errors, dict) else errors
        assert errors[0]["extensions"]["code"] == "NOT_FOUND"
    (refused,) = await records(stranger, sealer, outcome="REFUSED")
    assert (refused["action"], refused["target"]) == ("runChanged", f"runChanged/{run}")


async def test_a_long_name_is_cut(acme: Client, sealer: Sealer) -> None:
    await mutate(acme, "deleteApp", {"name": "x" * 5000})
    (refused,) = await records(acme, sealer, outcome="REFUSED")
    assert refused["target"] == "app/" + "x" * 196


async def test_a_taken_callback_is_recorded(
    acme: Client,
    fleet: Fleet,
    sealer: Sealer,
    callbacks: Any,
) -> None:
    run = await waiting(acme, fleet, callbacks)
    answer = await acme.http.post(run.path(), json={"amount": 3})
    assert answer.status_code == 202
    (taken,) = await records(acme, sealer, action="callback.take")
    assert (taken["actor"], taken["target"]) == ({"kind": "CALLBACK", "name": "paid"}, f"run/{run.run}")
    assert taken["origin"] == "127.0.0.1"


async def test_only_admins_read_the_audit_and_of_their_own_tenant(
    acme: Client, stranger: Client, sealer: Sealer
) -> None:
    assert await records(acme, sealer)
    for role in ("DESIGNER", "OPERATOR", "APPROVER", "VIEWER"):
        lesser = await with_role(acme, role)
        for query in (_RECORDS, _CHAIN, "{ auditHead { seq } }"):
            assert (await lesser.error(query))["extensions"]["code"] == "FORBIDDEN"
    ids = {item["entry"]["tenantId"] for item in await records(stranger, sealer)}
    assert ids.isdisjoint(item["entry"]["tenantId"] for item in await records(acme, sealer))


async def test_pages_and_times(acme: Client, sealer: Sealer) -> None:
    for n in range(4):
        await mutate(acme, "setSecret", {"name": f"s{n}", "value": "a long enough value"})
    everything = await records(acme, sealer, action="secret.set")
    (third, second) = (everything[1], everything[2])
    page = await acme(_RECORDS, first=2, filter={"action": "secret.set"})
    rest = await acme(
        _RECORDS, first=50, after=page["pageInfo"]["endCursor"], filter={"action": "secret.set"}
    )
    assert [*page["items"], *rest["items"]] == everything
    between = await records(acme, sealer, action="secret.set", since=second["at"], until=third["at"])
    assert between == [second]


async def test_what_was_acted_on_can_be_copied_from_the_table(
    acme: Client, sealer: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace_cli.output._WIDTH_OF_A_FILE", 80)
    await with_role(acme, "VIEWER")
    await sealer.seal_all()
    (made,) = (await headrace(acme, "audit", "list", "--action", "api_key.create", "--first", "1"))["items"]
    assert made["target"] in await shown(acme, "audit", "list")


async def test_the_chain_is_exported_verified_and_anchored_by_command(
    acme: Client, sealer: Sealer, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    makes = [mutate(acme, "setSecret", {"name": f"s{n}", "value": "a long value"}) for n in range(30)]
    await asyncio.gather(*makes, sealer.seal_all(), sealer.seal_all())
    await sealer.seal_all()
    head = await headrace(acme, "audit", "head")
    verdict = await headrace(acme, "audit", "verify", "--anchor", head["anchor"])
    assert (verdict["seq"], verdict["head"]) == (int(head["seq"]), head["hash"])
    assert (verdict["finding"], verdict["unanchored"]) == (None, 0)
    listed = await headrace(acme, "audit", "list", "--action", "secret.set", "--since", "1h", "--first", "2")
    assert [one["target"][:8] for one in listed["items"]] == ["secret/s"] * 2
    file = str(tmp_path / "export.jsonl")
    await asyncio.to_thread(invoke, acme, "audit", "export", "-o", file)
    assert await headrace(acme, "audit", "verify", "--file", file) == {
        **verdict,
        "unanchored": verdict["seq"],
    }
    lines = Path(file).read_bytes().splitlines(keepends=True)
    assert len(lines) == verdict["records"]
    # Somebody takes a record out of the export, and of the deployment.
    Path(file).write_bytes(b"".join([*lines[:7], *lines[8:]]))
    found = await headrace(acme, "audit", "verify", "--file", file, code=1)
    assert (found["verdict"]["finding"]["seq"], found["verdict"]["finding"]["misfit"]) == (8, "MISSING")
    await admin.execute("ALTER TABLE audit_log DISABLE TRIGGER USER")
    await admin.execute("UPDATE audit_log SET actor_name = 'somebody else' WHERE seq = 5")
    found = await headrace(acme, "audit", "verify", code=1)
    assert found["error"]["message"].startswith("CHANGED: record 5 was changed")


async def test_what_is_no_anchor_and_no_export_is_said_to_be_none(acme: Client, tmp_path: Path) -> None:
    for anchor in ("5", "x:" + "0" * 64, "5:zz", "5:" + "0" * 63):
        refused = await headrace(acme, "audit", "verify", "--anchor", anchor, code=2)
        assert refused["error"]["problems"][0]["path"] == "--anchor"
    refused = await headrace(acme, "audit", "verify", "--file", str(tmp_path / "none"), code=2)
    assert refused["error"]["problems"][0]["path"] == "--file"
    (tmp_path / "other").write_text("not JSON\n")
    found = await headrace(acme, "audit", "verify", "--file", str(tmp_path / "other"), code=1)
    assert found["verdict"]["finding"]["misfit"] == "MALFORMED"


def invoke(client: Client, *words: str) -> str:
    env = {"HEADRACE_URL": str(client.http.base_url), "HEADRACE_API_KEY": client.key}
    done = CliRunner().invoke(app, [*words], env=env)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_actions_are_named_by_their_mutations() -> None:
    assert action_of("createApiKey") == "api_key.create"
    assert action_of("startRuns") == action_of("startRun") == "run.start"


async def test_a_pruned_chain_is_verified_by_command(
    acme: Client, sealer: Sealer, admin: asyncpg.Connection, database: str
) -> None:
    for n in range(3):
        await mutate(acme, "setSecret", {"name": f"old{n}", "value": "a long value"})
    await admin.execute("UPDATE audit_inbox SET at = at - interval '100 days'")
    await sealer.seal_all()
    await mutate(acme, "setSecret", {"name": "new", "value": "a long value"})
    await sealer.seal_all()
    async with await open_pool(database, AUDIT) as pool:
        await Pruning(pool, timedelta(days=90)).prune_all()
    verdict = await headrace(acme, "audit", "verify")
    assert (verdict["finding"], verdict["records"]) == (None, 2)
    (said,) = await records(acme, sealer, action="audit.prune")
    assert int(said["detail"]["seq"]) == verdict["seq"] - 2
