"""Who called what, in order: the proof that a step was done, and how often."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Journal:
    """Every call that reached an API, kept in memory. It holds no credential."""

    entries: list[dict[str, Any]] = field(default_factory=list)

    def add(self, api: str, operation: str, order: str | None, status: int, key: str | None) -> None:
        """`key` is the Idempotency-Key that came with the call."""
        self.entries.append(
            {
                "number": len(self.entries) + 1,
                "api": api,
                "operation": operation,
                "order": order,
                "status": status,
                "idempotencyKey": key,
            }
        )

    def find(self, wanted: Mapping[str, str]) -> list[dict[str, Any]]:
        """The entries whose fields read as `wanted` says."""
        return [e for e in self.entries if all(str(e.get(name)) == value for name, value in wanted.items())]
