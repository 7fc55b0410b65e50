"""A run is taken from whoever held it: killed, frozen or silent; what was reported is not done again."""

import asyncio

import pytest

from tests.faults.fault import Fault, Name, What, When
from tests.faults.kills import ONCE
from tests.faults.ledger import Wanted
from tests.faults.scene import Scene

pytestmark = pytest.mark.asyncio(loop_scope="session")

production = pytest.mark.parametrize("scene", ["production"], indirect=True)
both = pytest.mark.parametrize("scene", ["production", "embedded"], indirect=True)

BEFORE, AFTER = When.BEFORE, When.AFTER
TWICE = {**ONCE, "two": 2}
SEND = "headrace.outbound.client:OutboundClient.send"
MAY_CALL = "headrace_runner.lease:Lease.may_call"
PUBLISH = "headrace_runner.reporting:Reporting._publish"
CHECKPOINTS = "headrace_runner.control_plane:ControlPlane.checkpoints"
HEARTBEAT = "headrace_runner.control_plane:ControlPlane.heartbeat"
LEAVE = "headrace.postgres.pool:commit"
EXECUTE = "asyncpg.connection:Connection.execute"
SWEEP = "headrace_control.dispatch.sweeper:Sweeper.sweep"
ANSWER_CHECKPOINTS = "headrace_control.internal_api.checkpoints:Checkpoints.of"
ANSWER_HEARTBEAT = "headrace_control.internal_api.leases:Leases.heartbeat"


def runner(place: str, when: When, nth: int = 1, *given: str, what: What = What.KILL) -> Fault:
    return Fault(Name.RUNNER, place, when, nth, what, given)


def control_plane(place: str, when: When, within: str = "", *given: str) -> Fault:
    return Fault(Name.CONTROL_PLANE, place, when, given=given, within=within)


def each(argument: str, **cases: Fault) -> pytest.MarkDecorator:
    """One test per fault; underscores of its name are read as spaces."""
    return pytest.mark.parametrize(
        argument, list(cases.values()), ids=[name.replace("_", " ") for name in cases]
    )


@both
async def test_a_killed_runners_run_finishes_on_another(scene: Scene) -> None:
    async with scene.scenario("runner killed in a call") as scenario:
        await scenario.in_the_call(wanted=Wanted(calls=TWICE))
        await scenario.kill(Name.RUNNER)
        await scene.begin(Name.RUNNER)
        scenario.release("two")
        await scenario.settle()


@both
async def test_an_unsafe_call_in_flight_is_never_repeated(scene: Scene) -> None:
    async with scene.scenario("runner killed in a call that can not be repeated") as scenario:
        in_doubt = Wanted("WAITING", "IN_DOUBT", {"one": 1, "two": 1, "three": 0})
        await scenario.in_the_call("unsafe", in_doubt)
        await scenario.kill(Name.RUNNER)
        await scene.begin(Name.RUNNER)
        await scenario.settle()


@production
@each("fault", before_an_unsafe_call=runner(MAY_CALL, AFTER, 2))
async def test_an_unsafe_call_that_was_announced_is_in_doubt(scene: Scene, fault: Fault) -> None:
    async with scene.scenario("runner killed before a call that can not be repeated") as scenario:
        scenario.arm(fault)
        scenario.begin("unsafe", wanted=Wanted("WAITING", "IN_DOUBT", {"one": 1, "two": 0, "three": 0}))
        await scenario.struck(fault)
        await scene.begin(Name.RUNNER)
        await scenario.settle()


@production
@each("fault", before_its_start_is_said=runner(PUBLISH, BEFORE, 1, "events.", '"unsafe":true'))
async def test_an_unsafe_call_that_was_not_announced_was_not_made(scene: Scene, fault: Fault) -> None:
    async with scene.scenario("runner killed before a call's start is said") as scenario:
        scenario.arm(fault)
        scenario.begin("unsafe", wanted=Wanted(calls={"two": 1, "three": 1}))
        await scenario.struck(fault)
        await scene.begin(Name.RUNNER)
        await scenario.settle()


@production
@each(
    "fault",
    before_its_mark=runner(PUBLISH, BEFORE, 1, "events.", '"claimed"'),
    after_its_mark=runner(PUBLISH, AFTER, 1, "events.", '"claimed"'),
    with_the_checkpoint=runner(CHECKPOINTS, AFTER),
)
async def test_a_successor_is_killed_too(scene: Scene, fault: Fault, request: pytest.FixtureRequest) -> None:
    async with scene.scenario(f"successor killed {case(request)}") as scenario:
        await scenario.in_the_call(wanted=Wanted(calls=TWICE))
        await scenario.kill(Name.RUNNER)
        scenario.arm(fault)
        await scene.begin(Name.RUNNER)
        await scenario.struck(fault)
        await scene.begin(Name.RUNNER)
        scenario.release("two")
        await scenario.settle()


@production
@each(
    "fault",
    as_it_answers_a_take_over=control_plane(ANSWER_CHECKPOINTS, AFTER),
    in_the_middle_of_a_sweep=control_plane(EXECUTE, BEFORE, SWEEP, "pg_notify"),
)
async def test_the_control_plane_is_killed_during_a_take_over(
    scene: Scene, fault: Fault, request: pytest.FixtureRequest
) -> None:
    async with scene.scenario(f"control plane killed {case(request)}") as scenario:
        await scenario.in_the_call(wanted=Wanted(calls=TWICE))
        scenario.arm(fault)
        await scenario.kill(Name.RUNNER)
        # Without a control plane a runner does not get ready.
        successor = asyncio.create_task(scene.begin(Name.RUNNER))
        await scenario.struck(fault)
        await asyncio.gather(scene.begin(Name.CONTROL_PLANE), successor)
        scenario.release("two")
        await scenario.settle()


@production
@each(
    "fault",
    runner_before_a_renewal=runner(HEARTBEAT, BEFORE),
    runner_after_a_renewal=runner(HEARTBEAT, AFTER),
    control_plane_before_a_renewals_commit=control_plane(LEAVE, BEFORE, ANSWER_HEARTBEAT),
    control_plane_after_a_renewals_commit=control_plane(LEAVE, AFTER, ANSWER_HEARTBEAT),
)
async def test_a_renewal_is_cut_off(scene: Scene, fault: Fault, request: pytest.FixtureRequest) -> None:
    # While there is no control plane the lease may run out, and the call in hand be repeated.
    calls = TWICE if fault.service is Name.RUNNER else {"one": 1, "three": 1}
    async with scene.scenario(f"killed {case(request)}") as scenario:
        await scenario.in_the_call(wanted=Wanted(calls=calls))
        scenario.arm(fault)
        await scenario.struck(fault)
        await scene.begin(fault.service)
        scenario.release("two")
        await scenario.settle()


@both
@each("waited", the_barrier=runner(CHECKPOINTS, AFTER, 3, what=What.DELAY))
async def test_a_take_over_waits_for_a_reporter_that_is_down(scene: Scene, waited: Fault) -> None:
    async with scene.scenario("reporter down during a take-over") as scenario:
        await scenario.kill(Name.REPORTER)
        await scenario.in_the_call(wanted=Wanted(calls=TWICE))
        await scenario.kill(Name.RUNNER)
        scenario.arm(waited)
        await scene.begin(Name.RUNNER)
        # It asks for its checkpoint for longer than a lease lasts. One that does not wait calls instead.
        waiting = {asyncio.create_task(w) for w in (scenario.struck(waited), scenario.called("two", 2))}
        (first, *_), rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        await asyncio.gather(first)
        await scenario.now_under_way()
        await scene.begin(Name.REPORTER)
        scenario.release("two")
        await scenario.settle()


FREEZES = {
    "as it is about to call": (runner(MAY_CALL, BEFORE, 2, what=What.STOP), ONCE),
    "with an answer, before its event": (runner(SEND, AFTER, 2, what=What.STOP), TWICE),
    "with an event written": (runner(PUBLISH, BEFORE, 2, "events.", '"completed"', what=What.STOP), TWICE),
}


@production
@each("fault", **{name: fault for name, (fault, _) in FREEZES.items()})
async def test_a_frozen_runner(scene: Scene, fault: Fault, request: pytest.FixtureRequest) -> None:
    await thawed(scene, fault, case(request))


@pytest.mark.parametrize("scene", ["embedded"], indirect=True)
@each("fault", **{name: FREEZES[name][0] for name in ["as it is about to call"]})
async def test_a_frozen_runner_on_one_machine(
    scene: Scene, fault: Fault, request: pytest.FixtureRequest
) -> None:
    await thawed(scene, fault, case(request))


async def thawed(scene: Scene, fault: Fault, name: str) -> None:
    """Frozen until its run has ended elsewhere, then set free: its last words change nothing."""
    async with scene.scenario(f"runner frozen {name}, and thawed") as scenario:
        scenario.arm(fault)
        scenario.begin(wanted=Wanted(calls=FREEZES[name][1]))
        await scenario.struck(fault)
        frozen = scene.services.pop(Name.RUNNER)
        await scene.begin(Name.RUNNER)
        await scenario.arrived()
        frozen.go_on()
        # It leaves when it has said what it had to say; what comes behind that in its partition is applied after.
        assert await frozen.stop() == 0
        scenario.begin(count=4, wanted=Wanted(calls=ONCE))
        await scenario.settle()


def case(request: pytest.FixtureRequest) -> str:
    """The name of the fault that this test was given."""
    return str(request.node.callspec.id).removesuffix(f"-{request.node.callspec.params['scene']}")
