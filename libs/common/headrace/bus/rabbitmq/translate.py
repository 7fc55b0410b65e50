"""Our messages as AMQP's and back."""

from typing import Any

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from aiormq import spec
from aiormq.abc import DeliveredMessage

from headrace.bus.names import Names
from headrace.bus.port import DELIVERY_LIMIT, LINGERS, DeadLetter, Delivery, Outgoing

# Set on the dead letters that we write ourselves; the broker's own carry its x-first-death-* instead.
_DEAD_QUEUE = "headrace-dead-queue"
_DEAD_REASON = "headrace-dead-reason"

_BROKERS_OWN = (
    "x-death",
    "x-delivery-count",
    "x-acquired-count",
    "x-first-death-",
    "x-last-death-",
    "x-opt-",
)


def properties_of(message: Outgoing) -> spec.Basic.Properties:
    """What goes with the body; the client's own message around both would cost as much as sending it."""
    return spec.Basic.Properties(
        headers=dict(message.headers), delivery_mode=aio_pika.DeliveryMode.PERSISTENT
    )


def dead_to_amqp(delivery: Delivery, reason: str) -> aio_pika.Message:
    """A dead letter, as we write it when a handler rejects."""
    headers = {**dict(delivery.headers), _DEAD_QUEUE: delivery.queue, _DEAD_REASON: reason}
    return aio_pika.Message(
        delivery.body, headers={**headers}, delivery_mode=aio_pika.DeliveryMode.PERSISTENT
    )


def to_delivery(message: DeliveredMessage, queue: str) -> Delivery:
    headers = tuple(
        (name, value)
        for name, value in _headers(message).items()
        if isinstance(value, str) and not name.startswith(_BROKERS_OWN)
    )
    return Delivery(queue, message.body, bool(message.redelivered), headers)


def lingers(message: DeliveredMessage) -> bool:
    name, value = LINGERS
    return _headers(message).get(name) == value


def to_dead_letter(message: AbstractIncomingMessage, names: Names) -> DeadLetter:
    headers = message.headers
    if _DEAD_REASON in headers:
        return DeadLetter(str(headers.get(_DEAD_QUEUE, "")), str(headers[_DEAD_REASON]), message.body)
    reason = str(headers.get("x-first-death-reason", "unknown"))
    return DeadLetter(
        names.inside(str(headers.get("x-first-death-queue", ""))),
        DELIVERY_LIMIT if reason == "delivery_limit" else reason,
        message.body,
    )


def deliveries_before(message: DeliveredMessage) -> int:
    """How often the message was handed out and came back."""
    count = _headers(message).get("x-delivery-count", 0)
    return count if isinstance(count, int) else 0


def _headers(message: DeliveredMessage) -> dict[str, Any]:
    properties = message.header.properties
    return properties.headers or {}
