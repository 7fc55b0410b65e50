"""Whose token endpoints are asked while others answer nobody."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from headrace.errors import Unavailable
from headrace.ids import new_id
from headrace_control.connections.turns import Turns

STALLED, WELL = "https://login.stalled.example/token", "https://login.well.example/token"


@contextlib.asynccontextmanager
async def askers(turns: Turns, endpoint: str, count: int) -> AsyncIterator[asyncio.Event]:
    """Tenants that ask an endpoint, which does not answer before the event is set."""
    answers, asked = asyncio.Event(), asyncio.Event()

    async def ask() -> None:
        async with turns.of(new_id(), endpoint):
            asked.set()
            await answers.wait()

    asking = [asyncio.create_task(ask()) for _ in range(count)]
    await asked.wait()
    yield answers
    answers.set()
    await asyncio.gather(*asking)


async def test_a_provider_that_answers_nobody_keeps_no_other_waiting() -> None:
    turns = Turns()
    async with askers(turns, STALLED, 40), asyncio.timeout(5), turns.of(new_id(), WELL):
        pass


async def test_a_tenant_asks_one_endpoint_at_a_time() -> None:
    turns, tenant = Turns(patience=0.05), new_id()
    async with turns.of(tenant, WELL):
        with pytest.raises(Unavailable):
            async with turns.of(tenant, STALLED):
                pass


async def test_who_has_waited_in_vain_takes_no_place() -> None:
    turns = Turns(patience=0.05)
    async with askers(turns, STALLED, 2) as answers:
        with pytest.raises(Unavailable):
            async with turns.of(new_id(), STALLED):
                pass
        answers.set()
    for _ in range(8):
        async with turns.of(new_id(), STALLED):
            pass
