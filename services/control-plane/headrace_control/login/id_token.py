"""Whether an ID token is the provider's word, meant for us, now (OpenID Connect Core 1.0, 3.1.3.7; RFC 8725).

The signature is joserfc's work, the JOSE library of Authlib. What the claims must say is said here, in one place:
more strictly than a general library could.
"""

import hmac
import warnings
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NoReturn

import orjson
from headrace.errors import Unauthenticated
from headrace.json_text import read_exact
from headrace.json_types import Json, JsonObject
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning

from headrace_control.login.key_set import KeySet

LEEWAY_SECONDS = 60
# A token that claims to last longer is over then.
LONGEST_SECONDS = 3600
MAX_BYTES = 64 * 1024
_MAX_SUBJECT = 255


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token has to say. `now` is in seconds since 1970."""

    issuer: str
    client_id: str
    nonce: str = field(repr=False)
    now: float


async def read_id_token(
    token: str, keys: KeySet, algorithms: Collection[str], expected: Expected
) -> JsonObject:
    """The claims of a genuine token. Raises `Unauthenticated`, which names the claim at fault and quotes nothing."""
    claims = await _verified(token, keys, algorithms)
    _check(claims, expected)
    return claims


async def _verified(token: str, keys: KeySet, algorithms: Collection[str]) -> JsonObject:
    if len(token) > MAX_BYTES:
        _refuse("size")
    registry = jws.JWSRegistry(algorithms=list(algorithms), strict_check_header=False)
    registry.max_header_length = MAX_BYTES
    try:
        signed = jws.extract_compact(token.encode("ascii"), registry=registry)
        header = signed.headers()
    except (JoseError, ValueError, TypeError) as error:
        raise _refusal("shape") from error
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        _refuse("alg")
    if not isinstance(kid, str | None):
        _refuse("kid")
    key = await keys.find(kid, algorithm)
    try:
        with warnings.catch_warnings():
            # RFC 9864 asks for the name Ed25519; providers still write EdDSA, and its curve is checked with the key.
            warnings.simplefilter("ignore", SecurityWarning)
            genuine = jws.validate_compact(signed, key, registry=registry)
    except (JoseError, ValueError, TypeError) as error:
        raise _refusal("signature") from error
    if not genuine:
        _refuse("signature")
    try:
        claims = read_exact(signed.payload)
    except orjson.JSONDecodeError as error:
        raise _refusal("shape") from error
    if not isinstance(claims, dict):
        _refuse("shape")
    return claims


def _check(claims: JsonObject, expected: Expected) -> None:
    if claims.get("iss") != expected.issuer:
        _refuse("iss")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if expected.client_id not in audiences:
        _refuse("aud")
    party = claims.get("azp")
    # Of a token for many, the one that it was made for has to be us.
    if party != expected.client_id and (party is not None or len(audiences) > 1):
        _refuse("azp")
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), expected.nonce.encode()):
        _refuse("nonce")
    issued, ends = _seconds(claims, "iat"), _seconds(claims, "exp")
    if issued > expected.now + LEEWAY_SECONDS:
        _refuse("iat")
    if min(ends, issued + LONGEST_SECONDS) <= expected.now - LEEWAY_SECONDS:
        _refuse("exp")
    if "nbf" in claims and _seconds(claims, "nbf") > expected.now + LEEWAY_SECONDS:
        _refuse("nbf")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT or not subject.isprintable():
        _refuse("sub")


def _seconds(claims: JsonObject, name: str) -> float:
    value: Json = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(name)
    return float(value)


def _refusal(claim: str) -> Unauthenticated:
    return Unauthenticated(f"the identity provider's token is not to be trusted ({claim})")


def _refuse(claim: str) -> NoReturn:
    raise _refusal(claim)
