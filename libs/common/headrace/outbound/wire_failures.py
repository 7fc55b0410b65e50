"""aiohttp's exceptions and the system's as failures of ours, which say whether the request may have been sent."""

import asyncio
from typing import NoReturn

import aiohttp
from aiohttp.http import HttpProcessingError

from headrace.outbound.answering import AnswerBroken, AnswerTooLong
from headrace.outbound.connector import Dial
from headrace.outbound.failures import CallCode, TransportFailure

WIRE_ERRORS = (aiohttp.ClientError, HttpProcessingError, TimeoutError, OSError)


def raise_failure(error: Exception, dial: Dial) -> NoReturn:
    """`error` is one of `WIRE_ERRORS`."""
    reason, message = _reason(error, dial)
    _forget_way(error)
    raise TransportFailure(reason, message, sent=dial.sent) from None


def _forget_way(error: BaseException | None) -> None:
    """aiohttp's frames know the exception, which knows the frames that it came through, with the request's body and
    credential in them: they would stay until the collector comes by. What is being handled around the call, if
    anything, is not the wire's, and keeps its traceback."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, WIRE_ERRORS) and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            waiting += (one.__cause__, one.__context__)


def _reason(error: Exception, dial: Dial) -> tuple[CallCode, str]:
    if not dial.sent:
        if dial.denied is not None and not dial.opened:
            return CallCode.EGRESS_DENIED, f"the egress policy denies {dial.denied} addresses"
        match error:
            case aiohttp.ClientConnectorDNSError():
                return CallCode.DNS_FAILED, "the target's name could not be resolved"
            case aiohttp.ClientConnectorCertificateError():
                return CallCode.TLS_FAILED, "the target's certificate is not valid for its name"
            case aiohttp.ClientSSLError():
                return CallCode.TLS_FAILED, "the TLS handshake with the target failed"
            case asyncio.TimeoutError():
                return CallCode.TIMEOUT, "connecting to the target took too long"
            case aiohttp.InvalidURL():
                return CallCode.INVALID_URL, "the URL can not be called"
            case _:
                return CallCode.CONNECT_FAILED, "the target could not be connected to"
    match error:
        case AnswerTooLong():
            return CallCode.RESPONSE_TOO_LARGE, "the answer is too long as it is sent, its framing counted"
        case HttpProcessingError() | AnswerBroken():
            return CallCode.BAD_RESPONSE, "the target's answer is not HTTP"
        case asyncio.TimeoutError():
            return CallCode.TIMEOUT, "the target did not answer in time"
        case _:  # a close before the answer's end among it, whether by a reset or in order
            return CallCode.CONNECTION_LOST, "the connection was lost before the answer was complete"
