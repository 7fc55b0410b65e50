"""What can be said of a declared document without asking anyone: its keys, and all that its own reader finds."""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType

from headrace.errors import HeadraceError, InvalidInput, NotFound, Problem
from headrace.json_types import Json, JsonObject
from headrace.workflow.actions import parse_action
from headrace.workflow.document import RetryPolicy
from headrace.workflow.parse import parse_document
from headrace.workflow.reading import Reading
from headrace.workflow.retry import load_retry
from headrace_control.apps.auth_scheme import AuthScheme, read_scheme
from headrace_control.apps.limits import Limits, load_limits
from headrace_control.auth.roles import Role
from headrace_control.policy.model import EXPIRES_AFTER_MS, ApprovalClass

from headrace_cli.apply.documents import Declared, Kind
from headrace_cli.apply.hooks import read_hook
from headrace_cli.apply.schedules import read_schedule
from headrace_cli.apply.webhooks import read_webhook

# What a document may hold, and of what kind; True: it has to. An action's and a workflow's own reader knows better.
KEYS: Mapping[Kind, Mapping[str, tuple[type, bool]]] = MappingProxyType(
    {
        Kind.APP: {
            "name": (str, True),
            "title": (str, False),
            "baseUrl": (str, True),
            "auth": (dict, True),
            "retry": (dict, False),
            "limits": (dict, False),
        },
        Kind.CONNECTION: {
            "name": (str, True),
            "app": (str, True),
            "baseUrl": (str, False),
            "config": (dict, False),
            "secrets": (dict, False),
            "limits": (dict, False),
        },
        Kind.SECRET: {"name": (str, True), "value": (str, True), "apps": (list, False)},
        Kind.POLICY_RULE: {
            "app": (str, True),
            "action": (str, False),
            "approvalClass": (str, True),
            "twoPerson": (bool, False),
            "approverRoles": (list, False),
            "expiresAfterMs": (int, False),
            "reason": (str, False),
        },
        Kind.SCHEDULE: {
            "name": (str, True),
            "workflow": (str, True),
            "version": (int, False),
            "cron": (str, True),
            "timeZone": (str, False),
            "input": (dict, False),
            "missed": (str, False),
            "missedLimit": (int, False),
            "overlap": (str, False),
        },
        Kind.WEBHOOK: {
            "name": (str, True),
            "workflow": (str, True),
            "version": (int, False),
            "input": (dict, False),
            "schema": (dict, False),
            "toleranceSeconds": (int, False),
            "answer": (str, False),
            "resultSeconds": (int, False),
        },
        Kind.HOOK: {"name": (str, True), "url": (str, True), "events": (list, True)},
    }
)
_WORDS: Mapping[type, str] = MappingProxyType(
    {
        str: "text",
        dict: "names and values",
        list: "a list",
        bool: "true or false",
        int: "a whole number",
    }
)


def shape_problems(declared: Declared) -> list[Problem]:
    """Everything that is wrong with the document by itself, each with its place."""
    problems = list(_wrong_keys(declared))
    for read in _READERS.get(declared.kind, ()):
        try:
            read(declared)
        except InvalidInput as error:
            problems += placed(declared, error).problems
    return problems


def definition(declared: Declared) -> JsonObject:
    """An action's definition: its document without the app that it belongs to."""
    return {name: value for name, value in declared.fields.items() if name != "app"}


def scheme(declared: Declared) -> AuthScheme | None:
    """An app's way to authenticate. Raises `InvalidInput`."""
    reading = Reading()
    found = read_scheme(reading, declared.fields.get("auth"), "auth")
    reading.finish()
    return found


def title_of(declared: Declared) -> Json:
    """An app's title; empty when the document has none."""
    title = declared.fields.get("title")
    return "" if title is None else title


def retry_of(declared: Declared) -> RetryPolicy | None:
    """An app's retry policy. Raises `InvalidInput`."""
    return load_retry(declared.fields.get("retry"))


def limits_of(declared: Declared) -> Limits | None:
    """The limits of an app or a connection. Raises `InvalidInput`."""
    return load_limits(declared.fields.get("limits"))


def rule_of(declared: Declared) -> JsonObject:
    """A policy rule's terms as they will stand, with all that the document leaves out; its `reason` if there is one."""
    fields = declared.fields
    given = fields.get("approverRoles")
    roles: list[Json] = [*sorted({str(role) for role in given})] if isinstance(given, list) else []
    rule: JsonObject = {
        "approvalClass": fields.get("approvalClass"),
        "twoPerson": fields.get("twoPerson", False),
        "approverRoles": roles,
        "expiresAfterMs": fields.get("expiresAfterMs", EXPIRES_AFTER_MS),
    }
    reason = fields.get("reason")
    return {**rule, "reason": reason.strip()} if isinstance(reason, str) else rule


def placed(declared: Declared, error: InvalidInput) -> InvalidInput:
    """The same problems, each with the place of the document before its own."""
    return InvalidInput(
        [
            Problem(f"{declared.place}: {p.path}".rstrip(": "), p.message, p.mend, p.code)
            for p in error.problems
        ]
    )


def told_of(declared: Declared, error: HeadraceError) -> HeadraceError:
    """The same error, naming the document that it is about."""
    match error:
        case InvalidInput():
            return placed(declared, error)
        case NotFound():
            return NotFound(f"{_name(declared)}: {error.what}")
        case _:
            return type(error)(f"{_name(declared)}: {error.message}")


def _name(declared: Declared) -> str:
    return f"{declared.place}: {declared.kind} {declared.name}"


def _wrong_keys(declared: Declared) -> Iterator[Problem]:
    known = KEYS.get(declared.kind)
    if known is None:
        return
    for name in declared.fields:
        if name not in known:
            mend = f"one of {', '.join(sorted(known))}"
            yield Problem(f"{declared.place}.{name}", f"a {declared.kind} has no such key", mend)
    for name, (wanted, needed) in known.items():
        value: Json = declared.fields.get(name)
        if value is None and needed:
            yield Problem(f"{declared.place}.{name}", "is missing", f"write {_WORDS[wanted]}")
        elif value is not None and not _is_a(value, wanted):
            yield Problem(f"{declared.place}.{name}", f"is not {_WORDS[wanted]}", f"write {_WORDS[wanted]}")


def _is_a(value: Json, wanted: type) -> bool:
    return isinstance(value, wanted) and not (wanted is int and isinstance(value, bool))


def _read_rule(declared: Declared) -> None:
    """The words of the schema's enums; what the numbers may be the server says."""
    roles = declared.fields.get("approverRoles")
    given: list[tuple[str, Json, type[StrEnum]]] = [
        ("approvalClass", declared.fields.get("approvalClass"), ApprovalClass),
        *(
            (f"approverRoles[{n}]", role, Role)
            for n, role in enumerate(roles if isinstance(roles, list) else ())
        ),
    ]
    problems = [
        Problem(path, "no such word", f"one of {', '.join(words)}")
        for path, value, words in given
        if value is not None and value not in [*words]
    ]
    if problems:
        raise InvalidInput(problems)


def _read_action(declared: Declared) -> None:
    parse_action(definition(declared), declared.name.partition("/")[0])


def _read_app(declared: Declared) -> None:
    if isinstance(declared.fields.get("auth"), dict):
        scheme(declared)


def _read_retry(declared: Declared) -> None:
    if isinstance(declared.fields.get("retry"), dict):
        retry_of(declared)


def _read_limits(declared: Declared) -> None:
    if isinstance(declared.fields.get("limits"), dict):
        limits_of(declared)


def _read_workflow(declared: Declared) -> None:
    parse_document(declared.fields)


_READERS: Mapping[Kind, tuple[Callable[[Declared], None], ...]] = MappingProxyType(
    {
        Kind.APP: (_read_app, _read_retry, _read_limits),
        Kind.CONNECTION: (_read_limits,),
        Kind.ACTION: (_read_action,),
        Kind.WORKFLOW: (_read_workflow,),
        Kind.POLICY_RULE: (_read_rule,),
        Kind.SCHEDULE: (read_schedule,),
        Kind.WEBHOOK: (read_webhook,),
        Kind.HOOK: (read_hook,),
    }
)
