"""The engine with handlers that do as they are told: what it writes, and when it goes on."""

import asyncio
import gc
import weakref
from datetime import UTC, datetime, timedelta

from headrace.json_types import Json
from headrace.workflow.document import Edge, ForEach, OnError, Step
from headrace.workflow.parse import parse_document
from headrace.workflow.state import Failure
from headrace_runner.steps.protocol import Failed, InDoubt, Outcome, Prepared, StepContext, Succeeded
from headrace_runner.steps.transform import TransformStep
from structlog.testing import capture_logs

from tests.unit.runner.engines import advanced, step_services
from tests.unit.runner.scripted import OOPS, Scripted, again_after, giving, run_of, told


async def test_a_short_retry_is_waited_for_here() -> None:
    handler = Scripted(giving(again_after(0)), giving(Succeeded({"n": 1})))
    async with run_of(Step("a", "x"), x=handler) as run:
        events = await run.to_its_end()
    assert told(events) == ["started a", "attempted a", "started a", "completed a", "finished"]
    assert events[-1][2] == {"status": "SUCCESS", "result": None}


async def test_a_long_retry_parks_the_run_until_it_is_due() -> None:
    async with run_of(Step("a", "x"), x=Scripted(giving(again_after(60)))) as run:
        events = await run.to_its_end()
    assert told(events) == ["started a", "attempted a", "parked"]
    attempted, parked = events[1][2], events[2][2]
    assert isinstance(attempted, dict)
    assert parked == {"reason": "RETRY", "resumeAt": attempted["retryAt"], "inboxSeen": 0}


async def test_a_cancel_while_a_retry_waits_starts_no_attempt_more() -> None:
    """rule claim_tells_cancel: a runner that knows of a cancel starts no call."""
    handler = Scripted()
    async with run_of(Step("a", "x"), x=handler) as run:

        async def canceled_meanwhile() -> Outcome:
            asyncio.get_running_loop().call_later(0.01, lambda: run.held.tell(canceled=True))
            return again_after(0.1)

        handler.script(canceled_meanwhile)
        events = await run.to_its_end()
    assert told(events) == ["started a", "attempted a", "canceled"]
    assert handler.made == 1


async def test_a_drain_while_a_retry_waits_hands_the_run_back() -> None:
    handler = Scripted()
    async with run_of(Step("a", "x"), x=handler) as run:

        async def draining_meanwhile() -> Outcome:
            asyncio.get_running_loop().call_later(0.01, run.drain)
            return again_after(0.1)

        handler.script(draining_meanwhile)
        events = await run.to_its_end()
    assert told(events) == ["started a", "attempted a", "parked"]
    parked = events[-1][2]
    assert isinstance(parked, dict)
    assert parked["reason"] == "HANDED_BACK"
    # rule hand_back_is_due_at_once: without a time nothing would bring it back
    assert datetime.fromisoformat(str(parked["resumeAt"])) <= datetime.now(UTC)
    assert handler.made == 1


async def test_what_was_sent_and_not_answered_waits_for_a_person() -> None:
    other = Scripted(giving(Succeeded(None)))
    async with run_of(
        Step("a", "x"),
        Step("b", "y"),
        edges=(Edge("a", "b"),),
        x=Scripted(giving(InDoubt(OOPS)), unsafe=True),
        y=other,
    ) as run:
        events = await run.to_its_end()
    assert told(events) == ["started a", "completed a", "parked"]
    completed, parked = events[1][2], events[2][2]
    assert isinstance(completed, dict)
    assert completed["status"] == "UNKNOWN"
    assert parked == {"reason": "IN_DOUBT", "inboxSeen": 0}
    assert other.made == 0


async def test_a_handler_that_raises_ends_its_step_and_quotes_nothing() -> None:
    async def raises() -> Outcome:
        raise RuntimeError("with data of the tenant's")

    with capture_logs() as lines:
        async with run_of(Step("a", "x"), x=Scripted(raises)) as run:
            events = await run.to_its_end()
    assert told(events) == ["started a", "completed a", "finished"]
    assert "STEP_CRASHED" in str(events[-1][2])
    assert "data of" not in str((events, lines))
    # Whoever wrote the handler finds the place in the runner's own log.
    (line,) = [line for line in lines if line["event"] == "a step's handler raised"]
    assert (line["step"], line["error"], line["at"][-1].split()[-1]) == ("a", "RuntimeError", "raises")
    assert {"run_id", "tenant_id"} <= set(line)


async def test_steps_that_need_each_other_not_go_side_by_side() -> None:
    meeting = asyncio.Barrier(2)

    async def meets() -> Outcome:
        await meeting.wait()
        return Succeeded(None)

    async with run_of(
        Step("a", "x"),
        Step("b", "y"),
        Step("c", "z"),
        edges=(Edge("a", "c"), Edge("b", "c")),
        x=Scripted(meets),
        y=Scripted(meets),
        z=Scripted(giving(Succeeded(None))),
    ) as run:
        events = await run.to_its_end()
    assert told(events)[-3:] == ["started c", "completed c", "finished"]


async def test_a_failure_that_is_passed_over_lets_the_run_go_on() -> None:
    async with run_of(
        Step("a", "x", on_error=OnError.CONTINUE),
        Step("b", "y"),
        edges=(Edge("a", "b"),),
        x=Scripted(giving(Failed(OOPS))),
        y=Scripted(giving(Succeeded(None))),
    ) as run:
        events = await run.to_its_end()
    assert told(events) == ["started a", "completed a", "started b", "completed b", "finished"]
    assert events[-1][2] == {"status": "SUCCESS", "result": None}


async def test_a_lost_claim_is_left_without_a_word() -> None:
    handler = Scripted()
    async with run_of(Step("a", "x"), x=handler) as run:

        async def lost_meanwhile() -> Outcome:
            run.held.tell(lost=True)
            await asyncio.Event().wait()
            raise AssertionError

        handler.script(lost_meanwhile)
        events = await run.to_its_end()
    assert "completed a" not in told(events)
    assert "finished" not in told(events)


async def test_outputs_that_are_too_large_fail_their_step_alone() -> None:
    many = {f"o{n}": "$.n" for n in range(12)}
    steps = [
        {
            "key": "big",
            "type": "transform",
            "input": {"n": "{{ input.x }}"},
            "output": many,
            "onError": "continue",
        },
        {"key": "small", "type": "transform", "input": {"code": "{{ steps.big.error.code }}"}},
    ]
    document = parse_document({"workflow": "w", "steps": steps, "result": "{{ steps.small.output.code }}"})
    async with step_services() as services:
        handlers = {"transform": TransformStep(services)}
        async with advanced(services, handlers, document, {"x": "y" * 200_000}) as run:
            told = await run.to_its_end()
    assert told[-1] == ("finished", None, {"status": "SUCCESS", "result": "OUTPUT_TOO_LARGE"})


async def test_a_step_sees_an_output_as_whoever_takes_the_run_over_will() -> None:
    """Which item of a loop is the third is asked of the list once more then."""
    made: Json = {"usd": 1e16, "jpyx": {"bb": -0.0, "a": 1.5}, "é": 2, "b": [{"zz": 1, "y": 1e300}]}
    names, text = "{{ steps.a.output | keys }}", "{{ steps.a.output | tojson }}"
    steps: list[Json] = [
        {"key": "a", "type": "made"},
        {"key": "b", "type": "transform", "input": {"names": names, "text": text}},
    ]
    document = parse_document({"workflow": "w", "steps": steps, "result": "{{ steps.b.output }}"})
    async with step_services() as services:
        handlers = {"made": Scripted(giving(Succeeded(made))), "transform": TransformStep(services)}
        async with advanced(services, handlers, document, {}) as run:
            told = await run.to_its_end()
    stored = '{"b":[{"y":1e+300,"zz":1}],"é":2,"usd":10000000000000000,"jpyx":{"a":1.5,"bb":0}}'
    assert told[-1][2] == {
        "status": "SUCCESS",
        "result": {"names": ["b", "é", "usd", "jpyx"], "text": stored},
    }


async def test_a_secret_is_found_in_the_number_that_is_kept() -> None:
    class Telling(Scripted):
        def prepare(self, context: StepContext) -> Prepared | Failure:
            context.secrets.learn(["1234567890123456800"])
            return super().prepare(context)

    handler = Telling(giving(Succeeded({"usd": 1, "n": 1.2345678901234568e18, "1234567890123456800": 2})))
    async with run_of(Step("a", "x"), x=handler) as run:
        events = await run.to_its_end()
    completed = events[1][2]
    assert isinstance(completed, dict)
    output = completed["output"]
    assert isinstance(output, dict)
    assert list(output.items()) == [("n", "[***]"), ("usd", 1), ("[***]", 2)]


async def test_an_output_is_as_large_as_it_is_read_back() -> None:
    """A checkpoint of such numbers, 6 bytes each as the API sends them, would take the memory of whoever reads it."""
    steps: list[Json] = [{"key": "a", "type": "made", "onError": "continue"}]
    written: Json = {"workflow": "w", "steps": steps, "result": "{{ steps.a.error.code }}"}
    async with step_services() as services:
        handlers = {"made": Scripted(giving(Succeeded([1e308] * 4_000)))}
        async with advanced(services, handlers, parse_document(written), {}) as run:
            told = await run.to_its_end()
    assert told[-1][2] == {"status": "SUCCESS", "result": "OUTPUT_TOO_LARGE"}


async def test_retries_do_not_outlast_the_time_for_which_a_run_is_held() -> None:
    async def fails_late() -> Outcome:
        run.engine._claimed_at -= timedelta(minutes=2)
        return again_after(0.01)

    handler = Scripted(fails_late, giving(Succeeded(1)))
    async with run_of(Step("a", "x"), x=handler) as run:
        events = await run.to_its_end()
    assert told(events) == ["started a", "attempted a", "parked"]
    assert handler.made == 1


async def test_others_have_their_turn_between_the_lists_of_two_loops() -> None:
    steps = tuple(Step(f"s{n}", "x", for_each=ForEach([1])) for n in range(4))
    first = Step("first", "x")
    edges = tuple(Edge("first", step.key) for step in steps)
    handler = Scripted(*[giving(Succeeded(n)) for n in range(5)])
    seen: list[int] = []
    async with run_of(first, *steps, edges=edges, x=handler) as run:

        async def look_again_and_again() -> None:
            while True:
                seen.append(run.engine.scopes.loops.rendered)
                await asyncio.sleep(0)

        looking = asyncio.create_task(look_again_and_again())
        events = await run.to_its_end()
        looking.cancel()
    assert events[-1][0] == "finished"
    assert sorted(set(seen)) == [0, 1, 2, 3, 4]


async def test_nothing_of_a_run_waits_for_the_collector() -> None:
    """Its secrets and its outputs are gone with its end, and the collector has little to look for."""
    loop = Step("loop", "x", for_each=ForEach([1, 2]))
    handler = Scripted(*[giving(Succeeded(n)) for n in range(3)])
    gc.disable()
    try:
        async with run_of(Step("first", "x"), loop, edges=(Edge("first", "loop"),), x=handler) as run:
            events = await run.to_its_end()
            seen = [weakref.ref(part) for part in (run.engine, run.engine.secrets, run.engine.history)]
        assert events[-1][0] == "finished"
        del run
        assert [ref() for ref in seen] == [None, None, None]
    finally:
        gc.enable()
