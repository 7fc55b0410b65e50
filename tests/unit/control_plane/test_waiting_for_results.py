"""Whose senders wait for results while many do."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from headrace_control.webhooks.results import MAX_WAITING, Results


async def test_one_tenants_results_leave_others_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = asyncio.Event()

    async def wait(*_: Any) -> Any:
        await ended.wait()
        return "ended"

    monkeypatch.setattr(Results, "_wait", wait)
    none: Any = None
    results = Results(none, none)

    async def asked(tenant_id: UUID) -> Any:
        return await results.ended(tenant_id, uuid4(), 30)

    tenant, other = uuid4(), uuid4()
    many = [asyncio.create_task(asked(tenant)) for _ in range(MAX_WAITING)]
    one = asyncio.create_task(asked(other))
    await asyncio.sleep(0)
    ended.set()
    assert await one == "ended"
    assert (await asyncio.gather(*many)).count("ended") == MAX_WAITING // 4
    assert await asked(tenant) == "ended"
