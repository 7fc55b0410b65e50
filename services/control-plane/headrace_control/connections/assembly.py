"""From a connection's opened fields to the credential that calls are made with, or a token is asked with."""

from collections.abc import Mapping
from uuid import UUID

from headrace.json_types import JsonObject
from headrace.outbound.auth import Credential, bound_host
from headrace.outbound.oauth2 import ClientAuth, Grant, TokenRequest
from headrace.workflow.document import AuthKind

from headrace_control.apps.auth_scheme import AuthScheme, ClientProof, GrantKind
from headrace_control.connections.model import RunCredential
from headrace_control.connections.repository import SealedCredential
from headrace_control.vault.envelope import Place

# Header names hold no colon, so these fields meet none that a scheme asks for.
ACCESS_TOKEN = "oauth:access_token"  # noqa: S105 - a field's name
TOKEN_TYPE = "oauth:token_type"  # noqa: S105 - a field's name

_GRANTS = {
    GrantKind.CLIENT_CREDENTIALS: Grant.CLIENT_CREDENTIALS,
    GrantKind.REFRESH_TOKEN: Grant.REFRESH_TOKEN,
}
_PROOFS = {
    ClientProof.BASIC: ClientAuth.BASIC,
    ClientProof.POST: ClientAuth.POST,
    ClientProof.NONE: ClientAuth.NONE,
}


def fields_of(opened: Mapping[Place, str], connection_id: UUID) -> dict[str, str]:
    """One connection's values by field."""
    return {place.field: value for place, value in opened.items() if place.owner_id == connection_id}


def is_complete(sealed: SealedCredential, values: Mapping[str, str]) -> bool:
    """Whether every secret that the scheme asks for is there and did open."""
    return all(field in values for field in sealed.auth.secret_fields)


def run_credential(sealed: SealedCredential, values: Mapping[str, str]) -> RunCredential:
    """The credential, bound to the host of the connection's base URL, else of the app's."""
    base_url = sealed.base_url or sealed.app_base_url
    return RunCredential(
        Credential(
            sealed.auth.kind,
            _fields(sealed, values),
            frozenset({bound_host(base_url)}),
            str(sealed.connection_id),
            sealed.token_version,
            sealed.token_expires_at if sealed.token_lasts else None,
        ),
        sealed.base_url,
        sealed.limited,
    )


def token_request(sealed: SealedCredential, values: Mapping[str, str], seconds: float) -> TokenRequest:
    """What to ask the token endpoint of an OAUTH2 scheme, which has so many seconds to answer."""
    auth = sealed.auth
    return TokenRequest(
        auth.token_url,
        _GRANTS[auth.grant],
        client_id=_text(sealed.config, "clientId"),
        client_secret=values.get("clientSecret", ""),
        client_auth=_PROOFS[auth.client_auth],
        refresh_token=values.get("refreshToken", ""),
        scope=" ".join(_scopes(sealed.config, auth)),
        extra=auth.extra,
        timeout=seconds,
    )


def _fields(sealed: SealedCredential, values: Mapping[str, str]) -> dict[str, str]:
    auth = sealed.auth
    match auth.kind:
        case AuthKind.NONE:
            return {}
        case AuthKind.API_KEY:
            return {"key": values["apiKey"], "in": auth.location, "name": auth.name, "prefix": auth.prefix}
        case AuthKind.BASIC:
            return {"username": _text(sealed.config, "username"), "password": values["password"]}
        case AuthKind.CUSTOM_HEADER:
            return {name: values[name] for name in auth.headers}
        case AuthKind.OAUTH2:
            if ACCESS_TOKEN not in values or not sealed.token_lasts:
                return {}
            return {"access_token": values[ACCESS_TOKEN], "token_type": values.get(TOKEN_TYPE, "Bearer")}


def _text(config: JsonObject, name: str) -> str:
    value = config.get(name)
    return value if isinstance(value, str) else ""


def _scopes(config: JsonObject, auth: AuthScheme) -> list[str]:
    own = config.get("scopes")
    return [scope for scope in own if isinstance(scope, str)] if isinstance(own, list) else list(auth.scopes)
