"""`action`: one HTTP call of an app, built from a pinned action revision and the step's input."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field, replace
from functools import partial
from random import Random
from urllib.parse import urlsplit

from headrace.errors import HeadraceError
from headrace.json_types import Json, JsonObject
from headrace.messages import LogLevel
from headrace.outbound.auth import Credential
from headrace.outbound.call import CallFailure, CallResult, OutboundCall
from headrace.records import record
from headrace.workflow.assign import RequestParts, assign_input, values_of
from headrace.workflow.definition import ActionDefinition, PinnedAction
from headrace.workflow.document import OnMismatch, RetryPolicy
from headrace.workflow.expressions.limits import Budget, ExpressionError
from headrace.workflow.extraction import extract
from headrace.workflow.idempotency import may_repeat
from headrace.workflow.state import Failure

from headrace_runner.pagination import Pages, PagesFailed
from headrace_runner.requests import build_request
from headrace_runner.retry import in_doubt, next_delay, policy_of, worth_it
from headrace_runner.sending import NOT_CALLED, Sender
from headrace_runner.steps.identity import shown, sought
from headrace_runner.steps.protocol import (
    Failed,
    InDoubt,
    Outcome,
    Prepared,
    StepContext,
    StepServices,
    Succeeded,
)
from headrace_runner.throttle import Ticket


@record
class _Work:
    action: ActionDefinition
    call: OutboundCall = field(repr=False)
    connection_id: str | None
    retry: RetryPolicy
    repeatable: bool
    ticket: Ticket | None


class ActionStep:
    def __init__(self, services: StepServices) -> None:
        self._outbound, self._templates, self._schemas = (
            services.outbound,
            services.templates,
            services.schemas,
        )
        self._throttle = services.throttle
        self._random = Random()  # noqa: S311 - jitter, not secrets

    # -- before the call -----------------------------------------------------------------------------------

    def prepare(self, context: StepContext) -> Prepared | Failure:
        pinned = context.run.version.actions.get(context.step.action or "")
        if pinned is None:
            return Failure("ACTION_MISSING", "the version does not pin this step's action")
        action = pinned.definition
        try:
            written = values_of(context.step)
            budget = Budget()
            rendered = {
                name: self._templates.render(value, context.secret_scope, f"{context.place}.{name}", budget)
                for name, value in written.items()
            }
            template = self._template_headers(context, action, rendered.get("input"), budget)
            cached_by = self._cached_by(context, budget)
            parts = assign_input(action, **rendered)
        except ExpressionError as error:
            return Failure("EXPRESSION_FAILED", f"{error.path}: {error.reason}")
        except HeadraceError as error:
            return Failure(error.code, f"{context.place}: {error.message}")
        if problem := self._misfit(context, action, parts, template):
            return problem
        base_url = self._base_url(context, pinned)
        call = build_request(
            action,
            base_url,
            parts,
            template_headers=template,
            idempotency_key=context.idempotency_key,
            timeout_ms=context.step.timeout_ms,
        )
        if isinstance(call, Failure):
            return Failure(call.code, f"{context.place}: {call.message}")
        repeatable = may_repeat(action)
        retry = policy_of(context.step, pinned, context.run.version.document)
        connection_id = self._connection_id(context)
        ticket, admit = None, None
        if connection_id and (throttle := self._throttle):
            ticket = Ticket(context.run.run_pass, connection_id, context.credentials.limited(connection_id))
            admit = partial(throttle.admit, ticket)
        work = _Work(action, call, connection_id, retry, repeatable, ticket)
        told = partial(shown, pinned, connection_id, call, parts, template)
        return Prepared(
            _record(rendered),
            side_effect=True,
            unsafe=not repeatable,
            retry=retry,
            work=work,
            admit=admit,
            shown=told,
            sought=sought(context, pinned, connection_id, base_url, cached_by, told),
        )

    def _template_headers(
        self, context: StepContext, action: ActionDefinition, rendered_input: Json, budget: Budget
    ) -> Mapping[str, Json]:
        """The action's own headers. Their expressions see the step's input as `input`, and `run`."""
        if not action.headers_template:
            return {}
        scope = replace(context.secret_scope, input=rendered_input, env={}, steps={})
        value = self._templates.render(dict(action.headers_template), scope, "headersTemplate", budget)
        return value if isinstance(value, dict) else {}

    def _cached_by(self, context: StepContext, budget: Budget) -> Json:
        """What stands for the request among cached results; None: the request itself."""
        cache = context.step.cache
        if cache is None or cache.key is None:
            return None
        return self._templates.render(cache.key, context.secret_scope, f"{context.place}.cache.key", budget)

    def _misfit(
        self,
        context: StepContext,
        action: ActionDefinition,
        parts: RequestParts,
        template: Mapping[str, Json],
    ) -> Failure | None:
        """The first part of the input that does not fit the action's schema; no call is made then. What the schemas
        mark as sensitive is taken in."""
        schemas = (
            ("path", action.path_schema, parts.path),
            ("query", action.query_schema, parts.query),
            ("headers", action.headers_schema, {**template, **parts.headers}),
            ("body", action.body_schema, parts.body),
        )
        for name, schema, value in schemas:
            if schema is None or (value is None and not schema.get("required")):
                continue  # no body at all fits a schema that asks for nothing
            validator = self._schemas.validator(schema)
            if validator.marks is not None:
                context.secrets.sensitive.learn(validator.marks.leaves(value))
            problems = validator.validate(value, name)
            if problems:
                listed = "; ".join(f"{p.path}: {p.message}" for p in problems[:5])
                return Failure("INPUT_MISMATCH", f"{context.place}: {listed}")
        return None

    def _connection_id(self, context: StepContext) -> str | None:
        name = context.step.connection
        return context.run.version.connections.get(name) if name else None

    def _base_url(self, context: StepContext, pinned: PinnedAction) -> str:
        connection_id = self._connection_id(context)
        own = context.credentials.base_url(connection_id) if connection_id else None
        return own or pinned.base_url

    # -- the call ------------------------------------------------------------------------------------------

    async def attempt(self, context: StepContext, prepared: Prepared) -> Outcome:
        work: _Work = prepared.work
        credential: Credential | None = None
        if work.connection_id:
            found = await context.credentials.current(work.connection_id, context.now())
            if isinstance(found, Failure):
                return self._without_token(context, work, found)
            credential = found
            if not await context.may_call():  # the credential may have taken its time
                return Failed(NOT_CALLED)
        left = context.timeout_seconds()
        timeout = min(work.call.timeout, left) if left else work.call.timeout
        sender = Sender(
            self._outbound, context, credential, timeout, throttle=self._throttle, ticket=work.ticket
        )
        answer = await self._answer(context, work, sender, prepared.admit)
        if isinstance(answer, CallFailure) and answer.response is not None:
            self._learn(context, work, answer.response.get("body"))
        match answer:
            case Failed():
                return answer
            case CallResult():
                return self._succeeded(context, work, answer)
            case CallFailure(status=401) if sender.no_token is not None:
                # Why there is no newer token says more than that the target wants one.
                return self._without_token(context, work, sender.no_token, answer)
            case CallFailure():
                return self._failed(context, work, answer)

    async def _answer(
        self,
        context: StepContext,
        work: _Work,
        sender: Sender,
        admit: Callable[[], Awaitable[float | None]] | None,
    ) -> CallResult | CallFailure | Failed:
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
                return Failed(no_turn) if isinstance(no_turn, Failure) else no_turn
            call = following
        if pages.truncated:
            words = f"{pages.count} pages were read and there are more; the action's maxPages is reached"
            context.log(LogLevel.WARN, f"step {context.step.key}: {words}", step=context.step.key)
        return replace(answer, body=pages.body)

    def _unfit(self, context: StepContext, work: _Work, answer: CallResult) -> Failed | None:
        """Log what is to be said of an answer; the failure, when it has to fit the output schema and does not."""
        for note in answer.notes:
            context.log(LogLevel.WARN, f"step {context.step.key}: {note}", step=context.step.key)
        if not work.action.output_schema:
            return None
        self._learn(context, work, answer.body)
        problems = self._schemas.validator(work.action.output_schema).validate(answer.body, "body")
        if not problems:
            return None
        listed = "; ".join(f"{p.path}: {p.message}" for p in problems[:5])
        if (context.step.on_output_mismatch or work.action.on_output_mismatch) is OnMismatch.FAIL:
            return Failed(
                Failure("OUTPUT_MISMATCH", listed), output=answer.output, detail=_detail(work, answer)
            )
        context.log(
            LogLevel.WARN,
            f"step {context.step.key}: the response does not fit the output schema: {listed}",
            step=context.step.key,
        )
        return None

    def _learn(self, context: StepContext, work: _Work, body: Json) -> None:
        """Take in what the output schema marks as sensitive; in an answer that says no, too."""
        schema = work.action.output_schema
        marks = self._schemas.validator(schema).marks if schema else None
        if marks is not None:
            context.secrets.sensitive.learn(marks.leaves(body))

    def _succeeded(self, context: StepContext, work: _Work, answer: CallResult) -> Outcome:
        detail = _detail(work, answer)
        output: Json = answer.output
        if context.step.output is not None:
            try:
                output = extract(answer.output, context.step.output)
            except HeadraceError as error:
                return Failed(Failure("EXTRACTION_FAILED", error.message), detail=detail)
        return Succeeded(output, detail)

    def _failed(self, context: StepContext, work: _Work, answer: CallFailure) -> Outcome:
        detail = _detail(work, answer)
        failure = Failure(answer.code, answer.message)
        if in_doubt(answer, repeatable=work.repeatable):
            return InDoubt(failure, detail)
        outcome = Failed(failure, output=answer.response, detail=detail)
        return self._perhaps_again(context, work, answer, outcome, repeatable=work.repeatable)

    def _without_token(
        self, context: StepContext, work: _Work, failure: Failure, answer: CallFailure | None = None
    ) -> Failed:
        """A refusal is for good, unless the policy names it; an outage of the token endpoint may pass."""
        output, detail = (answer.response, _detail(work, answer)) if answer else (None, {})
        unsent = CallFailure(failure.code, failure.message, sent=False)
        outcome = Failed(failure, output=output, detail=detail)
        return self._perhaps_again(context, work, unsent, outcome, repeatable=True)

    def _perhaps_again(
        self, context: StepContext, work: _Work, cause: CallFailure, outcome: Failed, *, repeatable: bool
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


def _detail(work: _Work, answer: CallResult | CallFailure) -> JsonObject:
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


def _record(rendered: Mapping[str, Json]) -> Json:
    """A step's input as it is shown: flat, where nothing but `input` was written."""
    return rendered["input"] if set(rendered) == {"input"} else dict(rendered)
