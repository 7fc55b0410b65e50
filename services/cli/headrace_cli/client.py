"""A small client of the GraphQL API: queries over HTTP, subscriptions over a websocket.

The websocket speaks graphql-transport-ws (https://github.com/enisdenjo/graphql-ws, PROTOCOL.md).
"""

from collections.abc import AsyncIterator, Mapping
from ipaddress import ip_address
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import orjson
from headrace.errors import (
    BusUnavailable,
    ConcurrencyLimit,
    Conflict,
    DatabaseUnavailable,
    Forbidden,
    HeadraceError,
    InvalidInput,
    LimitExceeded,
    LogStoreUnavailable,
    NotFound,
    Problem,
    ProviderRefused,
    QuotaExceeded,
    RateLimited,
    TenantEnding,
    TimedOut,
    Unauthenticated,
    Unavailable,
)
from headrace.json_types import Json
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from headrace_cli.profile import Profile

# What a mutation asks of the members of its payload that say why it did not do its work. The interface is what tells
# them from results: `failureType` stands in no other member's answer.
FAILURES = """
fragment Failures on Failure {
  failureType: __typename code message ... on InvalidInput { problems { path message mend } }
}
"""

_PATH = "/graphql"
# How `mutation` calls what a mutation answers.
_DONE = "done: "
_SECONDS = 30.0
_KEPT_SECONDS = 4.0
# How graphql-transport-ws closes a socket whose connection_init it refuses.
_REFUSED = frozenset({4401, 4403})
_MAX_FRAME = 4 * 1024 * 1024


def mutation(variables: str, call: str, result: str, fields: str) -> str:
    """The document of a mutation whose `done` holds these fields of its result, or a failure."""
    return (
        f"mutation({variables}) {{ done: {call} {{ ... on {result} {{ {fields} }} ...Failures }} }}{FAILURES}"
    )


class Answer(dict[str, Any]):
    """The `data` of an answer. What was asked for and is not in it is `Unavailable`: something else has answered."""

    def __missing__(self, name: str) -> Any:
        raise Unavailable(f"what answered is no Headrace: {name} is not in it")


class Client:
    """One deployment, one key. Raises errors of the `headrace.errors` tree, whatever went wrong."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._http = httpx.AsyncClient(
            base_url=profile.url,
            headers={"authorization": f"Bearer {profile.api_key}"},
            timeout=_SECONDS,
            # A proxy is for what lies outside; a deployment on this machine is reached directly.
            trust_env=not is_local(profile.url),
            # Below what a control plane keeps (5 s), so that nothing is sent on a connection that it is closing.
            limits=httpx.Limits(keepalive_expiry=_KEPT_SECONDS),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    @property
    def url(self) -> str:
        return self._profile.url

    async def execute(self, document: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The `data` of a query or mutation. A payload that is a failure is raised, too."""
        body = {"query": document, "variables": dict(variables or {})}
        try:
            response = await self._http.post(_PATH, json=body)
        except httpx.HTTPError as error:
            raise unreachable(self.url, error) from error
        answer = read_answer(response.status_code, response.content, sent_on_to(response))
        if _DONE in document:
            answer["done"]
        return answer

    async def subscribe(
        self, document: str, variables: Mapping[str, Any] | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """What a subscription sends, until the server completes it. `Unavailable` when the line breaks."""
        address = "ws" + self.url.removeprefix("http") + _PATH
        try:
            async with _ConnectThere(
                address,
                subprotocols=[Subprotocol("graphql-transport-ws")],
                max_size=_MAX_FRAME,
                proxy=None if is_local(self.url) else True,
                additional_headers={"authorization": f"Bearer {self._profile.api_key}"},
            ) as socket:
                # The key goes by both ways: browsers can not set headers, and servers may read either.
                await _send(
                    socket,
                    {
                        "type": "connection_init",
                        "payload": {"authorization": f"Bearer {self._profile.api_key}"},
                    },
                )
                async for frame in socket:
                    message = _message(frame)
                    match message.get("type"):
                        case "connection_ack":
                            payload = {"query": document, "variables": dict(variables or {})}
                            await _send(socket, {"id": "1", "type": "subscribe", "payload": payload})
                        case "ping":
                            await _send(socket, {"type": "pong"})
                        case "next":
                            yield _unwrap(message.get("payload"))
                        case "error":
                            raise answered_error(message.get("payload"))
                        case "complete":
                            return
                        case _:
                            pass
        except ConnectionClosed as error:
            if error.rcvd is not None and error.rcvd.code in _REFUSED:
                raise Unauthenticated("the deployment does not know this key") from error
            raise Unavailable(f"{self.url} broke the subscription off ({type(error).__name__})") from error
        except (OSError, WebSocketException) as error:
            raise Unavailable(f"{self.url} broke the subscription off ({type(error).__name__})") from error


class _ConnectThere(connect):
    """Follows nobody elsewhere: the first message on the socket holds the key."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def _send(socket: Any, message: Mapping[str, Any]) -> None:
    await socket.send(orjson.dumps(message).decode())


def _message(frame: str | bytes) -> dict[str, Any]:
    try:
        message = orjson.loads(frame)
    except orjson.JSONDecodeError:
        message = None
    if not isinstance(message, dict):
        raise Unavailable("what answered on the websocket is no Headrace")
    return message


def unreachable(url: str, error: Exception) -> Unavailable:
    """What to raise for an error of httpx."""
    if isinstance(error, httpx.ProxyError) and str(error).startswith("407"):
        return no_headrace(407)
    return Unavailable(f"{url} can not be reached ({type(error).__name__})")


def sent_on_to(response: httpx.Response) -> str:
    """Where an answer sends who asks, without what may be secret of it; empty when it does not."""
    if response.next_request is None:
        return ""
    url = response.next_request.url
    return str(url.copy_with(query=None, fragment=None, userinfo=b"")).removesuffix(_PATH)


def no_headrace(status: int, elsewhere: str = "") -> Unavailable:
    """What to raise for an answer that Headrace does not give."""
    words = f"what answered {status} is no Headrace"
    if elsewhere:
        words += f", and sends on to {elsewhere}: where the deployment is there, give that address in place of yours"
    elif status == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
        words += (
            ", but the proxy that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names, and it wants a user and a password: "
            "write them into its address, or the deployment's host into NO_PROXY"
        )
    elif status in (401, 403):
        words += ", but something before it that lets nobody pass without credentials of its own"
    return Unavailable(words)


def read_answer(status: int, content: bytes, elsewhere: str = "") -> dict[str, Any]:
    """The `data` of an answer of GraphQL; an error, and a payload that is one, is raised. `elsewhere` is where the
    answer sends who asks."""
    if status in (502, 503, 504):
        raise Unavailable(f"the deployment answered {status}")
    try:
        answer = orjson.loads(content)
    except orjson.JSONDecodeError:
        answer = None
    if isinstance(answer, dict) and ("data" in answer or "errors" in answer):
        return _unwrap(answer)
    raise no_headrace(status, elsewhere)


def _unwrap(answer: Json) -> dict[str, Any]:
    whole = answer if isinstance(answer, dict) else {}
    if errors := whole.get("errors"):
        raise answered_error(errors)
    data = whole.get("data")
    if not isinstance(data, dict):
        raise Unavailable("the deployment answered without data")
    for value in data.values():
        if isinstance(value, dict) and (error := payload_error(value)):
            raise error
    return Answer(data)


def payload_error(value: dict[str, Any]) -> HeadraceError | None:
    """The error that a member of a payload union stands for, asked for with `FAILURES`; None when it is a result."""
    if "failureType" not in value:
        return None
    return _error(str(value.get("code", "")), str(value.get("message", "")), value.get("problems"))


def _problem(value: Json) -> Problem:
    fields = value if isinstance(value, dict) else {}
    return Problem(*(str(fields.get(name) or "") for name in ("path", "message", "mend")))


_BY_CODE: Mapping[str, type[HeadraceError]] = {
    error.code: error
    for error in (
        BusUnavailable,
        ConcurrencyLimit,
        Conflict,
        DatabaseUnavailable,
        Forbidden,
        LimitExceeded,
        LogStoreUnavailable,
        TimedOut,
        Unauthenticated,
        Unavailable,
    )
} | {
    # Told by their messages alone.
    QuotaExceeded.code: LimitExceeded,
    RateLimited.code: Unavailable,
    TenantEnding.code: Conflict,
    "REPLAYED": Conflict,
}


def _error(code: str, message: str, problems: Json) -> HeadraceError:
    if code == NotFound.code:
        return NotFound(message.removesuffix(" not found"))
    if code == InvalidInput.code and isinstance(problems, list) and problems:
        return InvalidInput([_problem(p) for p in problems])
    if code == ProviderRefused.code:
        return ProviderRefused(message, "")
    if code in _BY_CODE:
        return _BY_CODE[code](message)
    if code in (InvalidInput.code, "BAD_QUERY"):
        return InvalidInput([Problem("", message, "")])
    return HeadraceError(message)


def answered_error(errors: Json) -> HeadraceError:
    """The first of an answer's `errors`, as an error of our tree; its place stands before its message."""
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return HeadraceError("the deployment answered with an error")
    extensions = first.get("extensions")
    known = extensions if isinstance(extensions, dict) else {}
    code, message = str(known.get("code", "")), str(first.get("message", ""))
    if code in ("", HeadraceError.code) and (correlation := known.get("correlationId")):
        message = f"{message} (correlation id {correlation})"
    return _error(code, message, known.get("problems"))


def is_local(url: str) -> bool:
    """Whether the deployment is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
