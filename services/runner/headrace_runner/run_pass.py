"""What a runner shows when it asks for something on behalf of a run."""

from dataclasses import field
from typing import Any
from uuid import UUID

from headrace.records import record


@record
class RunPass:
    """What a claim entitles to ask for on behalf of its run, until the claim is closed."""

    run_id: UUID
    epoch: int
    token: str = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        return {"run_id": self.run_id, "epoch": self.epoch, "run_token": self.token}
