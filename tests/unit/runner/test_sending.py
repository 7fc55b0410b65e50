"""Between two calls of one attempt: the connection's limit, then whether the run is still held."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from headrace.outbound.call import CallFailure
from headrace.outbound.client import OutboundClient
from headrace_runner.sending import Sender
from headrace_runner.steps.protocol import NotCalled, StepContext


def sender(timeout: float, *, may_call: bool) -> Sender:
    async def asked() -> bool:
        return may_call

    context = SimpleNamespace(may_call=asked)
    return Sender(cast("OutboundClient", None), cast("StepContext", context), None, timeout)


def waits(*seconds: float | None) -> Callable[[], Any]:
    left = list(seconds)

    async def admit() -> float | None:
        return left.pop(0)

    return admit


@pytest.mark.parametrize("admit", [None, waits(None), waits(0.001, 0.002, None)])
async def test_a_turn_comes_when_the_limit_allows_it(admit: Any) -> None:
    assert await sender(60, may_call=True).turn(admit) is None


async def test_no_call_is_made_for_a_run_that_is_not_held_any_more() -> None:
    assert await sender(60, may_call=False).turn(waits(0.001, None)) == NotCalled()


async def test_a_turn_that_comes_too_late_is_a_timeout_without_a_call() -> None:
    found = await sender(60, may_call=True).turn(waits(61))
    assert isinstance(found, CallFailure)
    assert (found.code, found.sent) == ("TIMEOUT", False)
