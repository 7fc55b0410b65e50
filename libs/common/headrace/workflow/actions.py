"""An action's definition: from JSON data with every problem at once, and back."""

import re
from collections.abc import Mapping
from urllib.parse import unquote

from headrace.errors import InvalidInput
from headrace.json_types import Json, JsonObject
from headrace.workflow.definition import ActionDefinition, BodyType, Idempotency, IdempotencyMode
from headrace.workflow.document import OnMismatch
from headrace.workflow.grammar import MAX_TIMEOUT_MS
from headrace.workflow.idempotency import may_repeat
from headrace.workflow.json_rules import check_json
from headrace.workflow.names import NAME
from headrace.workflow.pagination import dump_pagination, read_pagination
from headrace.workflow.paths import at_name
from headrace.workflow.reading import Fields, Reading
from headrace.workflow.retry import dump_retry, read_retry
from headrace.workflow.values import kind_of

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
APPROVAL_CLASSES = ("A", "B", "C")
REVERSIBILITIES = ("REVERSIBLE", "COMPENSATABLE", "IRREVERSIBLE", "UNKNOWN")
SENSITIVITIES = ("PUBLIC", "INTERNAL", "CONFIDENTIAL", "RESTRICTED", "UNKNOWN")
MAX_TEMPLATE = 2_048
MAX_HEADERS = 50
MAX_HEADER_VALUE = 4_096
PARTS = ("path", "query", "headers", "body", "output")

# Fields that frame a message or belong to the connection (RFC 9110 and 9112): ours, never a tenant's.
OWN_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

# By these some targets do another operation than method and path name. Which operation it is, the action says.
OVERRIDE_HEADERS = frozenset(
    {
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-method",
        "x-original-url",
        "x-rewrite-url",
    }
)

ACTION_KEYS = (
    "name",
    "method",
    "endpointTemplate",
    *(f"{part}Schema" for part in PARTS),
    "headersTemplate",
    "bodyType",
    "retry",
    "timeoutMs",
    "pagination",
    "idempotency",
    "onOutputMismatch",
    "approvalClass",
    "reversibility",
    "sensitivity",
)

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")  # RFC 9110 section 5.6.2
_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_-]{0,62})\}")
_PATH = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,;=:@%/]*")  # RFC 3986 section 3.3, `{name}` taken out


def parse_action(data: object, app: str) -> ActionDefinition:
    """The action of `app` that `data` holds. Raises `InvalidInput` with every problem found.

    Its schemas are only checked to be objects; `headrace.workflow.validate.validate_action` checks them.
    """
    problems = check_json(data)
    if problems:
        raise InvalidInput(problems)
    reading = Reading()
    definition = _action(reading, data, app)  # type: ignore[arg-type]
    reading.finish()
    assert definition is not None  # noqa: S101 - a reading without problems made one
    return definition


def dump_action(action: ActionDefinition) -> JsonObject:
    """The definition as JSON data, every key with a default written, that `parse_action` reads back as an equal one."""
    data: JsonObject = {
        "name": action.name,
        "method": action.method,
        "endpointTemplate": action.endpoint_template,
        "headersTemplate": dict(action.headers_template),
        "bodyType": action.body_type.value,
        "timeoutMs": action.timeout_ms,
        "idempotency": {"mode": action.idempotency.mode.value, "header": action.idempotency.header},
        "onOutputMismatch": action.on_output_mismatch.value,
        "reversibility": action.reversibility,
        "sensitivity": action.sensitivity,
    }
    # What nobody has said is told apart from what somebody has: unknown means B.
    if action.approval_class is not None:
        data["approvalClass"] = action.approval_class
    if action.retry is not None:
        data["retry"] = dump_retry(action.retry)
    if action.pagination is not None:
        data["pagination"] = dump_pagination(action.pagination)
    for part, schema in schemas_of(action).items():
        data[f"{part}Schema"] = schema
    return data


def schemas_of(action: ActionDefinition) -> dict[str, JsonObject]:
    """The schemas that the action has, by part: path, query, headers, body, output."""
    every = {
        "path": action.path_schema,
        "query": action.query_schema,
        "headers": action.headers_schema,
        "body": action.body_schema,
        "output": action.output_schema,
    }
    return {part: schema for part, schema in every.items() if schema is not None}


def endpoint_parameters(template: str) -> tuple[str, ...]:
    """The `{name}` parameters of an endpoint template, each once, in order."""
    return tuple(dict.fromkeys(_PARAMETER.findall(template)))


def header_problem(name: str, value: str) -> str:
    """Why a tenant may not set this header; empty when it may. Nothing of the value is quoted."""
    if not _TOKEN.fullmatch(name):
        return "this is no header name"
    if name.lower() in OWN_HEADERS:
        return "this header is set by Headrace alone"
    if len(value) > MAX_HEADER_VALUE:
        return f"a header's value may have {MAX_HEADER_VALUE} characters at most"
    if any((ord(character) < 32 and character != "\t") or ord(character) == 127 for character in value):
        return "a header's value may not hold line breaks or control characters"
    return ""


def may_override(action: ActionDefinition, name: str) -> bool:
    """Whether a step may set this header: one that names another operation only where headersSchema declares it."""
    if name.lower() not in OVERRIDE_HEADERS:
        return True
    properties = (action.headers_schema or {}).get("properties")
    return isinstance(properties, dict) and name.lower() in {declared.lower() for declared in properties}


def has_dot_segment(path: str) -> bool:
    """Whether `path` holds `.` or `..` as a segment, for targets that decode it once, twice, or read `\\` as `/`."""
    segments = unquote(unquote(path)).replace("\\", "/").split("/")
    return any(segment in (".", "..") for segment in segments)


def endpoint_problem(template: str) -> str:
    """Why this is no endpoint template; empty when it is one."""
    if not template.startswith("/") or template.startswith("//"):
        return "an endpoint is a path that starts with one `/`, without scheme and host"
    if "?" in template or "#" in template:
        return "an endpoint may not hold `?` or `#`; query parameters are declared in querySchema"
    plain = _PARAMETER.sub("x", template)
    if "{" in plain or "}" in plain:
        return "a parameter is written `{name}`, with letters, digits, `-` and `_`"
    if not _PATH.fullmatch(plain) or re.search(r"%(?![0-9A-Fa-f]{2})", plain):
        return "an endpoint holds a character that has to be percent-encoded"
    if has_dot_segment(plain):
        return "an endpoint may not hold `.` or `..` as a segment"
    return ""


def _action(reading: Reading, data: Json, app: str) -> ActionDefinition | None:
    fields = reading.fields(data, "", ACTION_KEYS)
    if fields is None:
        return None
    fields.required("name", "Give the action a name.")
    fields.required("method", f"Write one of {', '.join(METHODS)}.")
    fields.required("endpointTemplate", "Write a path such as `/orders/{orderId}`.")
    endpoint = _endpoint(fields)
    schemas = {part: fields.object(f"{part}Schema") for part in PARTS}
    _check_path_schema(fields, endpoint, schemas["path"])
    plain = ActionDefinition(app=app, name="", method="", endpoint_template="")
    definition = ActionDefinition(
        app=app,
        name=fields.name("name", NAME) or "",
        method=fields.word("method", METHODS) or "",
        endpoint_template=endpoint or "",
        path_schema=schemas["path"],
        query_schema=schemas["query"],
        headers_schema=schemas["headers"],
        body_schema=schemas["body"],
        output_schema=schemas["output"],
        headers_template=_headers(fields),
        body_type=fields.choice("bodyType", BodyType) or plain.body_type,
        retry=read_retry(fields),
        timeout_ms=fields.integer("timeoutMs", 1, MAX_TIMEOUT_MS) or plain.timeout_ms,
        pagination=read_pagination(fields),
        idempotency=_idempotency(fields),
        on_output_mismatch=fields.choice("onOutputMismatch", OnMismatch) or plain.on_output_mismatch,
        approval_class=fields.word("approvalClass", APPROVAL_CLASSES),
        reversibility=fields.word("reversibility", REVERSIBILITIES) or plain.reversibility,
        sensitivity=fields.word("sensitivity", SENSITIVITIES) or plain.sensitivity,
    )
    _check_pagination(fields, definition)
    return None if reading.problems else definition


def _endpoint(fields: Fields) -> str | None:
    template = fields.text("endpointTemplate", MAX_TEMPLATE)
    problem = endpoint_problem(template) if template is not None else ""
    if problem:
        fields.wrong("endpointTemplate", problem, "Write a path such as `/orders/{orderId}`.", "BAD_ENDPOINT")
    return template


def _check_path_schema(fields: Fields, endpoint: str | None, schema: JsonObject | None) -> None:
    declared = (schema or {}).get("properties")
    if endpoint is None or not isinstance(declared, dict):
        return
    for name in declared:
        if name not in endpoint_parameters(endpoint):
            path = at_name(f"{fields.at('pathSchema')}.properties", name)
            mend = f"Write `{{{name}}}` in endpointTemplate, or take it out of pathSchema."
            fields.reading.add(path, "endpointTemplate has no such parameter", mend, "UNKNOWN_PARAMETER")


def _check_pagination(fields: Fields, action: ActionDefinition) -> None:
    """Pages are asked for again from the first one on when one fails."""
    if action.pagination is None or not action.method:
        return
    if action.idempotency.mode is IdempotencyMode.KEY:
        message = "an idempotency key asks for the same answer again, not for the next page"
        mend = "Write idempotency.mode METHOD, or IDEMPOTENT if the app says that the call may be repeated."
        fields.wrong("pagination", message, mend, "NOT_REPEATABLE")
    elif not may_repeat(action):
        message = "an action that may not be repeated has no pages"
        mend = "Use method GET, or write idempotency.mode IDEMPOTENT if the app says that it may be repeated."
        fields.wrong("pagination", message, mend, "NOT_REPEATABLE")


def _headers(fields: Fields) -> Mapping[str, str]:
    headers = fields.object("headersTemplate") or {}
    if len(headers) > MAX_HEADERS:
        fields.wrong("headersTemplate", f"there are more than {MAX_HEADERS} headers", "Leave some out.")
        return {}
    kept: dict[str, str] = {}
    seen: set[str] = set()
    for name, value in headers.items():
        path = at_name(fields.at("headersTemplate"), name)
        if not isinstance(value, str):
            fields.reading.add(path, f"a text is needed, not {kind_of(value)}", "Put it in quotes.")
            continue
        problem = header_problem(name, value) or (
            "this header is there twice" if name.lower() in seen else ""
        )
        seen.add(name.lower())
        if problem:
            fields.reading.add(path, problem, "Change it, or leave it out.", "BAD_HEADER")
        kept[name] = value
    return kept


def _idempotency(fields: Fields) -> Idempotency:
    plain = Idempotency()
    if not fields.has("idempotency"):
        return plain
    inner = fields.reading.fields(fields.any("idempotency"), fields.at("idempotency"), ("mode", "header"))
    if inner is None:
        return plain
    header = inner.text("header", 128)
    problem = header_problem(header, "") if header is not None else ""
    if problem:
        inner.wrong("header", problem, "Write a header name such as `Idempotency-Key`.", "BAD_HEADER")
    return Idempotency(inner.choice("mode", IdempotencyMode) or plain.mode, header or plain.header)
