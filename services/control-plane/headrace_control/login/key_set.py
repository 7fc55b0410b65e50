"""The identity provider's public keys, kept for a while."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from headrace.errors import Unauthenticated, Unavailable
from headrace.json_types import Json, JsonObject
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from headrace_control.login.algorithms import ALGORITHMS

MAX_AGE_SECONDS = 3600.0
# A key that is not known has the keys fetched anew, but no flood of such keys makes a flood of fetches.
REFETCH_SECONDS = 10.0
MAX_KEYS = 100
_RSA_BITS = range(2048, 8193)
# What of a JWK is taken over: nothing private, and nothing that leads elsewhere (`x5u`).
_PUBLIC: Mapping[str, tuple[str, ...]] = {
    "RSA": ("kty", "n", "e"),
    "EC": ("kty", "crv", "x", "y"),
    "OKP": ("kty", "crv", "x"),
}
_KINDS: Mapping[str, type[RSAKey] | type[ECKey] | type[OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}

PublicKey = RSAKey | ECKey | OKPKey


class KeySet:
    """Fetches by `fetch`, which answers the JWK set's JSON; `clock` is monotonic, in seconds."""

    def __init__(self, fetch: Callable[[], Awaitable[Json]], clock: Callable[[], float]) -> None:
        self._fetch, self._clock = fetch, clock
        self._keys: Sequence[JsonObject] = ()
        self._fetched_at: float | None = None
        self._turn = asyncio.Lock()

    async def find(self, kid: str | None, algorithm: str) -> PublicKey:
        """The key that a token names; without a name, the only one that fits the algorithm.

        Raises `Unauthenticated` when there is none, `Unavailable` when the keys can not be fetched.
        """
        await self._refresh(MAX_AGE_SECONDS)
        if (key := self._match(kid, algorithm)) is None:
            await self._refresh(REFETCH_SECONDS)
            key = self._match(kid, algorithm)
        if key is None:
            raise Unauthenticated("the identity provider has no such key")
        return _imported(key)

    async def _refresh(self, age: float) -> None:
        """Fetch the keys unless they are younger than `age` seconds."""
        async with self._turn:
            if self._fetched_at is not None and self._clock() - self._fetched_at < age:
                return
            document = await self._fetch()
            keys = document.get("keys") if isinstance(document, dict) else None
            if not isinstance(keys, list) or len(keys) > MAX_KEYS:
                raise Unavailable("the identity provider's keys can not be read")
            self._keys = [key for key in keys if isinstance(key, dict)]
            self._fetched_at = self._clock()

    def _match(self, kid: str | None, algorithm: str) -> JsonObject | None:
        fitting = [key for key in self._keys if _fits(key, algorithm) and kid in (None, key.get("kid"))]
        return fitting[0] if len(fitting) == 1 else None


def _fits(key: JsonObject, algorithm: str) -> bool:
    shape, operations = ALGORITHMS[algorithm], key.get("key_ops")
    return (
        key.get("kty") == shape.kty
        and (shape.crv is None or key.get("crv") == shape.crv)
        and key.get("use") in (None, "sig")
        and key.get("alg") in (None, algorithm)
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
    )


def _imported(key: JsonObject) -> PublicKey:
    kind = str(key["kty"])
    try:
        public = _KINDS[kind].import_key({name: str(key[name]) for name in _PUBLIC[kind]})
    except (JoseError, KeyError, ValueError, TypeError) as error:
        raise Unauthenticated("the identity provider's key can not be read") from error
    if isinstance(public, RSAKey) and public.raw_value.key_size not in _RSA_BITS:
        raise Unauthenticated("the identity provider's key is too short, or too long")
    return public
