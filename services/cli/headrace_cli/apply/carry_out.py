"""Does what a plan says, one step after another."""

from collections.abc import Iterable, Mapping
from typing import Any, assert_never

from headrace.errors import HeadraceError

from headrace_cli.apply.documents import Declared, Kind
from headrace_cli.apply.hooks import hook_terms
from headrace_cli.apply.plan import Step, Verb
from headrace_cli.apply.schedules import terms_of
from headrace_cli.apply.shape import definition, rule_of, title_of, told_of
from headrace_cli.apply.webhooks import webhook_terms
from headrace_cli.client import FAILURES, Client

_CREATE_APP = "mutation($input: AppInput!) { done: createApp(input: $input) { ...Failures } }"
_UPDATE_APP = """
mutation($name: String!, $input: AppChanges!) {
  done: updateApp(name: $name, input: $input) { ... on App { notices { path message } } ...Failures }
}"""
_SAVE_ACTION = """
mutation($app: String!, $name: String!, $definition: JSON!) {
  done: saveAction(app: $app, name: $name, definition: $definition) { ...Failures }
}"""
_CREATE_CONNECTION = """
mutation($input: ConnectionInput!) { done: createConnection(input: $input) { ...Failures } }"""
_UPDATE_CONNECTION = """
mutation($name: String!, $input: ConnectionChanges!) {
  done: updateConnection(name: $name, input: $input) { ...Failures }
}"""
_ROTATE = """
mutation($name: String!, $secrets: JSON!) {
  done: rotateConnectionSecret(name: $name, secrets: $secrets) { ...Failures }
}"""
_PUT_VALUE = """
mutation($name: String!, $value: String!, $apps: [String!]) {
  done: setSecret(name: $name, value: $value, apps: $apps) {
    ... on Secret { notices { path message } } ...Failures }
}"""
_SET_RULE = """
mutation($app: String!, $action: String, $approvalClass: ApprovalClass!, $twoPerson: Boolean!, $approverRoles: [Role!],
    $expiresAfterMs: Int, $reason: String!) {
  done: setPolicyRule(app: $app, action: $action, approvalClass: $approvalClass, twoPerson: $twoPerson,
    approverRoles: $approverRoles, expiresAfterMs: $expiresAfterMs, reason: $reason) { ...Failures }
}"""
_CREATE_SCHEDULE = """
mutation($input: ScheduleInput!) { done: createSchedule(input: $input) { ...Failures } }"""
_UPDATE_SCHEDULE = """
mutation($name: String!, $input: ScheduleChanges!) {
  done: updateSchedule(name: $name, input: $input) { ...Failures }
}"""
_CREATE_WEBHOOK = """
mutation($input: WebhookInput!) { done: createWebhook(input: $input) { ...Failures } }"""
_UPDATE_WEBHOOK = """
mutation($name: String!, $input: WebhookChanges!) {
  done: updateWebhook(name: $name, input: $input) { ...Failures }
}"""
_CREATE_HOOK = """
mutation($name: String!, $url: String!, $events: [HookEvent!]!) {
  done: createHook(name: $name, url: $url, events: $events) { ...Failures }
}"""
_UPDATE_HOOK = """
mutation($name: String!, $url: String!, $events: [HookEvent!]!) {
  done: updateHook(name: $name, url: $url, events: $events) { ...Failures }
}"""
_PUBLISH = """
mutation($document: JSON!, $waiver: String) { done: publishWorkflow(document: $document, waiver: $waiver) {
    ... on PublishedVersion { notices { path message } } ...Failures } }"""


# Whose messages are signed with a secret, and the commands that make a new one.
_SIGNED = {Kind.WEBHOOK: "webhooks", Kind.HOOK: "hooks"}


async def carry_out(client: Client, step: Step, waiver: str | None = None) -> list[str]:
    """Make the tenant hold what is declared, and tell what is worth knowing of it. Repeating it changes nothing more.
    `waiver` is why a long-lived workflow is published that lacks safeguards. An error names the document."""
    told: list[str] = []
    if step.verb is Verb.UNCHANGED:
        return told
    try:
        for mutation, variables in _mutations(step, waiver):
            done = (await client.execute(mutation + FAILURES, variables))["done"]
            told += noticed(step.declared, done.get("notices") or ())
        if (group := _SIGNED.get(step.declared.kind)) and step.verb is Verb.CREATE:
            # It has one that nobody has seen: what is applied is often logged.
            told.append(f"{step.declared.name}: for its secret, headrace {group} rotate {step.declared.name}")
    except HeadraceError as error:
        raise told_of(step.declared, error) from None
    return told


def noticed(declared: Declared, notices: Iterable[Mapping[str, str]]) -> list[str]:
    """What the server remarked of a workflow or a secret, each with its name and the place, if it is about one."""
    told = [" ".join(filter(None, (notice["path"], notice["message"]))) for notice in notices]
    return [f"{declared.name}: {one}" for one in told]


def _mutations(step: Step, waiver: str | None) -> list[tuple[str, dict[str, Any]]]:
    declared, new = step.declared, step.verb is Verb.CREATE
    fields, name = declared.fields, declared.name
    match declared.kind:
        case Kind.APP:
            terms = {**fields, "title": title_of(declared)}
            if new:
                return [(_CREATE_APP, {"input": terms})]
            del terms["name"]
            # What the file does not say any more is taken away.
            return [(_UPDATE_APP, {"name": name, "input": {"retry": None, "limits": None, **terms}})]
        case Kind.ACTION:
            app, _, own = name.partition("/")
            return [(_SAVE_ACTION, {"app": app, "name": own, "definition": definition(declared)})]
        case Kind.POLICY_RULE:
            about = {"app": fields.get("app"), "action": fields.get("action"), "reason": ""}
            return [(_SET_RULE, {**about, **rule_of(declared)})]
        case Kind.CONNECTION:
            return [(_CREATE_CONNECTION, {"input": fields})] if new else _connection_changes(step)
        case Kind.SECRET:
            # What the file does not say stays as it is: a variable that is not given is left out.
            return [(_PUT_VALUE, {key: fields[key] for key in ("name", "value", "apps") if key in fields})]
        case Kind.WORKFLOW:
            return [(_PUBLISH, {"document": document_of(declared), "waiver": waiver})]
        case Kind.SCHEDULE:
            if new:
                return [(_CREATE_SCHEDULE, {"input": {"name": name, **terms_of(declared)}})]
            return [(_UPDATE_SCHEDULE, {"name": name, "input": terms_of(declared)})]
        case Kind.WEBHOOK:
            if new:
                return [(_CREATE_WEBHOOK, {"input": {"name": name, **webhook_terms(declared)}})]
            return [(_UPDATE_WEBHOOK, {"name": name, "input": webhook_terms(declared)})]
        case Kind.HOOK:
            return [(_CREATE_HOOK if new else _UPDATE_HOOK, {"name": name, **hook_terms(declared)})]
        case _:
            assert_never(declared.kind)


def _connection_changes(step: Step) -> list[tuple[str, dict[str, Any]]]:
    fields, name = step.declared.fields, step.declared.name
    secrets = fields.get("secrets")
    given = secrets if isinstance(secrets, dict) else {}
    written = {key: value for key, value in given.items() if f"secrets.{key}" in step.differences}
    found: list[tuple[str, dict[str, Any]]] = []
    if {"baseUrl", "config", "limits"} & set(step.differences):
        changes = {key: fields.get(key) for key in ("baseUrl", "limits")}
        changes["config"] = fields.get("config") or {}
        found.append((_UPDATE_CONNECTION, {"name": name, "input": changes}))
    if written:
        found.append((_ROTATE, {"name": name, "secrets": written}))
    return found


def document_of(declared: Declared) -> Any:
    """The text as it was written, comments and all, where the file holds a workflow and nothing else."""
    return declared.source if declared.source is not None else declared.fields
