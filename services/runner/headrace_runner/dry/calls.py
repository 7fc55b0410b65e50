"""The calls of a dry run: built like any other, kept to be shown, and answered without being made."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

import orjson
from headrace.json_types import Json, JsonObject
from headrace.outbound.auth import Credential
from headrace.outbound.call import CallFailure, CallResult, OutboundCall
from headrace.outbound.client import Refresh
from headrace.redaction import Redactor
from headrace.sealed_outputs import OutputUnreadable
from headrace.workflow.definition import PinnedAction
from headrace.workflow.document import RetryPolicy
from headrace.workflow.state import Failure

from headrace_runner.credentials import CONNECTION_MISSING
from headrace_runner.dry.answers import Answers, Ended, Nothing, Source, as_answer
from headrace_runner.steps.action import ActionStep
from headrace_runner.steps.protocol import Failed, Outcome, Prepared, StepContext, StepServices, Succeeded

# A step without an answer waits for one, which never comes.
NEVER_SECONDS = 10 * 365 * 24 * 3600.0
NO_RESPONSE = "NO_RESPONSE"
# Of all calls of a walk together.
MAX_CALL_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class BuiltCall:
    """A request as it would have been sent, but for what the connection adds to it. `parts` is all of it as JSON;
    `made_by` is the action, which the target does not see."""

    path: str
    number: int
    parts: JsonObject = field(repr=False)
    made_by: JsonObject


class Unanswered(Exception):
    """A call is not answered as an answer of the target's; the row ends, or stops, in another way."""


class CallBook:
    """Every call of one walk, in order, and where each row's answers came from."""

    def __init__(self, most: int, before: Mapping[tuple[str, int], JsonObject] | None = None) -> None:
        """`before` are the calls of the recorded run, if there is one."""
        self._before = before
        self.calls: list[BuiltCall] = []
        self.sources: dict[str, Source] = {}
        self.missing: dict[str, Nothing] = {}
        self._numbers: dict[str, int] = {}
        self._most = most
        self.exceeded = False
        self._bytes = 0

    def take(self, path: str, call: OutboundCall, context: StepContext, pinned: PinnedAction | None) -> int:
        """Keep a call; its number among those of its row."""
        self._bytes += len(call.body) + len(call.url)
        if len(self.calls) >= self._most or self._bytes > MAX_CALL_BYTES:
            self.exceeded = True
            raise Unanswered
        number = self._numbers[path] = self._numbers.get(path, 0) + 1
        parts: JsonObject = {
            "method": call.method,
            "url": call.url,
            "headers": dict(call.headers),
            "body": _body(call.body),
            "connection": context.step.connection,
        }
        made_by: JsonObject = {
            "action": context.step.action,
            "revision": pinned.revision if pinned else None,
        }
        self.calls.append(BuiltCall(path, number, parts, made_by))
        return number

    def differs(self, path: str) -> bool:
        """Whether the row's last call is another one than the recorded run made."""
        last = next((call for call in reversed(self.calls) if call.path == path), None)
        if last is None or self._before is None:
            return False
        return self._before.get((path, last.number)) != last.parts


class Responder:
    """Stands where the outbound client does, for one row: it has nothing to send by."""

    def __init__(self, taken: Callable[[OutboundCall], CallResult | CallFailure]) -> None:
        self._taken = taken

    async def send(
        self,
        call: OutboundCall,
        *,
        tenant_id: object,
        credential: Credential | None = None,
        refresh: Refresh | None = None,
        redactor: Redactor | None = None,
    ) -> CallResult | CallFailure:
        return self._taken(call)


def stopped(why: str) -> Failed:
    """The row goes no further, and is no failure either."""
    return Failed(Failure(NO_RESPONSE, why), next_delay=lambda attempt: NEVER_SECONDS)


def without_answer(answers: Answers, book: CallBook, context: StepContext) -> Outcome:
    """How a row ends for which no response is declared: as it was recorded, or not at all."""
    row = str(context.key)
    path = answers.path(row)
    try:
        found, learnt = answers.of_call(row), answers.learnt(row)
    except OutputUnreadable:
        return Failed(Failure("OUTPUT_UNREADABLE", "what was recorded can not be read"))
    match found:
        case Ended(_, Failure(), _) if book.differs(path):
            why = "what was recorded is a failure, and this call is another one than failed"
            book.missing[path] = Nothing("OTHER_CALL", why)
            return stopped(why)
        case Ended(output, None, source):
            book.sources[path] = source
            context.secrets.sensitive.learn(learnt)
            return Succeeded(output)
        case Ended(output, error, source):
            book.sources[path] = source
            return Failed(error or Failure("STEP_FAILED", "the step failed"), output=output)
        case Nothing():
            book.missing[path] = found
            return stopped(found.why)


class DryActionStep:
    """`action`, in a dry run: what `ActionStep` prepares and makes of an answer, with a `Responder` to call by."""

    def __init__(
        self, services: StepServices, answers: Answers, book: CallBook, gone: Collection[str]
    ) -> None:
        """`gone` are the ids of connections, beside others, that are not there any more."""
        self._services, self._answers, self._book = services, answers, book
        self._gone = gone
        self._prepares = ActionStep(services)

    def prepare(self, context: StepContext) -> Prepared | Failure:
        return self._answers.refusal(str(context.key)) or self._prepares.prepare(context)

    async def attempt(self, context: StepContext, prepared: Prepared) -> Outcome:
        row = str(context.key)
        path = self._answers.path(row)
        if prepared.work.connection_id in self._gone:
            return Failed(CONNECTION_MISSING)
        pinned = context.run.version.actions.get(context.step.action or "")
        unfit: list[Outcome] = []

        def taken(call: OutboundCall) -> CallResult | CallFailure:
            number = self._book.take(path, call, context, pinned)
            said = self._answers.declared(row, number)
            if said is not None:
                self._book.sources[path] = Source.DECLARED
                if "output" not in said:
                    return as_answer(said)
                unfit.append(Succeeded(said["output"]))
            else:
                unfit.append(without_answer(self._answers, self._book, context))
            raise Unanswered

        made = ActionStep(replace(self._services, outbound=Responder(taken)))
        # No credential is looked for, and no permit.
        work = replace(prepared.work, connection_id=None, ticket=None)
        try:
            return await made.attempt(context, replace(prepared, work=work, admit=None))
        except Unanswered:
            return unfit[-1] if unfit else stopped("more calls than a dry run may make")


class DeclaredStep:
    """A step type of a plug-in, in a dry run: nobody knows what it would do, so it is not asked. Its output is declared
    or recorded."""

    def __init__(self, answers: Answers, book: CallBook) -> None:
        self._answers, self._book = answers, book

    def prepare(self, context: StepContext) -> Prepared | Failure:
        return Prepared(context.step.input, side_effect=False, unsafe=False, retry=RetryPolicy(), work=None)

    async def attempt(self, context: StepContext, prepared: Prepared) -> Outcome:
        row = str(context.key)
        path = self._answers.path(row)
        said = self._answers.declared(row, 1)
        if said is not None and "output" in said:
            self._book.sources[path] = Source.DECLARED
            return Succeeded(said["output"])
        return without_answer(self._answers, self._book, context)


def _body(body: bytes) -> Json:
    """A body as JSON where it is JSON, else as text."""
    if not body:
        return None
    try:
        read: Json = orjson.loads(body)
        return read
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")
