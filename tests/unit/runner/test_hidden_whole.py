"""What is hidden as a whole, because searching it for secrets takes too long: the run goes on, and nobody is misled."""

from dataclasses import replace
from typing import Any

import pytest
from headrace.workflow.document import Document, Step
from headrace.workflow.state import Failure
from headrace_runner.gate import Gate
from headrace_runner.policy import Held
from headrace_runner.steps.protocol import Failed, Prepared, StepContext, Succeeded

from tests.security.secret_encodings import COSTLY
from tests.unit.runner.engines import advanced, step_services
from tests.unit.runner.scripted import Scripted, giving, run_of, told


class Asking:
    """A control plane that wants a person's approval."""

    async def approval(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {"allowed": False, "by": None, "code": "APPROVAL_NEEDED"}


class Calling(Scripted):
    def __init__(self, body: str) -> None:
        super().__init__(giving(Succeeded(1)))
        self._body = body

    def prepare(self, context: StepContext) -> Prepared | Failure:
        context.secrets.learn(["a-secret-of-the-run"])
        prepared = super().prepare(context)
        return (
            replace(prepared, shown=lambda: {"body": self._body})
            if isinstance(prepared, Prepared)
            else prepared
        )


@pytest.mark.parametrize(
    ("body", "events"), [("short", ["waiting a", "parked"]), (COSTLY, ["completed a", "finished"])]
)
async def test_nobody_is_asked_to_approve_what_can_not_be_shown(body: str, events: list[str]) -> None:
    document = Document("w", (Step("a", "action", action="s/do"),))
    handler = Calling(body)
    async with step_services() as services, advanced(services, {"action": handler}, document, {}) as run:
        run.engine.run = replace(run.engine.run, policy={"s/do": Held("B")})
        run.engine.parts = replace(run.engine.parts, gate=Gate(Asking()))
        happened = await run.to_its_end()
        assert told(happened) == events
        error = run.engine.history.state.step("a").error
    assert handler.made == 0
    assert error is None or error.code == "POLICY_FORBIDDEN"
    assert (error is None) == (body == "short")


async def test_a_failure_keeps_its_code() -> None:
    class Failing(Scripted):
        def prepare(self, context: StepContext) -> Prepared | Failure:
            context.secrets.learn(["a-secret-of-the-run"])
            return super().prepare(context)

    async with run_of(Step("a", "x"), x=Failing(giving(Failed(Failure("NO", COSTLY))))) as run:
        await run.to_its_end()
        assert run.engine.history.state.step("a").error == Failure("NO", "[***]")
