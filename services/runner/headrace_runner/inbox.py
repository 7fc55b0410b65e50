"""Messages to a run, as the control plane hands them over."""

from collections.abc import Iterable, Mapping
from typing import Any

from headrace.workflow.state import Message, MessageKind


def read_messages(rows: Iterable[Mapping[str, Any]]) -> tuple[Message, ...]:
    """The messages in their order."""
    return tuple(
        Message(row["seq"], MessageKind(row["kind"]), row["step"], row["name"], row["data"]) for row in rows
    )
