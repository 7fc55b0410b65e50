"""What applying would change: each declared thing compared with what the tenant has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, assert_never

from headrace.errors import HeadraceError, InvalidInput, NotFound, Problem
from headrace.json_types import Json, JsonObject
from headrace.workflow.actions import dump_action, parse_action
from headrace.workflow.dump import dump_document
from headrace.workflow.parse import parse_document
from headrace.workflow.retry import dump_retry
from headrace.workflow.uses import children_used
from headrace_control.apps.auth_scheme import dump_scheme
from headrace_control.apps.limits import dump_limits

from headrace_cli.apply.documents import Declared, Kind
from headrace_cli.apply.hooks import hook_terms
from headrace_cli.apply.schedules import terms_of
from headrace_cli.apply.shape import definition, limits_of, retry_of, rule_of, scheme, title_of, told_of
from headrace_cli.apply.webhooks import webhook_terms
from headrace_cli.client import Client

_APP = "query App($name: String!) { app(name: $name) { title baseUrl auth retry limits } }"
_ACTION = """
query Action($app: String!, $name: String!) {
  action(app: $app, name: $name) { app { baseUrl retry } latest { id definition } }
}"""
_CONNECTION = """
query Connection($name: String!) {
  connection(name: $name) { app { name } baseUrl config limits secretFields }
}"""
_SECRETS = """
query Secrets($after: String) {
  secrets(first: 200, after: $after) { items { name apps } pageInfo { hasNextPage endCursor } }
}"""
_RULES = """
query Rules($after: String) {
  policyRules(first: 200, after: $after) {
    items { app action approvalClass twoPerson approverRoles expiresAfterMs reason }
    pageInfo { hasNextPage endCursor }
  }
}"""
_SCHEDULE = """
query Schedule($name: String!) {
  schedule(name: $name) { workflow version cron timeZone input missed missedLimit overlap }
}"""
_WEBHOOK = """
query Webhook($name: String!) {
  webhook(name: $name) { workflow version input schema toleranceSeconds answer resultSeconds }
}"""
_HOOK = "query Hook($name: String!) { hook(name: $name) { url events } }"
_WORKFLOW = "query Workflow($name: String!) { workflow(name: $name) { published { id document resolved } } }"


class Verb(StrEnum):
    CREATE = "create"
    CHANGE = "change"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Step:
    """One declared thing and what is to be done with it; `differences` names the places that differ."""

    declared: Declared
    verb: Verb
    differences: Sequence[str] = ()


async def make_plan(
    client: Client, declared: Sequence[Declared], *, rotate_secrets: bool = False
) -> list[Step]:
    """A step for each document, in the order to apply, and for a workflow what stands in its way as far as that
    can be said. An error names the document that it is about.

    Secret values can not be read back, so those that are there count as unchanged unless `rotate_secrets`.
    """
    planner = _Planner(client, rotate_secrets)
    steps = []
    for one in declared:
        try:
            steps.append(await planner.step(one))
        except HeadraceError as error:
            raise told_of(one, error) from None
    return steps


class _Planner:
    def __init__(self, client: Client, rotate_secrets: bool) -> None:
        self._client = client
        self._rotate_secrets = rotate_secrets
        # Workflows pin actions: one that is going to change makes them change.
        self._changed: set[tuple[Kind, str]] = set()

    async def step(self, declared: Declared) -> Step:
        there, differences = await self._differences(declared)
        verb = (Verb.CHANGE if differences else Verb.UNCHANGED) if there else Verb.CREATE
        if verb is not Verb.UNCHANGED:
            self._changed.add((declared.kind, declared.name))
        return Step(declared, verb, sorted(differences) if there else ())

    async def _differences(self, declared: Declared) -> tuple[bool, Sequence[str]]:
        """Whether the thing is there, and the places in which it differs."""
        match declared.kind:
            case Kind.APP:
                return await self._app(declared)
            case Kind.ACTION:
                return await self._action(declared)
            case Kind.POLICY_RULE:
                return await self._rule(declared)
            case Kind.CONNECTION:
                return await self._connection(declared)
            case Kind.SECRET:
                return await self._secret(declared)
            case Kind.WORKFLOW:
                return await self._workflow(declared)
            case Kind.SCHEDULE:
                current = (await self._client.execute(_SCHEDULE, {"name": declared.name}))["schedule"]
                return _compared(terms_of(declared), current)
            case Kind.WEBHOOK:
                current = (await self._client.execute(_WEBHOOK, {"name": declared.name}))["webhook"]
                return _compared(webhook_terms(declared), current)
            case Kind.HOOK:
                found = (await self._client.execute(_HOOK, {"name": declared.name}))["hook"]
                current = found and {**found, "events": sorted(found["events"])}
                return _compared(hook_terms(declared), current)
            case _:
                assert_never(declared.kind)

    async def _app(self, declared: Declared) -> tuple[bool, Sequence[str]]:
        auth, retry, limits = scheme(declared), retry_of(declared), limits_of(declared)
        wanted = {
            **declared.fields,
            "title": title_of(declared),
            "auth": dump_scheme(auth) if auth else None,
            "retry": dump_retry(retry) if retry else None,
            "limits": dump_limits(limits) if limits else None,
        }
        del wanted["name"]
        current = (await self._client.execute(_APP, {"name": declared.name}))["app"]
        return _compared(wanted, current)

    async def _action(self, declared: Declared) -> tuple[bool, Sequence[str]]:
        app, _, name = declared.name.partition("/")
        wanted = dump_action(parse_action(definition(declared), app))
        current = (await self._client.execute(_ACTION, {"app": app, "name": name}))["action"]
        return _compared(wanted, current and current["latest"]["definition"])

    async def _rule(self, declared: Declared) -> tuple[bool, Sequence[str]]:
        wanted = rule_of(declared)
        after = None
        while True:
            page = (await self._client.execute(_RULES, {"after": after}))["policyRules"]
            for rule in page["items"]:
                if f"{rule['app']}/{rule['action'] or '*'}" == declared.name:
                    there = {**rule, "approverRoles": sorted(rule["approverRoles"])}
                    return _compared(wanted, {name: there[name] for name in wanted})
            if not page["pageInfo"]["hasNextPage"]:
                return False, ()
            after = page["pageInfo"]["endCursor"]

    async def _connection(self, declared: Declared) -> tuple[bool, Sequence[str]]:
        current = (await self._client.execute(_CONNECTION, {"name": declared.name}))["connection"]
        if current is None:
            return False, ()
        if current["app"]["name"] != declared.fields.get("app"):
            mend = "give the connection another name"
            raise InvalidInput([Problem("app", "a connection stays with its app", mend)])
        limits = limits_of(declared)
        wanted = {
            "baseUrl": declared.fields.get("baseUrl"),
            "config": declared.fields.get("config") or {},
            "limits": dump_limits(limits) if limits else None,
        }
        _, differences = _compared(wanted, {name: current[name] for name in wanted})
        secrets = [f"secrets.{name}" for name in secrets_to_write(declared, current, self._rotate_secrets)]
        return True, [*differences, *secrets]

    async def _secret(self, declared: Declared) -> tuple[bool, Sequence[str]]:
        after = None
        while True:
            page = (await self._client.execute(_SECRETS, {"after": after}))["secrets"]
            for secret in page["items"]:
                if secret["name"] == declared.name:
                    moved = "apps" in declared.fields and _names(declared.fields["apps"]) != secret["apps"]
                    rotated = ["value"] if self._rotate_secrets else []
                    return True, [*(["apps"] if moved else []), *rotated]
            if not page["pageInfo"]["hasNextPage"]:
                return False, ()
            after = page["pageInfo"]["endCursor"]

    async def _workflow(self, declared: Declared) -> tuple[bool, Sequence[str]]:
        wanted = dump_document(parse_document(declared.fields))
        try:
            current = (await self._client.execute(_WORKFLOW, {"name": declared.name}))["workflow"]
        except NotFound:
            return False, ()
        if current["published"] is None:
            return False, ()
        _, differences = _compared(wanted, dump_document(parse_document(current["published"]["document"])))
        pinned = current["published"]["resolved"]["actions"]
        stale = [ref for ref in pinned if await self._is_stale(ref, pinned[ref])]
        children = current["published"]["resolved"].get("children", {})
        moved = [
            key for key, child in _followed(wanted).items() if await self._is_old(child, children.get(key))
        ]
        places = [*(f"actions.{ref}" for ref in stale), *(f"children.{key}" for key in moved)]
        return True, [*differences, *places]

    async def _is_old(self, workflow: str, pinned: Mapping[str, Any] | None) -> bool:
        """Whether publishing anew would pin another version of this child."""
        if pinned is None or (Kind.WORKFLOW, workflow) in self._changed:
            return True
        try:
            current = (await self._client.execute(_WORKFLOW, {"name": workflow}))["workflow"]
        except NotFound:
            return True
        return current["published"] is None or bool(current["published"]["id"] != pinned["versionId"])

    async def _is_stale(self, ref: str, pinned: Mapping[str, Any]) -> bool:
        """Whether publishing anew would pin something else for this action."""
        app, _, name = ref.partition("/")
        if {(Kind.ACTION, ref), (Kind.APP, app)} & self._changed:
            return True
        current = (await self._client.execute(_ACTION, {"app": app, "name": name}))["action"]
        if current is None:
            return True
        there = current["latest"]["id"], current["app"]["baseUrl"], current["app"]["retry"]
        return there != (pinned["revisionId"], pinned["baseUrl"], pinned.get("retry"))


def _followed(document: JsonObject) -> dict[str, str]:
    """The workflows that the document's steps run at their newest version, by the step's key."""
    children = children_used(parse_document(document))
    return {key: child.workflow for key, child in children.items() if child.version is None}


def _names(apps: Json) -> Json:
    return [*sorted({str(app) for app in apps})] if isinstance(apps, list) else apps


def secrets_to_write(declared: Declared, current: Mapping[str, Any] | None, rotate: bool) -> JsonObject:
    """The secret fields of a connection that are not there, or all of them to `rotate`."""
    secrets = declared.fields.get("secrets")
    if not isinstance(secrets, dict):
        return {}
    there = () if current is None or rotate else current["secretFields"]
    return {name: value for name, value in secrets.items() if name not in there}


def _compared(wanted: Mapping[str, Json], there: Mapping[str, Any] | None) -> tuple[bool, Sequence[str]]:
    if there is None:
        return False, ()
    return True, [name for name in {*wanted, *there} if wanted.get(name) != there.get(name)]
