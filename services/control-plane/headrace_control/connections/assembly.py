"""From a connection's opened fields to the credential that calls are made with, or a token is asked with."""

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from headrace.json_types import JsonObject
from headrace.outbound.auth import Credential, bound_host
from headrace.outbound.oauth2 import ClientAuth, Grant, TokenRequest
from headrace.workflow.definition import AuthKind

from headrace_control.apps.auth_scheme import AuthScheme, ClientProof, GrantKind
from headrace_control.connections.model import RunCredential
from headrace_control.connections.repository import REFRESH_TOKEN, SealedCredential
from headrace_control.vault.envelope import Place

# Header names hold no colon, so these fields meet none that a scheme asks for.
ACCESS_TOKEN = "oauth:access_token"  # noqa: S105 - a field's name
TOKEN_TYPE = "oauth:token_type"  # noqa: S105 - a field's name

_GRANTS = {
    GrantKind.CLIENT_CREDENTIALS: Grant.CLIENT_CREDENTIALS,
    GrantKind.REFRESH_TOKEN: Grant.REFRESH_TOKEN,
    # Once a person has authorized it, its tokens are refreshed as others are.
    GrantKind.AUTHORIZATION_CODE: Grant.REFRESH_TOKEN,
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
    """Whether every secret that the scheme asks for is there and did open, and so did a refresh token."""
    if sealed.has_refresh_token and REFRESH_TOKEN not in values:
        return False
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
        sealed.changed_at,
    )


def token_request(sealed: SealedCredential, values: Mapping[str, str], seconds: float) -> TokenRequest:
    """What to ask the token endpoint of an OAUTH2 scheme, which has so many seconds to answer."""
    auth = sealed.auth
    return TokenRequest(
        auth.token_url,
        _GRANTS[auth.grant],
        client_id=client_id(sealed.config),
        client_secret=values.get("clientSecret", ""),
        client_auth=_PROOFS[auth.client_auth],
        refresh_token=values.get(REFRESH_TOKEN, ""),
        scope=scope(sealed.config, auth),
        extra=auth.extra,
        timeout=seconds,
    )


def code_request(
    sealed: SealedCredential,
    values: Mapping[str, str],
    seconds: float,
    code: str,
    redirect: str,
    verifier: str,
) -> TokenRequest:
    """What takes an authorization code to the token endpoint."""
    return replace(
        token_request(sealed, values, seconds),
        grant=Grant.AUTHORIZATION_CODE,
        refresh_token="",
        code=code,
        redirect_uri=redirect,
        verifier=verifier,
    )


def client_id(config: JsonObject) -> str:
    return _text(config, "clientId")


def scope(config: JsonObject, auth: AuthScheme) -> str:
    """The connection's scopes, else the app's, as they are asked for."""
    own = config.get("scopes")
    scopes = own if isinstance(own, list) else auth.scopes
    return " ".join(one for one in scopes if isinstance(one, str))


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
