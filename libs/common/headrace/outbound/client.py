"""Sends one call and answers with a value: a result or a failure, never an exception of the network's.

One call is one request on the wire. Two things add another, both only after an answer: a redirect, and one
refresh of an OAuth2 token that was answered with 401.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeAlias

from headrace.json_types import Json, JsonObject
from headrace.outbound.auth import Credential, sign
from headrace.outbound.call import MAX_TIMEOUT, CallFailure, CallResult, OutboundCall
from headrace.outbound.connector import Dial
from headrace.outbound.failures import CallCode, CallRefused, TransportFailure
from headrace.outbound.fields import is_field_value, is_token
from headrace.outbound.pools import OutboundPools
from headrace.outbound.redirects import MAX_REDIRECTS, redirected
from headrace.outbound.reply import Reply
from headrace.outbound.response import Answer, headers_of, read_answer
from headrace.outbound.target import InvalidTarget, Target, parse_target
from headrace.outbound.transport import AiohttpTransport
from headrace.redaction import MARKER, Redactor
from headrace.secret_layers import TooMuchToSearch
from headrace.workflow.actions import OWN_HEADERS
from headrace.workflow.definition import AuthKind

# Asked once when a token was refused; answers with a newer credential, or None when there is none.
Refresh: TypeAlias = Callable[[Credential], Awaitable[Credential | None]]

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110, 9.2.1
MAX_RETRY_AFTER = 24 * 3600.0
_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?")
# What frames a body: heads, and the sizes of chunks, which may take as much again as the body itself.
_OVERHEAD = 128 * 1024
# Texts in bytes that are none, long enough for a secret; what escapes is ASCII.
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e]{8,}")
_WIDE_TEXT = re.compile(rb"(?:[\t\n\r\x20-\xff]\0){7,}[\t\n\r\x20-\xff]")
_NOT_THEIRS = OWN_HEADERS - {"accept-encoding"}
_DEFAULT_HEADERS = {
    "accept": ("Accept", "*/*"),
    "accept-encoding": ("Accept-Encoding", "gzip, deflate, br"),
    "user-agent": ("User-Agent", "headrace"),
}


@dataclass(slots=True)
class _Progress:
    """What is known of a call so far; read when it is cut off.

    `status` is the last answer's; `unanswered`, that a request which may do something is under way; `carried_out`, that
    one was answered by a redirect to a GET; `refusal`, the answer that is being read, if its status is a failure.
    """

    started: float
    credential: Credential | None
    redactor: Redactor
    dial: Dial = field(default_factory=Dial)
    sent: bool = False
    status: int | None = None
    unanswered: bool = False
    carried_out: bool = False
    refusal: Reply | None = None
    refreshed: bool = False
    redirected: bool = False

    def failure(self, code: str, message: str, *, sent: bool | None = None) -> CallFailure:
        return CallFailure(
            code=str(code),
            message=message,
            sent=(self.sent or self.dial.sent) if sent is None else self.sent or sent,
            status=None if self.unanswered and self.dial.sent else self.status,
            carried_out=self.carried_out,
            dialled=self.dial.address,
            duration=time.monotonic() - self.started,
            credential=self.credential,
        )


class OutboundClient:
    """Calls for many tenants over `pools`.

    `now` is asked only for a `Retry-After` date in an answer that has no `Date`.
    """

    def __init__(self, pools: OutboundPools, *, now: Callable[[], datetime] | None = None) -> None:
        self._pools = pools
        self._now = now or (lambda: datetime.now(UTC))

    async def send(
        self,
        call: OutboundCall,
        *,
        tenant_id: object,
        credential: Credential | None = None,
        refresh: Refresh | None = None,
        redactor: Redactor | None = None,
    ) -> CallResult | CallFailure:
        """One attempt, within `call.timeout` seconds in all.

        The answer is redacted as it is read, of the credential's own values too. A refreshed credential is
        handed back with the outcome, to be used for the next call.
        """
        known = (redactor or Redactor()).with_more(credential.secrets() if credential else ())
        progress = _Progress(time.monotonic(), credential, known)
        try:
            async with asyncio.timeout(min(call.timeout, MAX_TIMEOUT)):
                with self._pools.use(tenant_id) as transport:
                    return await self._follow(call, transport, progress, refresh)
        except TimeoutError:
            if progress.refusal is not None:
                return self._refused(progress.refusal, progress, {}, Answer(None, (CallCode.TIMEOUT,)))
            return progress.failure(CallCode.TIMEOUT, "the call took longer than its time limit")
        except TransportFailure as failure:
            message = failure.message
            if failure.reason is CallCode.EGRESS_DENIED:
                message = f"{message}{_mend(call, progress)}"
            return progress.failure(failure.reason, message, sent=failure.sent)
        except InvalidTarget as error:
            return progress.failure(CallCode.INVALID_URL, str(error))
        except CallRefused as error:
            return progress.failure(error.reason, error.message)

    async def _follow(
        self, call: OutboundCall, transport: AiohttpTransport, progress: _Progress, refresh: Refresh | None
    ) -> CallResult | CallFailure:
        if not is_token(call.method) or call.method == "CONNECT":
            raise CallRefused(CallCode.INVALID_REQUEST, "the method is none that can be called")
        if not all(is_token(name) and is_field_value(value) for name, value in call.headers):
            raise CallRefused(CallCode.INVALID_REQUEST, "a header can not be written as HTTP")
        if any(name.lower() in _NOT_THEIRS for name, _ in call.headers):
            raise CallRefused(
                CallCode.INVALID_REQUEST, "a header frames the message, or belongs to the connection"
            )
        target, authenticated = parse_target(call.url), progress.credential is not None
        for _ in range(MAX_REDIRECTS + 1):
            reply = await self._request(call, target, transport, progress, authenticated=authenticated)
            if authenticated and await self._refreshed(reply, progress, refresh):
                reply = await self._request(call, target, transport, progress, authenticated=True)
            if not call.follow_redirects or not reply.redirects:
                return await self._outcome(reply, call, progress)
            reply.close()
            asked = call.method
            call, following = redirected(call, target, reply)
            progress.redirected = True
            progress.carried_out |= asked not in _SAFE and call.method in _SAFE
            authenticated = authenticated and following.origin == target.origin
            target = following
        raise CallRefused(CallCode.TOO_MANY_REDIRECTS, f"redirected more than {MAX_REDIRECTS} times")

    async def _request(
        self,
        call: OutboundCall,
        target: Target,
        transport: AiohttpTransport,
        progress: _Progress,
        *,
        authenticated: bool,
    ) -> Reply:
        named = {name.lower() for name, _ in call.headers}
        defaults = [field for name, field in _DEFAULT_HEADERS.items() if name not in named]
        headers = (*defaults, *call.headers)
        if authenticated and progress.credential is not None:
            signed = sign(progress.credential, target, headers)
            target, headers = replace(target, path=signed.path), signed.headers
        progress.sent = progress.sent or progress.dial.sent
        progress.dial = Dial(budget=2 * call.response_limit + _OVERHEAD)
        progress.unanswered = call.method not in _SAFE
        reply = await transport.exchange(call.method, target, headers, call.body, progress.dial)
        progress.status, progress.unanswered = reply.status, False
        return reply

    async def _refreshed(self, reply: Reply, progress: _Progress, refresh: Refresh | None) -> bool:
        """After a 401: is there a newer token to try?"""
        used = progress.credential
        if reply.status != 401 or refresh is None or progress.refreshed:
            return False
        if used is None or used.kind is not AuthKind.OAUTH2:
            return False
        progress.refreshed = True
        try:
            newer = await refresh(used)
        except BaseException:
            reply.close()
            raise
        if newer is None or newer.fields == used.fields:
            return False
        reply.close()
        progress.credential = newer
        progress.redactor = progress.redactor.with_more(newer.secrets())
        return True

    async def _outcome(
        self, reply: Reply, call: OutboundCall, progress: _Progress
    ) -> CallResult | CallFailure:
        status = reply.status
        if not 200 <= status < 300:
            progress.refusal = reply
        try:
            headers = headers_of(reply)
            answer = await read_answer(reply, call.response_limit)
        except (CallRefused, TransportFailure) as error:
            if progress.refusal is None:
                raise
            # The status says more than what is wrong with the answer.
            headers, answer = {}, Answer(None, (error.reason,))
        finally:
            reply.close()
        if progress.refusal is not None:
            return self._refused(reply, progress, headers, answer)
        headers, body = _redacted(progress.redactor, headers, answer)
        return CallResult(
            status=status,
            headers=headers,
            body=body,
            notes=answer.notes,
            dialled=progress.dial.address,
            duration=time.monotonic() - progress.started,
            credential=progress.credential,
        )

    def _refused(self, reply: Reply, progress: _Progress, headers: JsonObject, answer: Answer) -> CallFailure:
        headers, body = _redacted(progress.redactor, headers, answer)
        return replace(
            progress.failure(f"HTTP_{reply.status}", f"the target answered {reply.status}"),
            retry_after=self._retry_after(reply),
            response={"status": reply.status, "headers": headers, "body": body},
            notes=answer.notes,
        )

    def _retry_after(self, reply: Reply) -> float | None:
        """Seconds from `Retry-After` (RFC 9110, 10.2.3), at most `MAX_RETRY_AFTER`; None if absent. Some APIs write a
        fraction behind a point, which is taken too."""
        text = reply.header("retry-after").strip()
        if _SECONDS.fullmatch(text):
            return min(float(text), MAX_RETRY_AFTER)
        until = _date(text)
        if until is None:
            return None
        # Measured by the target's own clock when it tells it, since ours may differ.
        now = _date(reply.header("date")) or self._now()
        return min(max((until - now).total_seconds(), 0.0), MAX_RETRY_AFTER)


def _mend(call: OutboundCall, progress: _Progress) -> str:
    """How an operator opens what was denied. Only the place that the call itself names is told: neither where a
    redirect led, which is of the answer, nor what a name resolved to, which is of the network behind us."""
    if progress.redirected:
        return ", and a redirect led to one"
    target = parse_target(call.url)
    host = f"[{target.host}]" if ":" in target.host else target.host
    place = progress.redactor.value(f"{host}:{target.port}")
    return (
        f", and {place} is one or leads to nothing else; an operator opens it by an entry in the egress policy "
        f"file (`headrace dev --allow {place}`)"
    )


def _redacted(redactor: Redactor, headers: JsonObject, answer: Answer) -> tuple[JsonObject, Json]:
    """Both at once, since looking for secrets costs per look more than per byte."""
    body = answer.body
    if answer.data and isinstance(body, dict) and _is_in(redactor, answer.data):
        body = {**body, "base64": MARKER}
    match redactor.value([headers, body]):
        case [dict() as clean, rest]:
            return clean, rest
        case hidden:
            return {}, hidden


def _is_in(redactor: Redactor, data: bytes) -> bool:
    """Whether a secret stands in a text that stands in bytes. In their base64 it is found as it is alone: escaped, or
    with two bytes a character, it is another text there."""
    texts = [run.decode("ascii") for run in _TEXT.findall(data)]
    texts += [run.replace(b"\0", b"").decode("latin-1") for run in _WIDE_TEXT.findall(data)]
    try:
        return bool(redactor.replacements(texts))
    except TooMuchToSearch:
        return True


def _date(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
