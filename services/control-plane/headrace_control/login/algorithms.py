"""Algorithms that may sign an ID token, and the keys that they go with."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class KeyShape:
    """`kty` and `crv` of a JWK (RFC 7517); no curve for RSA."""

    kty: str
    crv: str | None = None


_RSA = KeyShape("RSA")

# With a key of the provider's alone, which is public: neither `none` nor the HMACs are here, so that no setting and no
# token can bring them in (RFC 8725, 3.1 and 3.2).
ALGORITHMS: Mapping[str, KeyShape] = MappingProxyType(
    {
        "RS256": _RSA,
        "RS384": _RSA,
        "RS512": _RSA,
        "PS256": _RSA,
        "PS384": _RSA,
        "PS512": _RSA,
        "ES256": KeyShape("EC", "P-256"),
        "ES384": KeyShape("EC", "P-384"),
        "ES512": KeyShape("EC", "P-521"),
        "EdDSA": KeyShape("OKP", "Ed25519"),
    }
)
