"""`action`: one HTTP call of an app, and what comes of it."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random
from urllib.parse import urlsplit

from headrace.errors import HeadraceError
from headrace.json_types import Json, JsonObject
from headrace.messages import LogLevel
from headrace.outbound.auth import Credential
from headrace.outbound.call import CallFailure, CallResult
from headrace.workflow.document import OnMismatch
from headrace.workflow.extraction import extract
from headrace.workflow.state import Failure

from headrace_runner.failures import listed
from headrace_runner.pagination import Pages, PagesFailed
from headrace_runner.retry import in_doubt, next_delay, worth_it
from headrace_runner.sending import Sender
from headrace_runner.steps.call_building import ActionWork, CallBuilding
from headrace_runner.steps.protocol import (
    Failed,
    InDoubt,
    NotCalled,
    Outcome,
    Prepared,
    StepContext,
    StepServices,
    Succeeded,
)


class ActionStep:
    def __init__(self, services: StepServices) -> None:
        self._outbound, self._schemas, self._throttle = services.outbound, services.schemas, services.throttle
        self._building = CallBuilding(services)
        self._random = Random()  # noqa: S311 - jitter, not secrets

    def prepare(self, context: StepContext) -> Prepared | Failure:
        return self._building.prepare(context)

    async def attempt(self, context: StepContext, prepared: Prepared) -> Outcome:
        work: ActionWork = prepared.work
        credential: Credential | None = None
        if work.connection_id:
            found = await context.credentials.current(work.connection_id, context.now())
            if isinstance(found, Failure):
                return self._without_token(context, work, found)
            credential = found
            if not await context.may_call():  # the credential may have taken its time
                return NotCalled()
        left = context.timeout_seconds()
        timeout = min(work.call.timeout, left) if left else work.call.timeout
        sender = Sender(
            self._outbound, context, credential, timeout, throttle=self._throttle, ticket=work.ticket
        )
        answer = await self._answer(context, work, sender, prepared.admit)
        if isinstance(answer, CallFailure) and answer.response is not None:
            self._learn(context, work, answer.response.get("body"))
        match answer:
            case Failed() | NotCalled():
                return answer
            case CallResult():
                return self._succeeded(context, work, answer)
            case CallFailure(status=401, carried_out=False) if sender.stopped:
                return NotCalled(_detail(work, answer))
            case CallFailure(status=401, carried_out=False) if sender.no_token is not None:
                # Why there is no newer token says more than that the target wants one.
                return self._without_token(context, work, sender.no_token, answer)
            case CallFailure():
                return self._failed(context, work, answer)

    async def _answer(
        self,
        context: StepContext,
        work: ActionWork,
        sender: Sender,
        admit: Callable[[], Awaitable[float | None]] | None,
    ) -> CallResult | CallFailure | Failed | NotCalled:
        """What the target answered; of an action with pages, all of them put together as one answer."""
        if work.action.pagination is None:
            answer = await sender.send(work.call)
            unfit = self._unfit(context, work, answer) if isinstance(answer, CallResult) else None
            return unfit or answer
        pages = Pages(work.action.pagination, work.call)
        call = pages.first
        while True:
            answer = await sender.send(call)
            if isinstance(answer, CallFailure):
                return replace(answer, message=f"page {pages.count + 1}: {answer.message}")
            if failed := self._unfit(context, work, answer):
                return failed
            try:
                following = pages.take(answer, sender.credential.own_parameter if sender.credential else None)
            except PagesFailed as error:
                return Failed(error.failure, output=answer.output, detail=_detail(work, answer))
            if following is None:
                break
            if no_turn := await sender.turn(admit):
                return no_turn
            call = following
        if pages.truncated:
            words = f"{pages.count} pages were read and there are more; the action's maxPages is reached"
            context.log(LogLevel.WARN, f"step {context.step.key}: {words}", step=context.step.key)
        return replace(answer, body=pages.body)

    def _unfit(self, context: StepContext, work: ActionWork, answer: CallResult) -> Failed | None:
        """Log what is to be said of an answer; the failure, when it has to fit the output schema and does not."""
        for note in answer.notes:
            context.log(LogLevel.WARN, f"step {context.step.key}: {note}", step=context.step.key)
        if not work.action.output_schema:
            return None
        self._learn(context, work, answer.body)
        problems = self._schemas.validator(work.action.output_schema).validate(answer.body, "body")
        if not problems:
            return None
        words = listed(problems)
        if (context.step.on_output_mismatch or work.action.on_output_mismatch) is OnMismatch.FAIL:
            return Failed(
                Failure("OUTPUT_MISMATCH", words), output=answer.output, detail=_detail(work, answer)
            )
        context.log(
            LogLevel.WARN,
            f"step {context.step.key}: the response does not fit the output schema: {words}",
            step=context.step.key,
        )
        return None

    def _learn(self, context: StepContext, work: ActionWork, body: Json) -> None:
        """Take in what the output schema marks as sensitive; in an answer that says no, too."""
        schema = work.action.output_schema
        marks = self._schemas.validator(schema).marks if schema else None
        if marks is not None:
            context.secrets.sensitive.learn(marks.leaves(body))

    def _succeeded(self, context: StepContext, work: ActionWork, answer: CallResult) -> Outcome:
        detail = _detail(work, answer)
        output: Json = answer.output
        if context.step.output is not None:
            try:
                output = extract(answer.output, context.step.output)
            except HeadraceError as error:
                return Failed(Failure("EXTRACTION_FAILED", error.message), detail=detail)
        return Succeeded(output, detail)

    def _failed(self, context: StepContext, work: ActionWork, answer: CallFailure) -> Outcome:
        detail = _detail(work, answer)
        failure = Failure(answer.code, answer.message)
        if in_doubt(answer, repeatable=work.repeatable):
            return InDoubt(failure, detail)
        outcome = Failed(failure, output=answer.response, detail=detail)
        return self._perhaps_again(context, work, answer, outcome, repeatable=work.repeatable)

    def _without_token(
        self, context: StepContext, work: ActionWork, failure: Failure, answer: CallFailure | None = None
    ) -> Failed:
        """A refusal is for good, unless the policy names it; an outage of the token endpoint may pass."""
        output, detail = (answer.response, _detail(work, answer)) if answer else (None, {})
        unsent = CallFailure(failure.code, failure.message, sent=False)
        outcome = Failed(failure, output=output, detail=detail)
        return self._perhaps_again(context, work, unsent, outcome, repeatable=True)

    def _perhaps_again(
        self, context: StepContext, work: ActionWork, cause: CallFailure, outcome: Failed, *, repeatable: bool
    ) -> Failed:
        """The outcome with the delay that the step's policy asks for, as long as the run's budget lasts."""
        if worth_it(work.retry, cause, repeatable=repeatable) and context.retries_left() == 0:
            spent = f"{outcome.failure.message}; the run's retry budget is used up"
            return replace(outcome, failure=Failure(outcome.failure.code, spent))
        return replace(
            outcome,
            next_delay=lambda attempt: next_delay(
                work.retry, attempt, cause, self._random, repeatable=repeatable
            ),
        )


def _detail(work: ActionWork, answer: CallResult | CallFailure) -> JsonObject:
    detail: JsonObject = {}
    if answer.status is not None:
        detail["httpStatus"] = answer.status
    if answer.dialled:
        detail["address"] = answer.dialled
        if work.connection_id:
            # Whose credential was shown, and to whom: kept in the tenant's audit.
            detail["connection"] = work.connection_id
            detail["host"] = urlsplit(work.call.url).hostname
    return detail
