"""What an identity provider says of itself (OpenID Connect Discovery 1.0)."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from headrace.errors import Unavailable
from headrace.json_types import Json, JsonObject

PATH = "/.well-known/openid-configuration"

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Endpoints:
    """`names_issuer`: the provider says in each of its answers who it is (RFC 9207)."""

    authorization: str
    token: str
    keys: str
    userinfo: str | None
    secret_in_body: bool
    names_issuer: bool


def read_endpoints(issuer: str, document: Json) -> Endpoints:
    """Raises `Unavailable` when the document is not the issuer's, or sends us elsewhere than by TLS."""
    if not isinstance(document, dict) or document.get("issuer") != issuer:
        raise Unavailable(
            "the identity provider's configuration names another issuer than HEADRACE_OIDC_ISSUER"
        )
    methods = document.get("token_endpoint_auth_methods_supported")
    basic = not isinstance(methods, list) or "client_secret_basic" in methods
    return Endpoints(
        authorization=_url(issuer, document, "authorization_endpoint"),
        token=_url(issuer, document, "token_endpoint"),
        keys=_url(issuer, document, "jwks_uri"),
        userinfo=_url(issuer, document, "userinfo_endpoint") if "userinfo_endpoint" in document else None,
        secret_in_body=not basic,
        names_issuer=document.get("authorization_response_iss_parameter_supported") is True,
    )


def is_provider_url(url: str) -> bool:
    """https; or http on this machine, for tests and trials."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    )


def _url(issuer: str, document: JsonObject, name: str) -> str:
    url = document.get(name)
    # A provider that speaks TLS does not lead away from it.
    if (
        isinstance(url, str)
        and is_provider_url(url)
        and (issuer.startswith("http:") or url.startswith("https:"))
    ):
        return url
    raise Unavailable(f"the identity provider's configuration has no usable {name}")
