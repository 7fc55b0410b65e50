"""Rules of the protocol, taken out of the running code one at a time, to see a scenario fail for the lack of each.

HEADRACE_TEST_WITHOUT=rule puts what stands here in the place of the code that keeps the rule, in every service; the
README shows which scenarios tell. These functions run inside the services, and find what they stand in for in their
own `original`.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

# The place that keeps the rule, and what stands there instead.
RULES: Mapping[str, Mapping[str, str]] = {
    "barrier_on_takeover": {"headrace_control.internal_api.checkpoints:_verdict": "without:never_waits"},
    "call_needs_lease": {"headrace_runner.lease:Lease.may_call": "without:may_always_call"},
    "fence_in_partition_order": {"headrace_reporter.projection:apply_event": "without:fenced_by_the_claim"},
    "intent_before_unsafe_call": {
        "headrace_runner.execution:StepExecution._announce": "without:not_confirmed"
    },
    "claim_waits_for_lease": {"headrace_control.internal_api.judging:judge": "without:takes_what_is_held"},
    "sweep_lapsed_claims": {
        "headrace_control.dispatch.sweeper:Sweeper.sweep": "without:leaves_lapsed_claims"
    },
    "claim_tells_cancel": {"headrace_control.internal_api.handover:Handover.of": "without:not_told"},
    "republish_the_same": {"headrace_runner.reporting:Reporting._publish": "without:published_once"},
}


def never_waits(row: Any, epoch: int, runner: Any) -> Any:
    verdict = original(never_waits)(row, epoch, runner)
    return "PASSED" if verdict == "NOT_YET" else verdict


async def may_always_call(lease: Any, held: Any) -> bool:
    return True


def fenced_by_the_claim(run: Any, event: Any, now: Any) -> Any:
    return event.epoch == run.epoch and original(fenced_by_the_claim)(run, event, now)


async def not_confirmed(execution: Any, prepared: Any) -> Any:
    return await original(not_confirmed)(execution, replace(prepared, side_effect=False))


def takes_what_is_held(run: Any, *rest: Any) -> Any:
    return original(takes_what_is_held)(replace(run, claim_live=False), *rest)


async def leaves_lapsed_claims(sweeper: Any) -> Any:
    sweep = original(leaves_lapsed_claims)
    statements = sweep.__globals__["_sql"]
    kept = statements.sweep.replace("(r.claimed_by IS NOT NULL AND NOT (", "(false AND NOT (")
    names = {
        **sweep.__globals__,
        "_sql": SimpleNamespace(sweep=kept, forget_runners=statements.forget_runners),
    }
    return await type(sweep)(sweep.__code__, names)(sweeper)


async def not_told(handover: Any, *rest: Any) -> Any:
    given, versions = await original(not_told)(handover, *rest)
    return {run_id: {**what, "cancel": False} for run_id, what in given.items()}, versions


async def published_once(reporting: Any, messages: Any) -> None:
    try:
        await reporting._bus.publish(messages)
    except Exception as error:
        print("given up:", repr(error))


def original(function: Any) -> Any:
    """What `function` stands in for."""
    return function.original
