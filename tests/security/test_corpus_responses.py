"""P9, by corpus: whatever a target answers, the call comes to what the case says, and the next one works.

The cases are in `corpora/responses.yaml`; the server that answers by them is a process of its own, so that what this
process spends is what a runner would.
"""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from headrace.outbound.auth import Credential
from headrace.outbound.call import CallFailure, CallResult, OutboundCall
from headrace.outbound.client import OutboundClient
from headrace.outbound.policy import EgressPolicy, Opening
from headrace.outbound.pools import OutboundPools
from headrace.outbound.response import INLINE_LIMIT
from headrace.workflow.definition import AuthKind
from headrace_runner.pagination import next_link

from tests.security.hostile_server import RESPONSES, load, running

CASES = load(RESPONSES)
MOST_CPU = 1.0  # seconds of one call
MOST_MEMORY = 50.0  # megabytes above what was in use
TENANT = "0190a0a0-0000-7000-8000-000000000001"
# A secret to be looked for: redaction is part of what an answer costs.
CREDENTIAL = Credential(
    AuthKind.API_KEY, {"key": "a-secret-of-the-tenant-4711"}, frozenset({"127.0.0.1", "127.0.0.2"})
)
_PROCESS = Path("/proc/self")


@dataclass
class Hostile:
    """The server and a client of it; `spent` is the CPU of each case."""

    client: OutboundClient
    port: int
    spent: dict[str, float] = field(default_factory=dict)

    async def get(self, path: str, host: str = "127.0.0.1", **options: Any) -> CallResult | CallFailure:
        options = {"method": "GET", "timeout": 20, "response_limit": INLINE_LIMIT, **options}
        call = OutboundCall(url=f"http://{host}:{self.port}{path}", **options)
        return await self.client.send(call, tenant_id=TENANT, credential=CREDENTIAL)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hostile() -> AsyncIterator[Hostile]:
    pools = OutboundPools(EgressPolicy((Opening.parse("127.0.0.0/8"),)), resolve=_no_name)
    async with running() as port:
        hostile = Hostile(OutboundClient(pools), port)
        await hostile.get("/normal")
        yield hostile
        worst = max(hostile.spent, key=lambda name: hostile.spent[name])
        print(f"the costliest answer: {worst}, {hostile.spent[worst] * 1000:.0f} ms")
        await pools.aclose()


async def _no_name(host: str, port: int) -> list[str]:
    raise OSError("no name is known here")


def test_there_are_cases_enough() -> None:
    assert len(CASES) >= 100


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
async def test_a_hostile_answer(hostile: Hostile, case: dict[str, Any]) -> None:
    options = {name: case[name] for name in ("method", "timeout") if name in case}
    before, started = _memory_in_use(), time.process_time()
    outcome = await hostile.get(
        f"/case/{case['name']}", response_limit=case.get("limit", INLINE_LIMIT), **options
    )
    link = outcome.headers.get("link") if isinstance(outcome, CallResult) else None
    following = next_link(link) if isinstance(link, str) else None
    spent, grown = time.process_time() - started, _memory_at_most() - before
    hostile.spent[case["name"]] = spent
    assert told(outcome, case["expect"]) == case["expect"]
    assert following == case.get("next")
    assert_storable(outcome)
    assert spent < MOST_CPU
    assert grown < MOST_MEMORY
    if case.get("keep"):
        await hostile.get(f"/answered/{case['name']}", "127.0.0.2")
    # A connection that the server closes is no matter of this test; one that it keeps is.
    normal = await hostile.get("/normal", "127.0.0.1" if case.get("keep") else "127.0.0.2")
    assert isinstance(normal, CallResult), normal
    assert normal.body == {"ok": True}
    if case.get("fresh"):
        assert normal.headers["x-number"] == "1"


def told(outcome: CallResult | CallFailure, asked: dict[str, Any]) -> dict[str, Any]:
    """What came of the call, in the words of a case; a failure tells its code though nobody asked."""
    shown: dict[str, Any] = {"status": outcome.status, "notes": list(outcome.notes)}
    match outcome:
        case CallResult():
            shown |= {"body": outcome.body, "code": None}
        case CallFailure():
            shown |= {"code": outcome.code, "retry_after": outcome.retry_after}
    return {name: value for name, value in shown.items() if name in asked or (name == "code" and value)}


def assert_storable(outcome: CallResult | CallFailure) -> None:
    """PostgreSQL and every JSON reader of ours can hold it."""
    output = outcome.output if isinstance(outcome, CallResult) else outcome.response
    assert b"\\u0000" not in orjson.dumps(output)
    assert b"a-secret-of-the-tenant-4711" not in orjson.dumps(output)


def _memory_in_use() -> float:
    """Megabytes; from here on `_memory_at_most` counts anew. 0 where the system does not tell."""
    if not (_PROCESS / "clear_refs").exists():
        return 0.0
    (_PROCESS / "clear_refs").write_text("5")
    return _status("VmRSS")


def _memory_at_most() -> float:
    return _status("VmHWM") if (_PROCESS / "clear_refs").exists() else 0.0


def _status(name: str) -> float:
    lines = (_PROCESS / "status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))
