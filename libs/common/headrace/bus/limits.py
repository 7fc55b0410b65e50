"""What both adapters check before anything is sent."""

from collections.abc import Sequence

from headrace.bus.port import MAX_MESSAGE_BYTES, Outgoing
from headrace.errors import MessageTooLarge


def check_sizes(messages: Sequence[Outgoing]) -> None:
    """Raise `MessageTooLarge` if any body is above the limit."""
    largest = max((len(m.body) for m in messages), default=0)
    if largest > MAX_MESSAGE_BYTES:
        raise MessageTooLarge(f"a message of {largest} bytes is above the limit of {MAX_MESSAGE_BYTES}")
