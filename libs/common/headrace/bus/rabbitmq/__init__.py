"""The bus on RabbitMQ: quorum queues, publisher confirms, at-least-once dead lettering."""

from headrace.bus.rabbitmq.bus import RabbitmqBus

__all__ = ["RabbitmqBus"]
