"""Takes messages of webhooks: nothing of one is looked at before its signature was found genuine."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import structlog
from headrace.errors import (
    ConcurrencyLimit,
    HeadraceError,
    InvalidInput,
    LimitExceeded,
    NotFound,
    Problem,
    QuotaExceeded,
    Unauthenticated,
    Unavailable,
)
from headrace.json_text import read_exact
from headrace.json_types import Json
from headrace.postgres.pool import Pool, tenant_transaction
from headrace.refusals.audit import Refusal, Refused
from headrace.signed_messages import is_id, is_signed, seconds_of
from headrace.workflow.expressions import Templates
from headrace.workflow.json_rules import check_json
from headrace.workflow.schemas import Schemas
from orjson import Fragment

from headrace_control.audit.record import Act, Part, record
from headrace_control.auth.caller import Actor, ActorKind, Origin
from headrace_control.quotas.starts import StartQuotas
from headrace_control.runs.model import Run, RunStart, Trigger, TriggerKind
from headrace_control.runs.parameters import Parameters
from headrace_control.runs.starts import start_runs
from headrace_control.runs.wishes import MAX_INPUT_BYTES
from headrace_control.signing_secrets.repository import WEBHOOKS, valid_secrets
from headrace_control.vault.output_keys import OutputKeys
from headrace_control.vault.vault import Vault
from headrace_control.web.rates import Buckets
from headrace_control.webhooks import repository
from headrace_control.webhooks.addresses import read_address
from headrace_control.webhooks.inputs import input_of
from headrace_control.webhooks.model import Message, Replayed, Webhook, WebhookAnswer
from headrace_control.webhooks.refused import RefusedMessage, RefusedMessages
from headrace_control.webhooks.repository import Seen
from headrace_control.webhooks.results import Results

_log = structlog.get_logger(__name__)

_ACTION = "webhook.take"
MAX_MESSAGE_BYTES = MAX_INPUT_BYTES
# What the sender can do something about; it is told nothing of what else stands in the way of a start.
_TOLD = (InvalidInput, QuotaExceeded, ConcurrencyLimit, Unavailable)


class UnsupportedMediaType(HeadraceError):
    """The body is of a kind that is not taken here."""

    code = "UNSUPPORTED_MEDIA_TYPE"


@dataclass(frozen=True, slots=True)
class Taken:
    """The run of a message; with `ended`, it ended in time and made this `result`."""

    run: Run
    ended: bool = False
    result: Fragment | None = None


@dataclass(frozen=True, slots=True)
class _Signed:
    """What the headers of a message say, once they can be read."""

    id: str
    seconds: int

    @property
    def sent_at(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)


class WebhookIntake:
    """Over a pool of the role headrace_api. `rate` is how many messages of one webhook are looked at in a second, by
    this process; 0 is no limit."""

    def __init__(
        self, pool: Pool, vault: Vault, keys: OutputKeys, results: Results, refused: Refused, rate: float
    ) -> None:
        self._pool, self._vault, self._keys, self._results = pool, vault, keys, results
        self._refused, self._buckets = refused, Buckets(rate)
        self._parameters, self._quotas, self._templates = Parameters(), StartQuotas(), Templates()
        self._schemas = Schemas()
        self.refused_messages = RefusedMessages(pool)

    async def take(self, text: str, message: Message, origin: Origin) -> Taken:
        """Start the run of a message to the address that ends in `text`.

        Raises `LimitExceeded` and `RateLimited` for what is not looked at, `NotFound` for whatever is no address of a
        webhook that takes messages, `Unauthenticated` unless it is signed and of now; then `UnsupportedMediaType`,
        `InvalidInput`, `Replayed`, `QuotaExceeded`, `ConcurrencyLimit`, and `Unavailable` for what is not the sender's
        to mend. After each of these the same message may be sent again, but for `Replayed`.
        """
        if len(message.body) > MAX_MESSAGE_BYTES:
            raise LimitExceeded(f"the body is larger than {MAX_MESSAGE_BYTES} bytes")
        if (address := read_address(text)) is None:
            self._note(None, NotFound.code, origin)
            raise NotFound("webhook")
        self._buckets.take(address)
        async with tenant_transaction(self._pool, address.tenant_id) as db:
            webhook = await repository.at_address(db, address.tenant_id, address.webhook_id)
            stored = (
                await valid_secrets(db, address.tenant_id, WEBHOOKS, address.webhook_id) if webhook else ()
            )
        if webhook is None:
            self._note(None, NotFound.code, origin)
            raise NotFound("webhook")
        secrets = [*(await self._vault.unseal(address.tenant_id, stored)).values()]
        if not secrets:
            _log.error("a webhook has no secret that opens", webhook=str(webhook.id))
        try:
            signed = _genuine(webhook, secrets, message)
            run = await self._start(address.tenant_id, webhook, signed, message, origin)
        except HeadraceError as error:
            if isinstance(error, Unauthenticated | Replayed):
                self._note(webhook, error.code, origin, address.tenant_id)
            self.refused_messages.note(RefusedMessage.of(address, error))
            raise
        if webhook.terms.answer is WebhookAnswer.RESULT:
            found = await self._results.ended(address.tenant_id, run.id, webhook.terms.result_seconds)
            if found is not None:
                return Taken(found[0], True, found[1])
        return Taken(run)

    async def _start(
        self, tenant_id: UUID, webhook: Webhook, signed: _Signed, message: Message, origin: Origin
    ) -> Run:
        """One transaction: the run and the id's row are both there, or neither."""
        body, terms = self._read(webhook, message), webhook.terms
        sent_at = signed.sent_at.isoformat().replace("+00:00", "Z")
        wish = RunStart(
            terms.workflow,
            input_of(self._templates, webhook.name, terms, body, signed.id, sent_at),
            terms.version,
        )
        digest = hashlib.sha256(message.body).digest()
        async with tenant_transaction(self._pool, tenant_id, plan_once=True) as db:
            seen = await repository.seen(db, tenant_id, webhook.id, signed.id)
            if seen is None:
                raise NotFound("webhook")
            _check_new(seen, digest)
            trigger = Trigger(TriggerKind.WEBHOOK, webhook.name, message_id=signed.id)
            parts = (self._parameters, self._quotas, self._keys)
            started = await start_runs(db, tenant_id, webhook.acts_for, [wish], *parts, trigger=trigger)
            (answer,) = started.answers
            if isinstance(answer, QuotaExceeded | ConcurrencyLimit):
                # The same message may have been under way in another transaction, and be in our way now.
                seen = await repository.seen(db, tenant_id, webhook.id, signed.id)
                if seen is not None:
                    _check_new(seen, digest)
            if isinstance(answer, HeadraceError):
                raise answer if isinstance(answer, _TOLD) else _not_startable(webhook, answer)
            if not await repository.keep_started(db, tenant_id, webhook.id, signed.id, digest, answer.id):
                raise Replayed("another message with this id is being taken")
            detail: dict[str, Json] = {"workflows": [terms.workflow], "started": 1, "message": signed.id}
            actor = Actor(ActorKind.WEBHOOK, webhook.id, webhook.name)
            await record(
                db,
                Part(tenant_id, actor, origin),
                Act("run.start", f"run/{answer.id}", detail=detail),
            )
        return answer

    def _read(self, webhook: Webhook, message: Message) -> Json:
        """The body of a message that is genuine. Raises `UnsupportedMediaType` and `InvalidInput`."""
        kind = (message.content_type or "").partition(";")[0].strip().lower()
        if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
            raise UnsupportedMediaType("the body's type is not taken; send application/json")
        try:
            body: Json = read_exact(message.body)
        except ValueError:
            mend = "Send a JSON text, in UTF-8."
            raise InvalidInput([Problem("", "the body is not JSON", mend, "NOT_JSON")]) from None
        if problems := check_json(body, ""):
            raise InvalidInput(problems)
        if webhook.terms.schema is None:
            return body
        try:
            validator = self._schemas.validator(webhook.terms.schema)
        except InvalidInput as error:
            raise _not_startable(webhook, error) from None
        if problems := validator.validate(body, ""):
            raise InvalidInput(problems)
        return body

    def _note(
        self, webhook: Webhook | None, code: str, origin: Origin, tenant_id: UUID | None = None
    ) -> None:
        """For the audit. Of what is no webhook's address nothing is known that could be gone by."""
        if webhook is None:
            self._refused(
                Refusal(_ACTION, "webhook", code, actor_kind=ActorKind.WEBHOOK, address=origin.address)
            )
            return
        self._refused(
            Refusal(
                _ACTION,
                f"webhook/{webhook.name}",
                code,
                tenant_id=tenant_id,
                actor_kind=ActorKind.WEBHOOK,
                actor_id=webhook.id,
                actor_name=webhook.name,
                address=origin.address,
            )
        )


def _genuine(webhook: Webhook, secrets: list[str], message: Message) -> _Signed:
    """Raises `Unauthenticated` unless the message is signed with one of the secrets, and its time is near enough."""
    seconds = seconds_of(message.timestamp or "")
    if message.id is None or not is_id(message.id) or seconds is None or not message.signature:
        raise Unauthenticated("the message has not the headers of a signed one")
    if abs(webhook.read_at.timestamp() - seconds) > webhook.terms.tolerance_seconds:
        raise Unauthenticated("the message's timestamp is too far from the time")
    if not is_signed(secrets, message.signature, message.id, seconds, message.body):
        raise Unauthenticated("the message's signature is not by a secret of the webhook")
    return _Signed(message.id, seconds)


def _check_new(seen: Seen, digest: bytes) -> None:
    """Raises `Replayed` for a message whose id has started a run."""
    if seen.run_id is None:
        return
    if seen.digest != digest:
        raise Replayed("another message with this id was taken before")
    raise Replayed(f"the message was taken before; its run is {seen.run_id}")


def _not_startable(webhook: Webhook, error: HeadraceError) -> Unavailable:
    _log.warning("a webhook can not start its workflow", webhook=str(webhook.id), code=error.code)
    return Unavailable(f"the webhook can not start its workflow now ({error.code})")
