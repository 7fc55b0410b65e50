"""ID tokens that are not the provider's word, not meant for us, or not of now."""

import json
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from headrace.errors import Unauthenticated, Unavailable
from headrace_control.login.algorithms import ALGORITHMS
from headrace_control.login.discovery import read_endpoints
from headrace_control.login.id_token import Expected, read_id_token
from headrace_control.login.key_set import MAX_KEYS, KeySet
from joserfc import jws
from joserfc.jwk import OctKey, OKPKey, RSAKey

from tests.issuer import by_hand, ec_key, signed

NOW = 1_900_000_000.0
EXPECTED = Expected("https://issuer.test", "headrace", "the nonce", NOW)
SAFE = ("RS256", "PS256", "ES256", "EdDSA")
KEY = ec_key("k")
RSA = RSAKey.generate_key(2048, parameters={"kid": "r"})
CLAIMS = {
    "iss": "https://issuer.test",
    "aud": "headrace",
    "sub": "kim",
    "nonce": "the nonce",
    "iat": NOW - 5,
    "exp": NOW + 300,
}


class Clock:
    def __init__(self) -> None:
        self.now, self.fetches = 0.0, 0

    def __call__(self) -> float:
        return self.now


def key_set(*keys: Any, clock: Clock | None = None) -> KeySet:
    """What a provider publishes: keys of joserfc, or JWKs as they stand."""
    at = clock or Clock()

    async def fetch() -> Any:
        at.fetches += 1
        return {"keys": [key if isinstance(key, dict) else key.as_dict(private=False) for key in keys]}

    return KeySet(fetch, at)


async def read(token: str, *keys: Any, algorithms: tuple[str, ...] = SAFE) -> Any:
    return await read_id_token(token, key_set(*(keys or (KEY, RSA))), algorithms, EXPECTED)


@pytest.mark.parametrize(
    ("alg", "key"),
    [
        ("ES256", KEY),
        ("RS256", RSA),
        ("PS256", RSA),
        ("EdDSA", OKPKey.generate_key("Ed25519", parameters={"kid": "o"})),
    ],
    ids=["ES256", "RS256", "PS256", "EdDSA"],
)
async def test_a_genuine_token_is_read(alg: str, key: Any) -> None:
    token = _eddsa(CLAIMS, key) if alg == "EdDSA" else signed(CLAIMS, key, alg)
    assert (await read(token, key))["sub"] == "kim"
    assert await read(
        _eddsa(CLAIMS, key, None) if alg == "EdDSA" else signed(CLAIMS, key, alg, kid=None), key
    )


def _eddsa(claims: Any, key: Any, kid: str | None = "o") -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return signed(claims, key, "EdDSA", kid=kid)


@pytest.mark.parametrize(
    ("changed", "claim"),
    [
        ({"iss": "https://issuer.test/"}, "iss"),
        ({"iss": "https://evil.test"}, "iss"),
        ({"iss": None}, "iss"),
        ({"iss": ["https://issuer.test"]}, "iss"),
        ({"aud": "other"}, "aud"),
        ({"aud": ["other", "another"]}, "aud"),
        ({"aud": []}, "aud"),
        ({"aud": None}, "aud"),
        ({"aud": "headrace2"}, "aud"),
        ({"aud": {"headrace": 1}}, "aud"),
        ({"aud": ["headrace", "other"]}, "azp"),
        ({"aud": ["headrace", "other"], "azp": "other"}, "azp"),
        ({"azp": "other"}, "azp"),
        ({"azp": 1}, "azp"),
        ({"nonce": None}, "nonce"),
        ({"nonce": "another nonce"}, "nonce"),
        ({"nonce": ["the nonce"]}, "nonce"),
        ({"nonce": "th\u00e9 nonce"}, "nonce"),
        ({"exp": None}, "exp"),
        ({"exp": NOW - 61}, "exp"),
        ({"exp": "9999999999"}, "exp"),
        ({"exp": True}, "exp"),
        ({"iat": NOW - 3700, "exp": NOW + 10**9}, "exp"),
        ({"iat": None}, "iat"),
        ({"iat": NOW + 61}, "iat"),
        ({"iat": "now"}, "iat"),
        ({"nbf": NOW + 61}, "nbf"),
        ({"nbf": "soon"}, "nbf"),
        ({"sub": None}, "sub"),
        ({"sub": ""}, "sub"),
        ({"sub": 7}, "sub"),
        ({"sub": "k\0m"}, "sub"),
        ({"sub": "k" * 256}, "sub"),
    ],
    ids=str,
)
async def test_a_wrong_claim_is_named(changed: Any, claim: str) -> None:
    claims = {name: value for name, value in {**CLAIMS, **changed}.items() if value is not None}
    with pytest.raises(Unauthenticated, match=rf"\({claim}\)$"):
        await read(signed(claims, KEY))


async def test_clocks_may_differ_by_a_minute_and_a_token_may_be_for_many_when_it_is_made_for_us() -> None:
    claims = {**CLAIMS, "iat": NOW + 59, "exp": NOW - 59, "nbf": NOW + 59, "azp": "headrace"}
    assert await read(signed({**claims, "aud": ["other", "headrace"]}, KEY))


PUBLIC_PEM = RSA.as_pem(private=False)
FORGED: dict[str, Callable[[], str]] = {
    "no signature": lambda: by_hand({"alg": "none"}, CLAIMS, None),
    "no signature, with the key's name": lambda: by_hand({"alg": "none", "kid": "k"}, CLAIMS, None),
    "None": lambda: by_hand({"alg": "None", "kid": "k"}, CLAIMS, None),
    "nOnE": lambda: by_hand({"alg": "nOnE", "kid": "k"}, CLAIMS, None),
    "alg null": lambda: by_hand({"alg": None, "kid": "k"}, CLAIMS, None),
    "alg a list": lambda: by_hand({"alg": ["ES256"], "kid": "k"}, CLAIMS, None),
    "no alg": lambda: by_hand({"kid": "k"}, CLAIMS, None),
    "HMAC with the public key": lambda: by_hand({"alg": "HS256", "kid": "r"}, CLAIMS, PUBLIC_PEM),
    "HMAC with nothing": lambda: by_hand({"alg": "HS256", "kid": "k"}, CLAIMS, b""),
    "RS256 in name, HMAC in deed": lambda: by_hand({"alg": "RS256", "kid": "r"}, CLAIMS, PUBLIC_PEM),
    "ES256, no signature": lambda: by_hand({"alg": "ES256", "kid": "k"}, CLAIMS, None),
    "ES256, zeros": lambda: _with_signature(signed(CLAIMS, KEY), "A" * 86),
    "another's key of the same name": lambda: signed(CLAIMS, ec_key("k")),
    "the key comes along": lambda: signed(CLAIMS, other := ec_key("k"), jwk=other.as_dict(private=False)),
    "the key is elsewhere": lambda: signed(CLAIMS, ec_key("k"), jku="https://evil.test/jwks"),
    "a certificate comes along": lambda: signed(CLAIMS, ec_key("k"), x5c=["MIIB"]),
    "an unknown key": lambda: signed(CLAIMS, KEY, kid="unknown"),
    "a path for a key": lambda: signed(CLAIMS, KEY, kid="../../dev/null"),
    "a key's name that is none": lambda: by_hand({"alg": "ES256", "kid": 1}, CLAIMS, None),
    "an algorithm that is not allowed": lambda: signed(CLAIMS, RSA, "RS512"),
    "an algorithm of another key": lambda: signed(CLAIMS, RSA, "RS256", kid="k"),
    "a critical extension": lambda: _critical(),
    "changed claims": lambda: _changed(signed(CLAIMS, KEY)),
    "claims that are a list": lambda: _as_payload("[]"),
    "claims that are no JSON": lambda: _as_payload("kim"),
    "claims with NaN": lambda: _as_payload('{"iat": NaN}'),
    "claims nested without end": lambda: _as_payload("[" * 5000),
    "nothing": lambda: "",
    "dots": lambda: "..",
    "two parts": lambda: signed(CLAIMS, KEY).rpartition(".")[0],
    "four parts": lambda: signed(CLAIMS, KEY) + ".x",
    "not ASCII": lambda: "\u00e9." + signed(CLAIMS, KEY),
    "too long": lambda: signed({**CLAIMS, "x": "x" * 70_000}, KEY),
    "an encrypted one": lambda: "e30.e30.e30.e30.e30",
}


def _with_signature(token: str, signature: str) -> str:
    return f"{token.rpartition('.')[0]}.{signature}"


def _changed(token: str) -> str:
    header, _, signature = token.split(".")
    return ".".join((header, by_hand({}, {**CLAIMS, "sub": "boss"}, None).split(".")[1], signature))


def _as_payload(text: str) -> str:
    return jws.serialize_compact({"alg": "ES256", "kid": "k"}, text, KEY, algorithms=["ES256"])


def _critical() -> str:
    token = signed(CLAIMS, KEY)
    header = by_hand({"alg": "ES256", "kid": "k", "crit": ["exp"], "exp": 1}, {}, None).split(".")[0]
    return ".".join((header, *token.split(".")[1:]))


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_token_is_refused(name: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await read(FORGED[name]())
    assert "kim" not in refused.value.message


def test_no_setting_brings_in_a_shared_key_or_none() -> None:
    assert not [name for name in ALGORITHMS if name.startswith("HS") or name.lower() == "none"]


SECRET = OctKey.import_key("s" * 32, parameters={"kid": "k"})


@pytest.mark.parametrize(
    "published",
    [
        {**KEY.as_dict(private=False), "use": "enc"},
        {**KEY.as_dict(private=False), "alg": "ES384"},
        {**KEY.as_dict(private=False), "key_ops": ["sign"]},
        {**KEY.as_dict(private=False), "crv": "P-384"},
        {**KEY.as_dict(private=False), "x": "AAAA"},
        {"kty": "EC", "crv": "P-256", "kid": "k"},
        SECRET.as_dict(private=True),
        "no key",
    ],
    ids=["use", "alg", "key_ops", "crv", "point", "no point", "shared key", "text"],
)
async def test_a_key_that_is_not_for_this_is_not_used(published: Any) -> None:
    async def fetch() -> Any:
        return {"keys": [published]}

    with pytest.raises(Unauthenticated):
        await read_id_token(signed(CLAIMS, KEY), KeySet(fetch, Clock()), SAFE, EXPECTED)


@pytest.mark.filterwarnings("ignore:Key size")
async def test_a_short_key_and_two_keys_of_one_name_are_not_used() -> None:
    short = RSAKey.generate_key(1024, parameters={"kid": "s"})
    with pytest.raises(Unauthenticated, match="too short"):
        await read(signed(CLAIMS, short, "RS256"), short)
    with pytest.raises(Unauthenticated, match="no such key"):
        await read(signed(CLAIMS, KEY), KEY, ec_key("k"))
    with pytest.raises(Unauthenticated, match="no such key"):
        await read(signed(CLAIMS, KEY, kid=None), KEY, ec_key("other"))


@pytest.mark.parametrize("document", [None, [], {}, {"keys": {}}, {"keys": [{}] * (MAX_KEYS + 1)}], ids=repr)
async def test_a_key_set_that_is_none_is_unavailable(document: Any) -> None:
    async def fetch() -> Any:
        return document

    with pytest.raises(Unavailable):
        await read_id_token(signed(CLAIMS, KEY), KeySet(fetch, Clock()), SAFE, EXPECTED)


async def test_a_flood_of_unknown_keys_fetches_once_in_ten_seconds() -> None:
    clock = Clock()
    keys = key_set(KEY, clock=clock)
    for second in range(100):
        clock.now = second / 10
        with pytest.raises(Unauthenticated):
            await read_id_token(signed(CLAIMS, KEY, kid=f"unknown {second}"), keys, SAFE, EXPECTED)
    assert clock.fetches == 1
    clock.now = 10.0
    with pytest.raises(Unauthenticated):
        await read_id_token(signed(CLAIMS, KEY, kid="unknown"), keys, SAFE, EXPECTED)
    assert clock.fetches == 2
    assert await read_id_token(signed(CLAIMS, KEY), keys, SAFE, EXPECTED)
    assert clock.fetches == 2


async def test_a_rotated_key_is_found_and_a_withdrawn_one_ends_within_the_hour() -> None:
    clock, published, new = Clock(), [KEY], ec_key("new")

    async def fetch() -> Any:
        return {"keys": [key.as_dict(private=False) for key in published]}

    keys = KeySet(fetch, clock)
    assert await read_id_token(signed(CLAIMS, KEY), keys, SAFE, EXPECTED)
    published[:] = [new]
    clock.now = 11.0
    assert await read_id_token(signed(CLAIMS, new), keys, SAFE, EXPECTED)
    published[:] = [KEY]
    clock.now += 3599.0
    assert await read_id_token(signed(CLAIMS, new), keys, SAFE, EXPECTED)
    clock.now += 1.0
    with pytest.raises(Unauthenticated):
        await read_id_token(signed(CLAIMS, new), keys, SAFE, EXPECTED)


CONFIGURATION = {
    "issuer": "https://issuer.test",
    "authorization_endpoint": "https://issuer.test/authorize",
    "token_endpoint": "https://issuer.test/token",
    "jwks_uri": "https://issuer.test/jwks",
}


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": "https://issuer.test/"},
        {"issuer": "https://evil.test"},
        {"issuer": None},
        {"token_endpoint": "http://issuer.test/token"},
        {"token_endpoint": "http://127.0.0.1/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
        {"userinfo_endpoint": 1},
    ],
    ids=json.dumps,
)
def test_a_configuration_that_is_not_the_issuers_or_leads_away_from_tls_is_not_used(changed: Any) -> None:
    assert read_endpoints("https://issuer.test", CONFIGURATION).token == "https://issuer.test/token"
    with pytest.raises(Unavailable):
        read_endpoints("https://issuer.test", {**CONFIGURATION, **changed})
