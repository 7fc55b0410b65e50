"""What nobody foresaw: logged where it happened, answered without its words."""

import structlog
from headrace.errors import HeadraceError
from headrace.unforeseen import frames
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headrace_control.correlation import begin_correlation, correlation_id
from headrace_control.http_errors import errors_response

_log = structlog.get_logger(__name__)


def report_unexpected(error: BaseException) -> str:
    """Log the error's type and frames with the correlation id to answer with, and give it."""
    known_as = correlation_id()
    _log.error("unexpected error", error=type(error).__name__, at=frames(error), correlation_id=known_as)
    return known_as


class AnswerUnexpected:
    """ASGI middleware: an exception that nothing handled is answered as INTERNAL. Each request gets its
    correlation id here."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = False
        begin_correlation()

        async def watch(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as error:
            report_unexpected(error)
            if scope["type"] == "http" and not began:
                answer = errors_response(
                    500, "something went wrong on our side", {"code": HeadraceError.code}
                )
                await answer(scope, receive, send)
