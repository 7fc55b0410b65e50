"""What a run says of calls that were not made, of answers that it can not keep, and of a run that it undoes."""

from types import SimpleNamespace
from typing import Any

import pytest
from headrace.ids import new_id
from headrace.outbound.auth import AuthKind, Credential
from headrace.outbound.call import CallFailure, OutboundCall
from headrace.workflow.definition import ActionDefinition
from headrace.workflow.document import Compensation, Document, Expression, Probe, RetryPolicy, Step
from headrace.workflow.expressions.render import Templates
from headrace.workflow.schemas import Schemas
from headrace.workflow.state import Failure, RunState, RunStatus, StepState, StepStatus, Undoing
from headrace_runner.steps.action import ActionStep
from headrace_runner.steps.call_building import ActionWork
from headrace_runner.steps.protocol import NotCalled, Outcome, Prepared, StepContext, StepServices, Succeeded
from rpds import HashTrieMap

from tests.unit.runner.engines import advanced, step_services
from tests.unit.runner.scripted import Scripted, giving, run_of, told


@pytest.mark.parametrize("lost", [False, True])
async def test_a_call_that_a_cancel_kept_back_is_not_in_doubt(lost: bool) -> None:
    handler = Scripted(unsafe=True, side_effect=True)
    async with run_of(Step("a", "x"), x=handler) as run:
        confirmed = run.engine.report.confirmed

        async def canceled_meanwhile() -> None:
            run.held.tell(canceled=True, lost=lost)
            await confirmed()

        run.engine.report.confirmed = canceled_meanwhile  # type: ignore[method-assign]
        run.engine.parts.lease._until = float("inf")
        events = await run.to_its_end()
    assert handler.made == 0
    assert told(events)[:1] == ["started a"]
    if not lost:
        assert told(events)[1:] == ["attempted a", "canceled"]
        said: Any = events[1][2]
        assert said["error"]["code"] == "NOT_CALLED"


@pytest.mark.parametrize("lost", [False, True])
async def test_an_attempt_that_a_cancel_cuts_short_is_no_failure(lost: bool) -> None:
    async with run_of(Step("a", "x"), x=(handler := Scripted(side_effect=True))) as run:

        async def canceled_between_two_calls() -> Outcome:
            run.held.tell(canceled=True, lost=lost)
            return NotCalled({"httpStatus": 401})

        handler.script(canceled_between_two_calls)
        run.engine.parts.lease._until = float("inf")
        events = await run.to_its_end()
    assert told(events) == ["started a", *([] if lost else ["attempted a", "canceled"])]
    if not lost:
        said: Any = events[1][2]
        assert (said["error"]["code"], said["attempt"]["httpStatus"]) == ("NOT_CALLED", 401)


class Refused:
    """A caller whose target answers 401, and which asks for a newer credential then."""

    async def send(
        self, call: OutboundCall, *, refresh: Any, credential: Credential, **_: object
    ) -> CallFailure:
        assert await refresh(credential) is None
        return CallFailure(
            "HTTP_401", "the target answered 401", sent=True, status=401, credential=credential
        )


@pytest.mark.parametrize("at", ["the credential", "the refresh"])
async def test_a_cancel_while_a_credential_is_fetched_makes_no_call_and_fails_nothing(at: str) -> None:
    allowed = [True, False] if at == "the refresh" else [False]
    known = Credential(AuthKind.OAUTH2, {"accessToken": "t"}, connection_id="c")

    async def may_call() -> bool:
        return allowed.pop(0)

    async def token(*_: object) -> Credential:
        return known

    context: Any = SimpleNamespace(
        credentials=SimpleNamespace(current=token, refresh=token),
        may_call=may_call,
        now=lambda: None,
        timeout_seconds=lambda: None,
        run=SimpleNamespace(tenant_id=new_id()),
        secrets=SimpleNamespace(redactor=None),
    )
    call = OutboundCall("GET", "https://shop.example/")
    action = ActionDefinition("shop", "read", "GET", "/")
    work = ActionWork(action, call, "c", RetryPolicy(), repeatable=True, ticket=None)
    prepared = Prepared(None, side_effect=True, unsafe=False, retry=RetryPolicy(), work=work)
    step = ActionStep(StepServices(Refused(), Templates(), Schemas()))  # type: ignore[arg-type]
    outcome = await step.attempt(context, prepared)
    assert outcome == NotCalled({"httpStatus": 401} if at == "the refresh" else {})
    assert allowed == []


async def test_a_compensation_whose_answer_is_too_large_has_undone_its_step() -> None:
    full = {f"s{n}": StepState(StepStatus.SUCCESS, 1, output="x" * 1_000_000, done=(1, n)) for n in range(16)}
    undoing = Undoing(RunStatus.CANCELED)
    state = RunState(RunStatus.COMPENSATING, HashTrieMap(full), undoing=undoing, cancel=True)
    steps = tuple(Step(key, "x", compensate=Compensation("a/b") if key == "s3" else None) for key in full)
    handler = Scripted(giving(Succeeded("y" * 900_000)))
    async with (
        step_services() as services,
        advanced(services, {"action": handler}, Document("w", steps), {}, state) as run,
    ):
        events = await run.to_its_end()
    assert told(events) == ["started s3.undo", "completed s3.undo", "canceled"]
    said: Any = events[1][2]
    assert (said["status"], said.get("output"), events[2][2]) == ("SUCCESS", None, {})


async def test_what_undoes_a_child_names_the_run_that_did_it() -> None:
    class Naming(Scripted):
        def prepare(self, context: StepContext) -> Prepared | Failure:
            named.append(context.scope.run["id"])
            return super().prepare(context)

    named: list[Any] = []
    origin = new_id()
    did = StepState(StepStatus.SUCCESS, 1, output=1, done=(1, 1))
    state = RunState(RunStatus.RUNNING, HashTrieMap({"a": did}), undoing=Undoing(RunStatus.SUCCESS))
    document = Document("w", (Step("a", "x", compensate=Compensation("a/b")),))
    async with (
        step_services() as services,
        advanced(
            services, {"action": Naming(giving(Succeeded(1)))}, document, {}, state, undoes=origin
        ) as run,
    ):
        events = await run.to_its_end()
    assert told(events) == ["started a.undo", "completed a.undo", "finished"]
    assert named == [str(origin)]


async def test_a_probe_whose_answer_says_nothing_leaves_the_doubt_to_a_person() -> None:
    done = Expression("{{ output.body.found.id == 7 }}")
    step = Step("a", "x", probe=Probe("a/b", done))
    state = RunState(RunStatus.RUNNING, HashTrieMap({"a": StepState(StepStatus.UNKNOWN, 1, done=(1, 1))}))
    handler = Scripted(giving(Succeeded({"body": {}})))
    async with (
        step_services() as services,
        advanced(services, {"action": handler}, Document("w", (step,)), {}, state) as run,
    ):
        events = await run.to_its_end()
    assert told(events) == ["started a.probe", "completed a.probe", "parked"]
    probed: Any = events[1][2]
    assert (probed["status"], probed["error"]["code"]) == ("FAILED", "CONDITION_FAILED")
    assert probed["error"]["message"].startswith("steps[0].probe.done: ")
    parked: Any = events[2][2]
    assert parked["reason"] == "IN_DOUBT"
