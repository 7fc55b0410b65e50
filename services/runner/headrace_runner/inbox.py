"""Messages to a run, as the control plane hands them over."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from headrace.workflow.state import Message, MessageKind


def read_messages(rows: Iterable[Mapping[str, Any]]) -> tuple[Message, ...]:
    """The messages in their order."""
    return tuple(_message(row) for row in rows)


def _message(row: Mapping[str, Any]) -> Message:
    at = row.get("at")  # control planes before it was told do not say so
    return Message(
        row["seq"],
        MessageKind(row["kind"]),
        row["step"],
        row["name"],
        row["data"],
        datetime.fromisoformat(at) if at else None,
    )
