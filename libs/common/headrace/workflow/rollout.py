"""Which starts of a workflow a rollout gives to its candidate: a pure function of its terms and the start."""

from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from headrace.json_types import Json
from headrace.workflow.extraction import Path
from headrace.workflow.json_rules import canonical

WHOLE = 10_000
"""All starts, in hundredths of a percent."""


@dataclass(frozen=True, slots=True)
class Split:
    """The terms of a rollout, as starts are held against them.

    `share` is in hundredths of a percent. `key` finds one value of an input; starts with the same value go the same
    way. `chosen` are values that always go to the candidate.
    """

    share: int
    salt: bytes
    key: Path | None = None
    chosen: frozenset[str] = frozenset()

    def takes(self, value: Json, run_id: UUID) -> bool:
        """Whether the candidate gets the start with this input.

        The place of a start among all, 0 to 9999, depends on salt and key alone, and the candidate has those below its
        share: a share that grows takes more and gives none back. A start without a key goes by the run's id.
        """
        key = self.key_of(value)
        if key is not None and key in self.chosen:
            return True
        digest = sha256(self.salt + (f"key:{key}" if key is not None else f"run:{run_id}").encode()).digest()
        # 64 bits against 10,000 places: no place is likelier than another by more than 1e-15.
        return int.from_bytes(digest[:8]) % WHOLE < self.share

    def key_of(self, value: Json) -> str | None:
        """What the start goes by, as a text: 17 and "17" are the same. None where there is no value, or null."""
        found = self.key.find(value) if self.key is not None else None
        return found if found is None or isinstance(found, str) else canonical(found)
