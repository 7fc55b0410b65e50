"""What a connection must hold, by its app's scheme. No problem ever quotes a value."""

from collections.abc import Mapping

from headrace.json_types import Json, JsonObject
from headrace.workflow.actions import header_problem
from headrace.workflow.definition import AuthKind
from headrace.workflow.paths import at_name
from headrace.workflow.reading import Fields, Reading

from headrace_control.apps.auth_scheme import MAX_SCOPES, AuthScheme, read_url

MAX_VALUE = 16_384
MAX_TEXT = 500


def read_base_url(reading: Reading, base_url: str | None) -> str | None:
    """The connection's own base URL, checked as an app's is."""
    if base_url is not None:
        read_url(Fields(reading, "", {"baseUrl": base_url}), "baseUrl", query=False)
    return base_url


def read_config(reading: Reading, scheme: AuthScheme, config: Json) -> JsonObject:
    """What is not secret: `username` for BASIC; `clientId` and `scopes` (instead of the app's) for OAUTH2."""
    optional = ("scopes",) if scheme.kind is AuthKind.OAUTH2 else ()
    fields = reading.fields(config, "config", (*scheme.config_keys, *optional))
    if fields is None:
        return {}
    for key in scheme.config_keys:
        if fields.required(key, f"{scheme.kind} needs it."):
            fields.text(key, MAX_TEXT)
    username = fields.any("username")
    if isinstance(username, str) and ":" in username:
        # RFC 7617 section 2: the first colon ends the user name.
        fields.wrong("username", "a user name holds no colon", "Take it out.")
    for path, scope in fields.elements("scopes", MAX_SCOPES):
        if not isinstance(scope, str) or not 0 < len(scope) <= 200:
            reading.add(path, "a text of 1 to 200 characters is needed", "Put it in quotes.")
    return dict(fields.data)


def read_secrets(reading: Reading, scheme: AuthScheme, secrets: Json, *, complete: bool) -> Mapping[str, str]:
    """The secret fields of the scheme; all of them when `complete`, else at least one."""
    fields = reading.fields(secrets, "secrets", scheme.secret_fields)
    if fields is None:
        return {}
    for name in scheme.secret_fields:
        if complete:
            fields.required(name, f"{scheme.kind} needs it.")
        if fields.has(name):
            fields.text(name, MAX_VALUE)
            _check_sendable(fields, scheme, name)
    if not complete and not fields.data:
        reading.add("secrets", "there is nothing to rotate", f"Give {' or '.join(scheme.secret_fields)}.")
    return {name: value for name, value in fields.data.items() if isinstance(value, str)}


def _check_sendable(fields: Fields, scheme: AuthScheme, name: str) -> None:
    value = fields.any(name)
    in_header = scheme.kind is AuthKind.CUSTOM_HEADER or (
        scheme.kind is AuthKind.API_KEY and scheme.location == "header"
    )
    if not isinstance(value, str) or not in_header:
        return
    if header_problem("X", value) or not value.isascii() or value != value.strip():
        fields.reading.add(
            at_name("secrets", name),
            "the value does not fit into a header",
            "Headers hold visible ASCII characters, and no space at either end.",
        )
