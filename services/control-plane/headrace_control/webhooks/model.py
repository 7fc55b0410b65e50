"""Webhooks and what came of their messages, as services answer them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from headrace.errors import Conflict
from headrace.json_types import JsonObject

DEFAULT_TOLERANCE = 300
MAX_TOLERANCE = 3600
DEFAULT_RESULT_SECONDS = 10
MAX_RESULT_SECONDS = 30


class WebhookAnswer(StrEnum):
    """What a message is answered with."""

    RUN_ID = "RUN_ID"  # at once
    RESULT = "RESULT"  # the run's, when it ends soon enough


@dataclass(frozen=True, slots=True)
class Terms:
    """What people say of a webhook. `version` None is the newest published one; `input` may hold expressions over the
    message, None is its body; `schema` None lets any body pass. A message's timestamp may be `tolerance_seconds` off;
    `RESULT` is waited for `result_seconds` at most."""

    workflow: str
    version: int | None = None
    input: JsonObject | None = None
    schema: JsonObject | None = None
    tolerance_seconds: int = DEFAULT_TOLERANCE
    answer: WebhookAnswer = WebhookAnswer.RUN_ID
    result_seconds: int = DEFAULT_RESULT_SECONDS

    def as_json(self) -> JsonObject:
        """As the audit digests it."""
        return {
            "workflow": self.workflow,
            "version": self.version,
            "input": self.input,
            "schema": self.schema,
            "toleranceSeconds": self.tolerance_seconds,
            "answer": self.answer,
            "resultSeconds": self.result_seconds,
        }


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook. `acts_for` is who made it or changed it last; `read_at` is when it was read, by the database's clock;
    until `previous_until` the secret before its newest one counts, too."""

    id: UUID
    name: str
    terms: Terms
    acts_for: UUID
    paused: bool
    created_at: datetime
    updated_at: datetime
    previous_until: datetime | None
    read_at: datetime


@dataclass(frozen=True, slots=True)
class Issued:
    """A webhook with its newest secret, which is shown this once."""

    webhook: Webhook
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """What came to an address. The texts are its headers, as they stand; None: not there."""

    id: str | None
    timestamp: str | None
    signature: str | None
    content_type: str | None
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that started a run, or `times` of them that were refused for the same reason at about the same time."""

    id: UUID
    message_id: str | None
    run_id: UUID | None
    error: JsonObject | None
    times: int
    created_at: datetime


class Replayed(Conflict):
    """A message with this id has started a run already."""

    code = "REPLAYED"
