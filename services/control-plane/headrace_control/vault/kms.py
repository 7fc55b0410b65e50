"""A key management service with AWS's API as the keeper of the wrapping key, which never leaves it.

https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html and API_Decrypt.html
"""

import asyncio
import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import orjson
from headrace.errors import InvalidInput, Problem, Unavailable
from headrace.outbound.failures import TransportFailure

from headrace_control.vault.envelope import KEY_BYTES, SecretUnreadable
from headrace_control.vault.keys import WrappedKey
from headrace_control.vault.sigv4 import AwsCredentials, Scope, signed_headers

TIMEOUT = 4.0
_ATTEMPTS: Final = 3
_PAUSE = 0.2
_MOST_ANSWER = 64 * 1024

# The key is not the one, or is not usable: asking again says the same until somebody acts on the key.
_UNREADABLE = frozenset(
    {
        "InvalidCiphertextException",
        "IncorrectKeyException",
        "NotFoundException",
        "DisabledException",
        "KMSInvalidStateException",
        "InvalidKeyUsageException",
    }
)
_WORTH_REPEATING = frozenset(
    {"ThrottlingException", "DependencyTimeoutException", "KMSInternalException", "KeyUnavailableException"}
)


@dataclass(frozen=True, slots=True)
class KmsAddress:
    """Where the key is: `key_id` is its id or its ARN. `endpoint` None is AWS's own for the region."""

    key_id: str
    region: str
    endpoint: str | None = None

    @property
    def url(self) -> str:
        return (self.endpoint or f"https://kms.{self.region}.amazonaws.com").rstrip("/") + "/"


class KmsKeys:
    """Wraps by Encrypt and unwraps by Decrypt. The encryption context names the tenant: the service itself refuses a
    data key that was copied to another tenant's row, and its trail says whose key was asked for.

    An outage, a throttle or a refusal of the credentials is `Unavailable`, after a few attempts within a few seconds.
    """

    NAME = "kms"

    def __init__(
        self,
        address: KmsAddress,
        credentials: AwsCredentials,
        transport: httpx.AsyncBaseTransport,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Raises `InvalidInput` for an alias: it may come to mean another key, and nothing would tell."""
        if "alias/" in address.key_id:
            mend = "Give the key's id or its ARN."
            raise InvalidInput([Problem("kms_key_id", "an alias may come to mean another key", mend)])
        self._address, self._credentials, self._now = address, credentials, now
        self._http = httpx.AsyncClient(transport=transport, timeout=TIMEOUT, trust_env=False)

    @property
    def wraps_with(self) -> tuple[str, str]:
        return self.NAME, self._address.key_id

    def forget(self, tenant_id: UUID) -> None:
        """Nothing: the service is asked each time."""

    async def aclose(self) -> None:
        await self._http.aclose()

    async def wrap(self, tenant_id: UUID, data_key: bytes) -> WrappedKey:
        answer = await self._call(
            "Encrypt",
            {
                "KeyId": self._address.key_id,
                "Plaintext": base64.b64encode(data_key).decode(),
                "EncryptionContext": _context(tenant_id),
            },
        )
        if isinstance(answer, str):
            raise Unavailable(f"the KMS does not wrap a data key ({answer})")
        return WrappedKey(self.NAME, self._address.key_id, _decoded(answer, "CiphertextBlob"))

    async def unwrap(self, tenant_id: UUID, key: WrappedKey) -> bytes:
        if key.provider != self.NAME:
            raise SecretUnreadable
        answer = await self._call(
            "Decrypt",
            {
                # Named, so that a ciphertext of another key of the account does not open.
                "KeyId": key.wrapped_by,
                "CiphertextBlob": base64.b64encode(key.wrapped).decode(),
                "EncryptionContext": _context(tenant_id),
            },
        )
        if isinstance(answer, str):
            raise SecretUnreadable
        data_key = _decoded(answer, "Plaintext")
        if len(data_key) != KEY_BYTES:
            raise SecretUnreadable
        return data_key

    async def _call(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any] | str:
        """The answer, or the error's name when it says that the key is not usable."""
        body = orjson.dumps(arguments)
        for left in reversed(range(_ATTEMPTS)):
            why = await self._attempt(operation, body)
            if isinstance(why, dict) or why in _UNREADABLE:
                return why
            if why not in _WORTH_REPEATING and not why.startswith("HTTP 5"):
                break
            if left:
                await asyncio.sleep(_PAUSE)
        raise Unavailable(f"the KMS gives no answer to use ({why})")

    async def _attempt(self, operation: str, body: bytes) -> dict[str, Any] | str:
        url = self._address.url
        headers = signed_headers(
            "POST",
            urlsplit(url).path,
            "",
            {
                "content-type": "application/x-amz-json-1.1",
                "host": urlsplit(url).netloc,
                "x-amz-target": f"TrentService.{operation}",
            },
            body,
            self._credentials,
            Scope(self._address.region, "kms"),
            self._now(),
        )
        try:
            async with (
                asyncio.timeout(TIMEOUT),
                self._http.stream("POST", url, content=body, headers=headers) as response,
            ):
                read = b""
                async for piece in response.aiter_raw():
                    read += piece
                    if len(read) > _MOST_ANSWER:
                        return "an answer that is too large"
        except TimeoutError:
            return "HTTP 504: no answer in time"
        except (httpx.HTTPError, TransportFailure) as error:
            return f"HTTP 503: {type(error).__name__}"
        try:
            answer = orjson.loads(read)
        except orjson.JSONDecodeError:
            answer = None
        if not isinstance(answer, dict):
            return f"HTTP {response.status_code}"
        if response.status_code == httpx.codes.OK:
            return answer
        named = str(answer.get("__type", "")).rpartition("#")[2]
        return named if named.isalnum() and len(named) < 80 else f"HTTP {response.status_code}"


def _context(tenant_id: UUID) -> dict[str, str]:
    return {"headrace:tenant": str(tenant_id)}


def _decoded(answer: dict[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(str(answer.get(name)), validate=True)
    except (ValueError, binascii.Error):
        raise Unavailable("the KMS gives no answer to use (malformed)") from None
