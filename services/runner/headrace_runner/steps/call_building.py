"""What an `action` step prepares: its call, built from a pinned action revision and the step's input."""

from collections.abc import Mapping
from dataclasses import field, replace
from functools import partial
from urllib.parse import quote

from headrace.errors import HeadraceError
from headrace.json_types import Json
from headrace.outbound.call import OutboundCall
from headrace.records import record
from headrace.redaction import MARKER
from headrace.workflow.assign import RequestParts, assign_input, headers_as_declared, values_of
from headrace.workflow.definition import ActionDefinition, PinnedAction
from headrace.workflow.document import RetryPolicy
from headrace.workflow.expressions.limits import Budget, ExpressionError
from headrace.workflow.idempotency import may_repeat
from headrace.workflow.state import Failure

from headrace_runner.failures import expression_failed, input_mismatch
from headrace_runner.requests import build_request
from headrace_runner.retry import policy_of
from headrace_runner.steps.identity import shown, sought
from headrace_runner.steps.protocol import Prepared, StepContext, StepServices
from headrace_runner.steps.secret_bounds import kept_from
from headrace_runner.throttle import Ticket


@record
class ActionWork:
    """What an attempt needs of what was prepared."""

    action: ActionDefinition
    call: OutboundCall = field(repr=False)
    connection_id: str | None
    retry: RetryPolicy
    repeatable: bool
    ticket: Ticket | None


class CallBuilding:
    """One per process."""

    def __init__(self, services: StepServices) -> None:
        self._templates, self._schemas = services.templates, services.schemas
        self._throttle = services.throttle

    def prepare(self, context: StepContext) -> Prepared | Failure:
        pinned = context.run.version.actions.get(context.step.action or "")
        if pinned is None:
            return Failure("ACTION_MISSING", "the version does not pin this step's action")
        action = pinned.definition
        try:
            written = values_of(context.step)
            connection_id = _connection_id(context)
            own_url = context.credentials.base_url(connection_id) if connection_id else None
            if refused := kept_from(context, self._templates, pinned, own_url):
                return refused
            budget = Budget()
            rendered = {
                name: self._templates.render(value, context.secret_scope, f"{context.place}.{name}", budget)
                for name, value in written.items()
            }
            template = self._template_headers(context, action, rendered.get("input"), budget)
            cached_by = self._cached_by(context, budget)
            parts = assign_input(action, **rendered)
        except ExpressionError as error:
            return expression_failed(error)
        except HeadraceError as error:
            return Failure(error.code, f"{context.place}: {error.message}")
        if problem := self._misfit(context, action, parts, template):
            return problem
        base_url = own_url or pinned.base_url
        concealed = self._concealed(context, written, rendered)
        call = build_request(
            action,
            base_url,
            parts,
            template_headers=template,
            idempotency_key=context.idempotency_key,
            timeout_ms=context.step.timeout_ms,
            known=None if concealed == rendered else _known(action, concealed),
        )
        if isinstance(call, Failure):
            return Failure(call.code, f"{context.place}: {call.message}")
        repeatable = may_repeat(action)
        retry = policy_of(context.step, pinned, context.run.version.document)
        ticket, admit = None, None
        if connection_id and (throttle := self._throttle):
            ticket = Ticket(context.run.run_pass, connection_id, context.credentials.limited(connection_id))
            admit = partial(throttle.admit, ticket)
        work = ActionWork(action, call, connection_id, retry, repeatable, ticket)
        told = partial(shown, pinned, connection_id, call, parts, template)
        display = partial(self._displayed, context, pinned, connection_id, base_url, concealed)
        return Prepared(
            _record(concealed),
            side_effect=True,
            unsafe=not repeatable,
            retry=retry,
            work=work,
            admit=admit,
            shown=told if concealed == rendered else display,
            sought=sought(context, pinned, connection_id, base_url, cached_by, told),
        )

    def _concealed(
        self, context: StepContext, written: Mapping[str, Json], rendered: Mapping[str, Json]
    ) -> Mapping[str, Json]:
        """`rendered` as it may be shown: what an expression makes of a secret is not found by looking for the secret,
        nor is a short one."""
        names = context.run.version.document.secrets
        if not names:
            return rendered
        return {
            name: self._templates.masked(value, rendered[name], context.secret_scope, names, MARKER)
            for name, value in written.items()
        }

    def _displayed(
        self,
        context: StepContext,
        pinned: PinnedAction,
        connection_id: str | None,
        base_url: str,
        concealed: Mapping[str, Json],
    ) -> Json:
        """The call as it is shown, made of concealed values; hidden as a whole where these make none."""
        action = pinned.definition
        try:
            template = self._template_headers(context, action, concealed.get("input"), Budget())
            parts = assign_input(action, **concealed)
        except (ExpressionError, HeadraceError):
            return MARKER
        call = build_request(action, base_url, parts, template_headers=template)
        if isinstance(call, Failure):
            return MARKER
        call = replace(call, url=call.url.replace(quote(MARKER, safe=""), MARKER))
        return shown(pinned, connection_id, call, parts, template)

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
        declared = action.headers_schema
        headers = None if declared is None else headers_as_declared(declared, template, parts.headers)
        schemas = (
            ("path", action.path_schema, parts.path),
            ("query", action.query_schema, parts.query),
            ("headers", declared, headers),
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
                return input_mismatch(context.place, problems)
        return None


def _known(action: ActionDefinition, concealed: Mapping[str, Json]) -> RequestParts:
    """The parts of a call whose names no expression made of a secret."""
    parts = {name: value for name, value in concealed.items() if name == "body" or isinstance(value, dict)}
    return assign_input(action, **parts)


def _connection_id(context: StepContext) -> str | None:
    name = context.step.connection
    return context.run.version.connections.get(name) if name else None


def _record(rendered: Mapping[str, Json]) -> Json:
    """A step's input as it is shown: flat, where nothing but `input` was written."""
    return rendered["input"] if set(rendered) == {"input"} else dict(rendered)
