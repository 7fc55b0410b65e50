"""What a tenant's quotas keep a run from: long lists, and endless logs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headrace.json_types import Json
from headrace.messages import LogBatch
from headrace.workflow.parse import parse_document
from headrace_runner.claimed_run import RunQuotas
from headrace_runner.run_log import CUT_OFF
from headrace_runner.steps.registry import load_handlers

from tests.unit.runner.engines import Advanced, advanced, step_services

LOOP = parse_document(
    {
        "workflow": "loop",
        "steps": [
            {
                "key": "each",
                "type": "transform",
                "forEach": {"items": "{{ input.list }}"},
                "input": {"n": "{{ item }}"},
            }
        ],
    }
)


@asynccontextmanager
async def looping(items: int, quotas: RunQuotas) -> AsyncIterator[Advanced]:
    given: Json = {"list": list(range(items))}
    async with (
        step_services() as services,
        advanced(services, load_handlers(services), LOOP, given, quotas=quotas) as run,
    ):
        yield run


async def test_a_loop_has_no_more_items_than_the_quota_allows() -> None:
    async with looping(3, RunQuotas(loop_items=3)) as run:
        assert (await run.to_its_end())[-1][2]["status"] == "SUCCESS"
    async with looping(4, RunQuotas(loop_items=3)) as run:
        (*_, (_, _, ended)) = await run.to_its_end()
    assert (ended["status"], ended["error"]["code"]) == ("FAILED", "QUOTA_EXCEEDED")


async def test_a_run_writes_no_more_records_than_the_quota_allows_and_says_so() -> None:
    async with looping(50, RunQuotas(log_records=10)) as run:
        assert (await run.to_its_end())[-1][2]["status"] == "SUCCESS"
        await run.reporting.drained(5)
        bodies = [m.body for m in run.bus.messages if m.queue == "logs"]
    records = [record for body in bodies for record in LogBatch.decode(body).records]
    assert len(records) == 11
    assert records[-1].message == CUT_OFF
