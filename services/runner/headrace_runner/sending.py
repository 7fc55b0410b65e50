"""The calls of one attempt: under one time limit, with a credential that may be renewed on the way."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from headrace.outbound.auth import Credential
from headrace.outbound.call import CallFailure, CallResult, OutboundCall
from headrace.outbound.failures import CallCode
from headrace.telemetry.context import current_trace
from headrace.workflow.state import Failure

from headrace_runner.steps.protocol import Caller, NotCalled, StepContext
from headrace_runner.throttle import Throttle, Ticket


class Sender:
    """`timeout` is in seconds from now on, for all calls together. `no_token` says why a refused token has no newer
    one; `stopped`, that it was not to be tried with one."""

    def __init__(
        self,
        outbound: Caller,
        context: StepContext,
        credential: Credential | None,
        timeout: float,
        *,
        throttle: Throttle | None = None,
        ticket: Ticket | None = None,
    ) -> None:
        self._outbound, self._context = outbound, context
        self._throttle, self._ticket = throttle, ticket
        self._until = time.monotonic() + timeout
        self.credential = credential
        self.no_token: Failure | None = None
        self.stopped = False

    async def send(self, call: OutboundCall) -> CallResult | CallFailure:
        answer = await self._outbound.send(
            call.within(self._left(), offering(call.headers)),
            tenant_id=self._context.run.tenant_id,
            credential=self.credential,
            refresh=self._refresh,
            redactor=self._context.secrets.redactor,
        )
        self.credential = answer.credential
        if self._ticket and self._throttle:
            self._throttle.answered(self._ticket, answer if isinstance(answer, CallFailure) else None)
        return answer

    async def turn(
        self, admit: Callable[[], Awaitable[float | None]] | None
    ) -> CallFailure | NotCalled | None:
        """Wait until one more call may be made, and say why it may not be; None: it may."""
        while admit is not None and (wait := await admit()) is not None:
            if wait >= self._left():
                message = "the connection's limit leaves no time for the next page within the time limit"
                return CallFailure(CallCode.TIMEOUT, message, sent=False)
            await asyncio.sleep(wait)
        return None if await self._context.may_call() else NotCalled()

    def _left(self) -> float:
        return max(self._until - time.monotonic(), 0.0)

    async def _refresh(self, used: Credential) -> Credential | None:
        newer = await self._context.credentials.refresh(used.connection_id, used.version)
        if not await self._context.may_call():
            self.stopped = True
            return None
        if isinstance(newer, Failure):
            self.no_token = newer
            return None
        return newer


def offering(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """With the attempt's place in its trace, of one that is traced; an action that writes such a header has its own."""
    trace = current_trace()
    if trace is None or any(name.lower() == "traceparent" for name, _ in headers):
        return headers
    return (*headers, ("traceparent", str(trace)))
