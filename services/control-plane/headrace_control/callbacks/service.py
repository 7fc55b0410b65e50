"""Gives out callback addresses, and takes what comes by them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from headrace.errors import Conflict, Expired, InvalidInput, LimitExceeded, NotFound, Problem
from headrace.json_text import read_exact
from headrace.json_types import Json, JsonObject
from headrace.postgres.pool import Db, Pool, tenant_transaction
from headrace.postgres.queries import load
from headrace.refusals.audit import Refusal, Refused
from headrace.workflow.state import ENDED_RUN, MessageKind

from headrace_control.audit.record import Act, Part, record
from headrace_control.auth.caller import Actor, ActorKind, Origin
from headrace_control.callbacks.keys import CallbackKeys
from headrace_control.callbacks.tokens import Token, read_token, write_token
from headrace_control.internal_api.callbacks import CallbackRun
from headrace_control.runs.messages import NewMessage, find_posted, post_message
from headrace_control.runs.repository import lock
from headrace_control.vault.envelope import KeysShredded, SecretUnreadable
from headrace_control.vault.vault import Vault
from headrace_control.waits.model import SignalStep
from headrace_control.waits.payloads import MAX_PAYLOAD_BYTES, Payloads
from headrace_control.waits.repository import signal_steps

_log = structlog.get_logger(__name__)
_sql = load("headrace_control.callbacks")

_ACTION = "callback.take"
# From a run's creation on; a step with a deadline may begin to wait so late, and keeps its address until then.
LIFETIME = timedelta(days=30)


class CallbackService:
    """Over a pool of the role headrace_api. `base` is the address by which the outside reaches the public API."""

    def __init__(self, pool: Pool, vault: Vault, payloads: Payloads, base: str, refused: Refused) -> None:
        self._pool, self._payloads, self._base, self._refused = pool, payloads, base, refused
        self._keys = CallbackKeys(vault)

    async def urls(self, tenant_id: UUID, runs: Sequence[CallbackRun]) -> Mapping[UUID, Mapping[str, str]]:
        """The address of each signal step of each run, by its key. Where the tenant's key does not open there are
        none: runs that name one fail by that, and others go on."""
        try:
            async with tenant_transaction(self._pool, tenant_id) as db:
                key = await self._keys.of(db, tenant_id)
        except (SecretUnreadable, KeysShredded):
            _log.error("callback key can not be opened", tenant_id=str(tenant_id))
            return {}
        return {
            run.run_id: {
                step.key: self._url(key, Token(tenant_id, run.run_id, step.key, _expiry(run, step)))
                for step in run.steps
            }
            for run in runs
        }

    async def take(self, text: str, body: bytes, origin: Origin | None = None) -> datetime:
        """Send the signal of the address that ends in `text`; when it was taken.

        Raises `NotFound` for whatever is no address of an unfinished run, `Expired`, `Conflict` when it was used,
        with the time, `InvalidInput` when the body does not fit: the address can be used again then.
        """
        if len(body) > MAX_PAYLOAD_BYTES:
            raise LimitExceeded(f"the body is larger than {MAX_PAYLOAD_BYTES} bytes")
        presented, origin = read_token(text), origin or Origin()
        if presented is None:
            self._refused(_refusal(None, NotFound.code, origin))
            raise NotFound("callback")
        token = presented.token
        async with tenant_transaction(self._pool, token.tenant_id) as db:
            if not presented.is_genuine(await self._key(db, token.tenant_id)):
                self._refused(_refusal(None, NotFound.code, origin))
                raise NotFound("callback")
            try:
                return await self._take_genuine(db, token, body, origin)
            except (NotFound, Expired, Conflict) as error:
                self._refused(_refusal(token, error.code, origin))
                raise

    async def _take_genuine(self, db: Db, token: Token, body: bytes, origin: Origin) -> datetime:
        if token.expires_at <= await db.fetchval(_sql.now):
            raise Expired("the callback has expired")
        step = await _open_step(db, token)
        payload = _read(body)
        if problems := self._payloads.problems(payload, "", step.schema):
            raise InvalidInput(problems)
        # For this step alone: what fits its schema need not fit another's that waits for the same name.
        message = NewMessage(MessageKind.SIGNAL, {"payload": payload}, step.key, step.name, _once(step.key))
        posted = await post_message(db, token.tenant_id, token.run_id, message)
        # Who holds the address acts, whoever that is.
        actor = Actor(ActorKind.CALLBACK, token.run_id, token.step)
        detail: JsonObject = {"name": step.name, "seq": posted.seq}
        act = Act(_ACTION, f"run/{token.run_id}", after=payload, detail=detail)
        await record(db, Part(token.tenant_id, actor, origin), act)
        return posted.at

    async def _key(self, db: Db, tenant_id: UUID) -> bytes | None:
        try:
            return await self._keys.find(db, tenant_id)
        except SecretUnreadable:
            _log.error("callback key can not be opened", tenant_id=str(tenant_id))
            return None

    def _url(self, key: bytes, token: Token) -> str:
        return f"{self._base}/callbacks/{write_token(key, token)}"


def _expiry(run: CallbackRun, step: SignalStep) -> int:
    waiting = timedelta(milliseconds=step.deadline_ms or 0)
    return int((run.created_at + LIFETIME + waiting).timestamp())


def _refusal(token: Token | None, code: str, origin: Origin) -> Refusal:
    """With a genuine token the tenant is known; what any other one says of itself is nothing to go by."""
    if token is None:
        return Refusal(_ACTION, "callback", code, actor_kind=ActorKind.CALLBACK, address=origin.address)
    return Refusal(
        _ACTION,
        f"run/{token.run_id}",
        code,
        tenant_id=token.tenant_id,
        actor_kind=ActorKind.CALLBACK,
        actor_id=token.run_id,
        actor_name=token.step,
        address=origin.address,
    )


async def _open_step(db: Db, token: Token) -> SignalStep:
    """The step that the address is for, of a run that is locked, has not ended, and has had no answer by it. The step's
    wait may not have begun, and is not over."""
    run = await lock(db, token.tenant_id, token.run_id)
    if run is None:
        raise NotFound("callback")
    used = await find_posted(db, token.tenant_id, token.run_id, _once(token.step))
    if used is not None:
        raise Conflict(f"the callback was used at {used.at.isoformat().replace('+00:00', 'Z')}")
    if run.status in ENDED_RUN:
        raise NotFound("callback")
    if await db.fetchval(_sql.wait_is_over, token.tenant_id, token.run_id, token.step):
        # What is for this step alone would be used by nobody, and its sender has to know.
        raise Expired("the wait that the callback is for is over")
    for step in await signal_steps(db, token.tenant_id, run.version_id):
        if step.key == token.step:
            return step
    raise NotFound("callback")


def _once(step: str) -> str:
    return f"callback:{step}"


def _read(body: bytes) -> Json:
    if not body:
        return None
    try:
        read: Json = read_exact(body)
    except ValueError:
        mend = "Send the signal's payload as JSON, or nothing at all."
        raise InvalidInput([Problem("", "the body is not JSON", mend, "NOT_JSON")]) from None
    return read
