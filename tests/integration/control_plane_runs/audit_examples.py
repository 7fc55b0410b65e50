"""For each mutation of the schema, valid arguments: whatever has to be there first is made here.

Who adds a mutation adds an example: `plain` where nothing has to be made first, `example` else.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from headrace_control.graphql.schema import create_schema

from tests.consenting_provider import CLIENT_ID, CLIENT_SECRET, ConsentingProvider
from tests.integration.control_plane_runs.acting import (
    FAILURE,
    Client,
    Fleet,
    orders,
    publish,
    save_draft,
    started,
)
from tests.integration.control_plane_runs.approving import asked
from tests.integration.control_plane_runs.dead_letters import of_nobody
from tests.integration.control_plane_runs.signaling import in_doubt, waiting


@dataclass(frozen=True)
class Stage:
    """The admin of a designed tenant, the admin of the platform, and what runners do."""

    admin: Client
    platform: Client
    fleet: Fleet
    provider: ConsentingProvider


Example = Callable[[Stage], Awaitable[dict[str, Any]]]
EXAMPLES: dict[str, Example] = {}
# Done by the platform's admin, not by the tenant's.
_BY_THE_PLATFORM = """createTenant createAdminKey deleteTenant keepTenant rewrapDataKeys setQuotas shredTenantKeys
    createRunnerPool removeRunnerPool setTenantPools drainRunnerPool discardNobodysDeadLetters"""
OF_THE_PLATFORM = frozenset(_BY_THE_PLATFORM.split())

_SCHEMA = create_schema().core
MUTATIONS = tuple(_SCHEMA.mutation_type.fields) if _SCHEMA.mutation_type else ()


async def mutate(client: Client, field: str, given: dict[str, Any], wanted: str = "") -> Any:
    """The payload of a mutation: its failure, if it is one, and what is `wanted` of its result."""
    arguments = _SCHEMA.mutation_type.fields[field].args  # type: ignore[union-attr]
    declared = ", ".join(f"${name}: {arguments[name].type}" for name in given)
    passed = ", ".join(f"{name}: ${name}" for name in given)
    head, call = (f"({declared})", f"({passed})") if given else ("", "")
    query = f"mutation{head} {{ {field}{call} {{ __typename {wanted} {FAILURE} }} }}"
    return await client(query, **given)


def example(mutation: str) -> Callable[[Example], Example]:
    def add(make: Example) -> Example:
        EXAMPLES[mutation] = make
        return make

    return add


def plain(mutation: str, **given: Any) -> None:
    async def make(_: Stage) -> dict[str, Any]:
        return given

    EXAMPLES[mutation] = make


_APP = {"baseUrl": "http://127.0.0.1:9", "auth": {"kind": "BASIC"}}
_CONNECTION = {"app": "shop", "config": {"username": "u"}, "secrets": {"password": "a long password"}}

plain("createTenant", name="another")
plain("createApiKey", name="k", role="VIEWER")
plain("inviteMember", email="kim@example.com", role="VIEWER")
plain("setPolicyRule", app="shop", approvalClass="B")
plain("setQuotas", tenant="acme", quotas={"loopItems": 100})
plain("createRunnerPool", name="eu")
plain("setTenantPools", tenant="acme", pool="default")
plain("createApp", input={"name": "made", **_APP})
plain("updateApp", name="shop", input={"title": "The shop"})
plain("saveAction", app="shop", name="made", definition={"method": "GET", "endpointTemplate": "/made"})
plain("createConnection", input={"name": "made", **_CONNECTION})
plain("updateConnection", name="shop-main", input={"config": {"username": "other"}})
plain("rotateConnectionSecret", name="shop-main", secrets={"password": "another password"})
plain("testConnection", name="shop-main")
plain("setSecret", name="made", value="a long enough value")
plain("rotateDataKey")
plain("rewrapDataKeys")
plain("saveDraft", document=orders(workflow="drafted"))
plain("publishWorkflow", document=orders(workflow="published"))


@example("revokeApiKey")
async def _revoke(stage: Stage) -> dict[str, Any]:
    wanted = "... on IssuedApiKey { apiKey { id } }"
    made = await mutate(stage.admin, "createApiKey", {"name": "r", "role": "VIEWER"}, wanted)
    return {"id": made["apiKey"]["id"]}


@example("setWorkflowPool")
async def _bind_workflow(stage: Stage) -> dict[str, Any]:
    await publish(stage.admin, orders(workflow="bound"))
    return {"workflow": "bound"}


@example("removeRunnerPool")
async def _remove_pool(stage: Stage) -> dict[str, Any]:
    await mutate(stage.platform, "createRunnerPool", {"name": "gone"})
    return {"name": "gone"}


@example("drainRunnerPool")
async def _drain_pool(stage: Stage) -> dict[str, Any]:
    await mutate(stage.platform, "createRunnerPool", {"name": "drained"})
    return {"name": "drained", "into": "default"}


async def _invited(stage: Stage, email: str) -> str:
    wanted = "... on IssuedInvitation { member { id } }"
    made = await mutate(stage.admin, "inviteMember", {"email": email, "role": "VIEWER"}, wanted)
    return str(made["member"]["id"])


@example("revokeInvitation")
async def _revoke_invitation(stage: Stage) -> dict[str, Any]:
    return {"id": await _invited(stage, "revoked@example.com")}


@example("changeMemberRole")
async def _change_role(stage: Stage) -> dict[str, Any]:
    return {"id": await _invited(stage, "changed@example.com"), "role": "OPERATOR"}


@example("removeMember")
async def _remove_member(stage: Stage) -> dict[str, Any]:
    return {"id": await _invited(stage, "removed@example.com")}


@example("revokeSessions")
async def _revoke_sessions(stage: Stage) -> dict[str, Any]:
    return {"member": await _invited(stage, "logged-in@example.com")}


@example("removePolicyRule")
async def _remove_rule(stage: Stage) -> dict[str, Any]:
    await mutate(stage.admin, "setPolicyRule", {"app": "bank", "approvalClass": "B"})
    return {"app": "bank", "reason": "as before"}


@example("deleteApp")
async def _delete_app(stage: Stage) -> dict[str, Any]:
    await mutate(stage.admin, "createApp", {"input": {"name": "gone", **_APP}})
    return {"name": "gone"}


@example("deleteConnection")
async def _delete_connection(stage: Stage) -> dict[str, Any]:
    await mutate(stage.admin, "createConnection", {"input": {"name": "gone", **_CONNECTION}})
    return {"name": "gone"}


async def _authorizable(stage: Stage, name: str) -> dict[str, Any]:
    app = {"name": name, "baseUrl": stage.provider.target.url, "auth": stage.provider.auth()}
    connection = {
        "name": name,
        "app": name,
        "config": {"clientId": CLIENT_ID},
        "secrets": {"clientSecret": CLIENT_SECRET},
    }
    await mutate(stage.admin, "createApp", {"input": app})
    await mutate(stage.admin, "createConnection", {"input": connection})
    return {"name": name, "redirect": "http://127.0.0.1:5000/done", "state": "s"}


@example("authorizeConnection")
async def _authorize(stage: Stage) -> dict[str, Any]:
    return await _authorizable(stage, "authorizable")


@example("finishAuthorization")
async def _finish_authorization(stage: Stage) -> dict[str, Any]:
    given = await _authorizable(stage, "consented")
    begun = await mutate(stage.admin, "authorizeConnection", given, "... on AuthorizationBegun { url }")
    answer = stage.provider.consent(begun["url"])
    back = await stage.admin.http.get("/oauth/callback", params=answer)
    return {"code": parse_qs(urlsplit(back.headers["location"]).query)["code"][0]}


@example("deleteSecret")
async def _delete_secret(stage: Stage) -> dict[str, Any]:
    await mutate(stage.admin, "setSecret", {"name": "gone", "value": "a long enough value"})
    return {"name": "gone"}


@example("shredTenantKeys")
async def _shred(stage: Stage) -> dict[str, Any]:
    await mutate(stage.platform, "createTenant", {"name": "leaving"})
    return {"tenant": "leaving", "confirm": "leaving"}


@example("createAdminKey")
async def _create_admin_key(stage: Stage) -> dict[str, Any]:
    await mutate(stage.platform, "createTenant", {"name": "locked-out"})
    return {"tenant": "locked-out"}


@example("deleteTenant")
async def _delete_tenant(stage: Stage) -> dict[str, Any]:
    await mutate(stage.platform, "createTenant", {"name": "ending"})
    return {"tenant": "ending", "confirm": "ending"}


@example("keepTenant")
async def _keep_tenant(stage: Stage) -> dict[str, Any]:
    await mutate(stage.platform, "createTenant", {"name": "staying"})
    await mutate(stage.platform, "deleteTenant", {"tenant": "staying", "confirm": "staying"})
    return {"tenant": "staying"}


@example("discardDraft")
async def _discard(stage: Stage) -> dict[str, Any]:
    saved = await save_draft(stage.admin, orders(workflow="discarded"))
    return {"id": saved["version"]["id"]}


@example("publishVersion")
async def _publish_version(stage: Stage) -> dict[str, Any]:
    saved = await save_draft(stage.admin, orders(workflow="from-draft"))
    return {"id": saved["version"]["id"]}


@example("deprecateVersion")
async def _deprecate(stage: Stage) -> dict[str, Any]:
    made = await publish(stage.admin, orders(workflow="deprecated"))
    return {"id": made["version"]["id"]}


@example("startRun")
async def _start(stage: Stage) -> dict[str, Any]:
    await publish(stage.admin, orders(workflow="startable"))
    return {"workflow": "startable", "input": {"order": "1"}}


@example("startRuns")
async def _start_many(stage: Stage) -> dict[str, Any]:
    await publish(stage.admin, orders(workflow="startable"))
    return {"items": [{"workflow": "startable", "input": {"order": str(n)}} for n in range(3)]}


async def _queued(stage: Stage) -> dict[str, Any]:
    await publish(stage.admin, orders())
    return {"id": await started(stage.admin)}


for _asked in ("cancelRun", "pauseRun", "resumeRun"):
    EXAMPLES[_asked] = _queued


@example("decideApproval")
async def _decide(stage: Stage) -> dict[str, Any]:
    return {"runId": await asked(stage.admin, stage.fleet), "step": "ok", "decision": "APPROVE"}


@example("signalRun")
async def _signal(stage: Stage) -> dict[str, Any]:
    return {"runId": await waiting(stage.admin, stage.fleet), "name": "delivered"}


@example("settleStep")
async def _settle(stage: Stage) -> dict[str, Any]:
    return {"runId": await in_doubt(stage.admin, stage.fleet), "step": "refund", "outcome": "FAILED"}


async def _scheduled(stage: Stage, name: str) -> dict[str, Any]:
    await publish(stage.admin, orders())
    plan = {"name": name, "workflow": "orders", "cron": "@daily", "input": {"order": "{{ input.date }}"}}
    await mutate(stage.admin, "createSchedule", {"input": plan})
    return {"name": name}


@example("createSchedule")
async def _create_schedule(stage: Stage) -> dict[str, Any]:
    await publish(stage.admin, orders())
    return {"input": {"name": "made", "workflow": "orders", "cron": "@daily", "input": {"order": "1"}}}


@example("updateSchedule")
async def _update_schedule(stage: Stage) -> dict[str, Any]:
    return {**await _scheduled(stage, "changed"), "input": {"cron": "@weekly"}}


for _asked in ("pauseSchedule", "resumeSchedule", "deleteSchedule"):

    @example(_asked)
    async def _of_schedule(stage: Stage, name: str = _asked.lower()) -> dict[str, Any]:
        return await _scheduled(stage, name)


async def _backfill_of(stage: Stage, name: str) -> dict[str, Any]:
    await _scheduled(stage, name)
    return {"schedule": name, "from": "2020-01-01T00:00:00Z", "until": "2020-01-08T00:00:00Z"}


@example("startBackfill")
async def _start_backfill(stage: Stage) -> dict[str, Any]:
    return await _backfill_of(stage, "filled")


for _asked in ("stopBackfill", "resumeBackfill"):

    @example(_asked)
    async def _of_backfill(stage: Stage, name: str = _asked.lower()) -> dict[str, Any]:
        begun = await mutate(
            stage.admin, "startBackfill", await _backfill_of(stage, name), "... on Backfill { id }"
        )
        return {"id": begun["id"]}


async def _two_versions(stage: Stage, name: str) -> dict[str, Any]:
    """The terms of a rollout of the second version, of which none is open."""
    await publish(stage.admin, orders(workflow=name))
    await publish(stage.admin, orders(workflow=name, env={}))
    return {"workflow": name, "version": 2, "input": {"percent": 10}}


@example("beginRollout")
async def _begin_rollout(stage: Stage) -> dict[str, Any]:
    return await _two_versions(stage, "begun")


for _asked in ("changeRollout", "promoteRollout", "rollBackRollout"):

    @example(_asked)
    async def _of_rollout(stage: Stage, name: str = _asked) -> dict[str, Any]:
        workflow = name.lower()
        begun = await mutate(stage.admin, "beginRollout", await _two_versions(stage, workflow))
        assert begun["__typename"] == "Rollout", begun
        return {"workflow": workflow, **({"percent": 20.5} if name == "changeRollout" else {})}


@example("createWebhook")
async def _create_webhook(stage: Stage) -> dict[str, Any]:
    await publish(stage.admin, orders())
    return {"input": {"name": "made", "workflow": "orders"}}


for _asked in (
    "updateWebhook",
    "rotateWebhookSecret",
    "pauseWebhook",
    "resumeWebhook",
    "deleteWebhook",
):

    @example(_asked)
    async def _of_webhook(stage: Stage, asked: str = _asked) -> dict[str, Any]:
        await publish(stage.admin, orders())
        name = asked.lower()
        await mutate(stage.admin, "createWebhook", {"input": {"name": name, "workflow": "orders"}})
        return {"name": name, **({"input": {"answer": "RESULT"}} if asked == "updateWebhook" else {})}


_HOOK = {"url": "http://127.0.0.1:9/", "events": ["RUN_FAILED"]}
plain("createHook", name="made", **_HOOK)

for _asked in (
    "updateHook",
    "rotateHookSecret",
    "pauseHook",
    "resumeHook",
    "deleteHook",
    "resendHookMessages",
):

    @example(_asked)
    async def _of_hook(stage: Stage, asked: str = _asked) -> dict[str, Any]:
        name = asked.lower()
        await mutate(stage.admin, "createHook", {"name": name, **_HOOK})
        return {"name": name, **({"events": ["DEAD_LETTER"]} if asked == "updateHook" else {})}


async def _given_up(stage: Stage, code: str) -> str:
    """The id of the dead letter of a run that failed with `code`."""
    await publish(stage.admin, orders(workflow="given-up"))
    run = await started(stage.admin, "given-up")
    await stage.fleet.claim(run)
    error = {"code": code, "message": "it says no"}
    failed = {"status": "FAILED", "error": error, "unhandled": True}
    ended = {"status": "FAILED", "error": error}
    await stage.fleet.apply(run, ("completed", "fetch", failed), ("finished", None, ended))
    group = {"source": "STEP", "action": "shop/get-order", "code": code}
    found = await stage.admin(
        "query($f: DeadLetterFilter) { deadLetters(filter: $f) { items { id } } }", f={"group": group}
    )
    return str(found["items"][0]["id"])


async def _replayed(stage: Stage, code: str) -> str:
    await _given_up(stage, code)
    group = {"source": "STEP", "action": "shop/get-order", "code": code}
    made = await mutate(stage.admin, "replayDeadLetters", {"group": group}, "... on Replay { id }")
    return str(made["id"])


@example("rerunRun")
async def _rerun(stage: Stage) -> dict[str, Any]:
    await publish(stage.admin, orders(workflow="rerun"))
    run = await started(stage.admin, "rerun")
    await stage.fleet.claim(run)
    await stage.fleet.finish(run)
    return {"run": run}


@example("startDryRun")
async def _dry_run(stage: Stage) -> dict[str, Any]:
    await publish(stage.admin, orders(workflow="walked"))
    return {"how": {"workflow": "walked", "input": {"order": "1"}}}


@example("moveRuns")
async def _move(stage: Stage) -> dict[str, Any]:
    await publish(stage.admin, orders(workflow="moved"))
    run = await started(stage.admin, "moved")
    await publish(stage.admin, orders(workflow="moved", env={}))
    return {"ids": [run], "version": 2}


@example("replayDeadLetter")
async def _replay(stage: Stage) -> dict[str, Any]:
    return {"id": await _given_up(stage, "HTTP_501")}


@example("replayDeadLetters")
async def _replay_group(stage: Stage) -> dict[str, Any]:
    await _given_up(stage, "HTTP_502")
    return {"group": {"source": "STEP", "action": "shop/get-order", "code": "HTTP_502"}}


@example("stopReplay")
async def _stop_replay(stage: Stage) -> dict[str, Any]:
    return {"id": await _replayed(stage, "HTTP_503")}


@example("resumeReplay")
async def _resume_replay(stage: Stage) -> dict[str, Any]:
    return {"id": await _replayed(stage, "HTTP_504")}


@example("discardDeadLetters")
async def _discard_dead_letter(stage: Stage) -> dict[str, Any]:
    return {"ids": [await _given_up(stage, "HTTP_505")], "reason": "not wanted any more"}


@example("discardNobodysDeadLetters")
async def _discard_nobodys(stage: Stage) -> dict[str, Any]:
    await of_nobody(stage.fleet)
    return {"ofSource": "reporter", "reason": "another broker's"}


@example("forgetCachedResults")
async def _forget_cached_results(stage: Stage) -> dict[str, Any]:
    return {"action": "shop/get-order"}
