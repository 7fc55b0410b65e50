"""A call and what came of it, as values."""

from dataclasses import field

from headrace.json_types import Json, JsonObject
from headrace.outbound.auth import Credential
from headrace.outbound.response import INLINE_LIMIT
from headrace.records import record

MAX_TIMEOUT = 600.0


@record
class OutboundCall:
    """One request, fully built. `timeout` is seconds for all of it: redirects, headers and body.

    `body` is never shown by repr, nor are `url` and `headers`: any of them may hold secrets.
    """

    method: str
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    timeout: float = 30.0
    follow_redirects: bool = True
    response_limit: int = INLINE_LIMIT

    def within(self, timeout: float, headers: tuple[tuple[str, str], ...]) -> "OutboundCall":
        """The same request with these instead. Each call is made so; `replace` would take five times as long."""
        return OutboundCall(
            self.method, self.url, headers, self.body, timeout, self.follow_redirects, self.response_limit
        )


@record
class CallResult:
    """An answer of 200 to 299. `duration` is seconds; `credential` is the one that worked in the end."""

    status: int
    headers: JsonObject
    body: Json
    notes: tuple[str, ...] = ()
    dialled: str | None = None
    duration: float = 0.0
    credential: Credential | None = None

    @property
    def output(self) -> JsonObject:
        """A step's default output."""
        return {"status": self.status, "headers": self.headers, "body": self.body}


@record
class CallFailure:
    """A call that did not succeed. `code` is a `CallCode`, or `HTTP_<status>` for an answer outside 2xx.

    `message` holds no data. `sent`: the request may have reached the target. `status` is set when the target
    answered, even if its answer could not be read or was a redirect whose end failed. `carried_out`: the request,
    one that may do something, was answered by a redirect to a GET, and that failed. `retry_after` is seconds.
    `response` is the answer as a step's output would have it, redacted.
    """

    code: str
    message: str
    sent: bool
    status: int | None = None
    carried_out: bool = False
    retry_after: float | None = None
    dialled: str | None = None
    duration: float = 0.0
    response: JsonObject | None = None
    notes: tuple[str, ...] = ()
    credential: Credential | None = None
