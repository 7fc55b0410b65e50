"""What it costs a runner to take a run up again that has done 500 steps: from the answer to its claim to its park.

CPU time of this process, so that what else the machine does tells little against it.
"""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest
from headrace.ids import new_id
from headrace.workflow.document import Document, Step, StepType, Wait
from headrace_runner.claimed_run import read_claimed_run
from headrace_runner.engine import Engine
from headrace_runner.run_pass import RunPass
from headrace_runner.run_secrets import RunSecrets
from headrace_runner.steps.waits import WaitStep
from headrace_runner.versions import LoadedVersion

from tests.unit.runner.engines import advanced, step_services

STEPS = 500
REPEATS = 10
MOST_CPU_MS = 100
AT = datetime(2026, 11, 1, tzinfo=UTC).isoformat()


def answer() -> bytes:
    """What the control plane hands over: 500 completed steps, each with an output of about a kilobyte."""
    step = {"status": "SUCCESS", "attempts": 1, "error": None, "in_flight": False, "retry_at": None}
    step |= {"started_at": AT, "wait": None, "round": 0, "round_from": 0, "items": None, "done_epoch": 1}
    body = {"status": 200, "headers": {"content-type": "application/json"}, "body": {"text": "x" * 900}}
    steps = [step | {"key": f"s{n}", "output": body, "done_seq": 2 * n + 2} for n in range(STEPS)]
    given = {
        "compensating": None,
        "undoes": None,
        "inbox": [],
        "inbox_seq": 0,
        "cancel": False,
        "pause": False,
    }
    given |= {"steps": steps, "input": {}, "started_at": AT, "connections": {}, "secrets": {}, "depth": 0}
    given |= {"quotas": {}, "policy": {}}
    return orjson.dumps(given)


async def taken_up(times: int) -> list[float]:
    """Milliseconds of CPU, each time."""
    done = tuple(Step(f"s{n}", StepType.TRANSFORM) for n in range(STEPS))
    document = Document("w", (*done, Step("nap", StepType.WAIT, wait=Wait(for_ms=3_600_000))))
    body = answer()
    took = []
    async with step_services() as services:
        for _ in range(times):
            async with advanced(services, {StepType.WAIT: WaitStep(services)}, document, {}) as run:
                spare = run.engine
                loaded = LoadedVersion(spare.run.version, spare.run.graph)
                run_pass = RunPass(new_id(), 2, "x" * 40)
                begun = time.process_time()
                claimed = read_claimed_run(new_id(), run_pass, orjson.loads(body), loaded)
                parts = spare.parts, claimed, run.held, spare.report, spare.log
                engine = Engine(*parts, spare._credentials, RunSecrets.of(claimed))
                events = await replace(run, engine=engine).to_its_end()
                took.append((time.process_time() - begun) * 1000)
                assert [kind for kind, _, _ in events] == ["waiting", "parked"]
    return took


async def test_a_run_with_500_completed_steps_goes_on_where_it_was() -> None:
    assert len(await taken_up(1)) == 1


@pytest.mark.bench
async def test_a_run_with_500_completed_steps_is_taken_up_again() -> None:
    took = await taken_up(REPEATS)
    figures = {"steps": STEPS, "answer_kb": len(answer()) // 1024, "cpu_ms": round(min(took), 1)}
    print(json.dumps(figures))
    assert min(took) < MOST_CPU_MS
