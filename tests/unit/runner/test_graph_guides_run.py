"""The guides' documents, done by a real engine (calls are only noted): they come to what the guides say."""

from datetime import UTC, datetime, timedelta

import pytest
from headrace.json_types import Json
from headrace.workflow.document import RetryPolicy
from headrace.workflow.state import Failure, Message, MessageKind
from headrace_runner.steps.protocol import Failed, Outcome, Prepared, StepContext, StepServices, Succeeded
from headrace_runner.steps.registry import load_handlers

from tests.unit.runner.engines import Told, advanced, step_services
from tests.unit.runner.guide_documents import DOCUMENTS, RESULTS

LINES = [
    {"sku": "a", "count": 2, "price": 3},
    {"sku": "b", "count": 1},
    {"sku": "c", "count": 1, "price": 10},
]


async def end(workflow: str, given: Json) -> Json:
    """The data of the event with which a run ends."""
    async with step_services() as services:
        handlers = load_handlers(services)
        async with advanced(services, handlers, DOCUMENTS[workflow], given) as run:
            kind, _, data = (await run.to_its_end())[-1]
    assert kind == "finished"
    return data


@pytest.mark.parametrize(("workflow", "given", "result"), RESULTS)
async def test_a_guides_document_comes_to_its_result(workflow: str, given: Json, result: Json) -> None:
    assert await end(workflow, given) == {"status": "SUCCESS", "result": result}


async def test_a_fail_step_ends_the_run_with_its_code() -> None:
    ended = await end("route-order", {"total": 0, "country": "DE"})
    assert isinstance(ended, dict)
    assert isinstance(ended["error"], dict)
    assert (ended["status"], ended["error"]["code"]) == ("FAILED", "NOTHING_ORDERED")


async def test_a_loop_keeps_the_order_and_tells_which_items_failed() -> None:
    ended = await end("price-lines", {"lines": LINES})
    assert isinstance(ended, dict)
    result = ended["result"]
    assert isinstance(result, dict)
    assert result["total"] == 16
    assert isinstance(result["failed"], list)
    assert [(one["index"], one["error"]["code"]) for one in result["failed"]] == [(1, "EXPRESSION_FAILED")]  # type: ignore[index, call-overload]


class Noted:
    """Stands in for the calls of action steps: each is noted with its idempotency key and its input, and succeeds
    unless it is of the row `failing`."""

    def __init__(self, services: StepServices, failing: str = "") -> None:
        self._templates, self._failing = services.templates, failing
        self.calls: list[tuple[str, Json]] = []

    def prepare(self, context: StepContext) -> Prepared:
        given = self._templates.render(context.step.input, context.scope, context.place)
        return Prepared(given, side_effect=False, unsafe=False, retry=RetryPolicy(), work=given)

    async def attempt(self, context: StepContext, prepared: Prepared) -> Outcome:
        self.calls.append((context.idempotency_key.removeprefix(f"{context.run.run_id}-"), prepared.work))
        if str(context.key) == self._failing:
            return Failed(Failure("HTTP_422", "no"))
        return Succeeded({"entry": len(self.calls)})


class Greeting:
    """Stands in for the child runs of `greet`: the one for `failing` fails."""

    def __init__(self, services: StepServices, failing: str) -> None:
        self._templates, self._failing = services.templates, failing

    def prepare(self, context: StepContext) -> Prepared:
        given = self._templates.render(context.step.input, context.scope, context.place)
        return Prepared(given, side_effect=False, unsafe=False, retry=RetryPolicy(), work=given)

    async def attempt(self, context: StepContext, prepared: Prepared) -> Outcome:
        assert isinstance(prepared.work, dict)
        name = prepared.work["name"]
        if name == self._failing:
            return Failed(Failure("HTTP_422", "no"))
        return Succeeded({"words": f"Hello, {name}"})


async def test_a_child_that_failed_has_no_words_and_the_others_keep_theirs() -> None:
    async with step_services() as services:
        handlers = {**load_handlers(services), "workflow": Greeting(services, failing="al")}
        given: Json = {"names": ["bo", "al", "cy"]}
        async with advanced(services, handlers, DOCUMENTS["greet-everyone"], given) as run:
            kind, _, data = (await run.to_its_end())[-1]
    greeted: Json = {"host": "Hello, the host", "guests": ["Hello, bo", None, "Hello, cy"]}
    assert (kind, data) == ("finished", {"status": "SUCCESS", "result": greeted})


async def rejected(failing: str = "") -> tuple[Noted, list[Told]]:
    """The calls and the events of a goodwill of 5 that is rejected."""
    async with step_services() as services:
        noted = Noted(services, failing)
        handlers = {**load_handlers(services), "action": noted}
        async with advanced(services, handlers, DOCUMENTS["goodwill"], {"order": "A-1", "amount": 5}) as run:
            decision: dict[str, Json] = {"decision": "REJECTED"}
            run.held.inbox.append(Message(1, MessageKind.DECISION, "agreed", None, decision))
            return noted, await run.to_its_end()


def error_of(told: list[Told]) -> dict[str, Json]:
    """The error with which a run ended as FAILED."""
    kind, _, data = told[-1]
    assert isinstance(data, dict)
    assert (kind, data["status"]) == ("finished", "FAILED")
    assert isinstance(data["error"], dict)
    return data["error"]


async def test_a_rejection_undoes_what_was_booked_in_reverse() -> None:
    noted, told = await rejected()
    entry = {"order": "A-1", "kind": "goodwill"}
    assert noted.calls == [
        ("book", {**entry, "amount": 5}),
        ("fee", {**entry, "amount": -1}),
        ("fee.undo", {**entry, "amount": 1}),
        ("book.undo", {**entry, "amount": -5, "reference": "entry 1"}),
    ]
    assert error_of(told)["code"] == "REJECTED"


async def test_an_undo_that_fails_is_told_of_and_the_others_go_on() -> None:
    noted, told = await rejected(failing="fee.undo")
    assert [key for key, _ in noted.calls] == ["book", "fee", "fee.undo", "book.undo"]
    (given_up,) = [data for kind, step, data in told if (kind, step) == ("completed", "fee.undo")]
    assert isinstance(given_up, dict)
    assert (given_up["status"], given_up["unhandled"]) == ("FAILED", True), "a dead letter"
    error = error_of(told)
    assert error["code"] == "COMPENSATION_FAILED"
    assert str(error["message"]).endswith(": fee")


async def test_a_time_that_is_past_is_over_at_once_and_a_day_is_waited_for_parked() -> None:
    async with step_services() as services:
        document = DOCUMENTS["ask-again-later"]
        async with advanced(
            services, load_handlers(services), document, {"opens": "2026-01-01T09:00:00Z"}
        ) as run:
            told = await run.to_its_end()
    over = [data for kind, step, data in told if (kind, step) == ("completed", "opening")]
    assert over == [{"status": "SUCCESS", "output": {"until": "2026-01-01T09:00:00Z"}}]
    kind, _, data = told[-1]
    assert kind == "parked"
    assert isinstance(data, dict)
    assert data["reason"] == "TIMER"
    due = datetime.fromisoformat(str(data["resumeAt"]))
    assert timedelta(hours=23) < due - datetime.now(UTC) <= timedelta(hours=24)
